// closeOnExpiry: a connection ends with its token.
import { expect, test } from "vitest";

import { startLimited, type Limited } from "../support/limited.ts";
import { untilMetric } from "../support/metrics.ts";
import { DEFAULT_SECRET, inSeconds, signToken } from "../support/tokens.ts";

/** Connections are looked at within every timeout; this one ends none whose peers read. */
const oftenLookedAt = { slowConsumer: "3s" };

const ids = { user: [{ jwt: "sub" }], tier: [] };

function startClosing(jwt: Readonly<Record<string, unknown>>, route = {}): Promise<Limited> {
  const identity = { ...ids, jwt: { secret: DEFAULT_SECRET, ...jwt } };
  const timeouts = { ping: "off", close: "60s", ...oftenLookedAt };
  return startLimited({ config: { identity, timeouts }, route });
}

function until(exp: number) {
  return { lines: [`Authorization: Bearer ${signToken({ sub: "ann", exp })}`] };
}

test("the client gets 3000 token expired when its token ends, and the backend 1001", async () => {
  const weir = await startClosing({ closeOnExpiry: true });
  const exp = inSeconds(3);
  const lasting = await weir.open("bob", until(inSeconds(600)));
  const { client, backend } = await weir.open("ann", until(exp));
  expect(await client.nextClose()).toEqual({ code: 3000, reason: "token expired" });
  expect(Date.now()).toBeGreaterThanOrEqual(exp * 1_000);
  expect(await backend.nextClose()).toMatchObject({ code: 1001 });
  await backend.sendClose(1001);
  await client.sendClose(3000);
  client.finish();
  backend.finish();
  await untilMetric(weir.adminUrl, 1, "weir_closes_total", {
    reason: "token_expired",
    code: "3xxx",
    by: "weir",
  });
  const { fields } = await weir.log.entry("the end", ({ message }) => message === "connection closed");
  expect(fields).toMatchObject({ user: "ann", code: 3000, reason: "token_expired" });
  await lasting.client.sendText("still here");
  expect(await lasting.backend.nextText()).toBe("still here");
});

// The age passes with the looks that find the token expired: however slow the machine is, its 20 seconds are over
// long after the token.
test("it comes when the token and its leeway are over, and waits for nothing else", async () => {
  const jwt = { secret: DEFAULT_SECRET, closeOnExpiry: true, leeway: "1s" };
  const timeouts = { ping: "off", close: "60s", maxConnectionAge: { max: "20s", jitter: "0%" } };
  const weir = await startLimited({ config: { identity: { ...ids, jwt }, timeouts } });
  const exp = inSeconds(2);
  const { client } = await weir.open("ann", until(exp));
  expect(await client.nextClose()).toEqual({ code: 3000, reason: "token expired" });
  expect(Date.now()).toBeGreaterThanOrEqual((exp + 1) * 1_000);
});

test("a message in flight is whole before it, at a frame boundary", async () => {
  const weir = await startClosing({ closeOnExpiry: true });
  const { client, backend } = await weir.open("ann", until(inSeconds(3)));
  const frame = backend.encode({ opcode: 1, payload: "half a message" });
  await backend.write(frame.subarray(0, 6));
  expect(await client.readBytes(6)).toEqual(frame.subarray(0, 6));
  expect(await backend.nextClose()).toMatchObject({ code: 1001 });
  await backend.write(frame.subarray(6));
  expect(await client.readBytes(frame.length - 6)).toEqual(frame.subarray(6));
  expect(await client.nextClose()).toEqual({ code: 3000, reason: "token expired" });
});

test("closeCodes of the route gives it another code, and a reload turns it on for open connections", async () => {
  const weir = await startClosing({ closeOnExpiry: false }, { closeCodes: { token_expired: 4401 } });
  const exp = inSeconds(3);
  const { client } = await weir.open("ann", until(exp));
  const { config } = weir.weir;
  const jwt = { secret: DEFAULT_SECRET, leeway: "0s" };
  const timeouts = { ping: "off", close: "60s", ...oftenLookedAt };
  await weir.reload({ config: { identity: { ...ids, jwt: { ...jwt, closeOnExpiry: true } }, timeouts } });
  expect(config.identity.jwt?.closeOnExpiry).toBe(false);
  expect(await client.nextClose()).toEqual({ code: 4401, reason: "token expired" });
});
