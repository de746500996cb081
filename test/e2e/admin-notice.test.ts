// POST /api/notice: a message of the administrator's, where a client can take it.
import { describe, expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { opcodes } from "../support/frames.ts";
import { ask } from "../support/http-client.ts";
import { waitForThreads } from "../support/patience.ts";
import { openRaw } from "../support/raw-client.ts";
import { accept, startScriptedBackend } from "../support/scripted-backend.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { openClient } from "../support/ws-client.ts";

const notices = { subprotocols: ["chat.v1"] };
const routes = [
  { match: { path: "/play" }, pool: "chat", notices },
  { match: { path: "/work" }, pool: "chat", notices },
  { match: { path: "/quiet" }, pool: "chat" },
];
const identity = { user: ["ip"], tier: [{ header: "x-tier" }] };
const tiers = { vip: {}, guest: { default: true } };

function startWith(backendUrl: string): Promise<StartedWeir> {
  waitForThreads();
  return startInFrontOf(backendUrl, { config: { threads: 2, routes, identity, tiers } });
}

async function notify({ adminUrl }: StartedWeir, body: unknown): Promise<{ status: number; body: unknown }> {
  const answer = await ask(`${adminUrl}/api/notice`, { method: "POST", body: JSON.stringify(body) });
  return { status: answer.status, body: JSON.parse(answer.body.toString()) };
}

describe("POST /api/notice", () => {
  test("reaches the clients of a route and tier whose route and subprotocol allow it, and counts them", async () => {
    const backend = await startEchoBackend({ ws: { handleProtocols: ([first]) => first ?? false } });
    const weir = await startWith(backend.url);
    const open = (path: string, tier: string, protocols: string[] = []) =>
      openClient(weir.url + path, { headers: { "X-Tier": tier }, protocols });
    const clients = {
      vip: await open("/play", "vip"),
      guest: await open("/play", "guest"),
      spoken: await open("/play", "vip", ["chat.v1"]),
      foreign: await open("/play", "vip", ["graphql-transport-ws"]),
      work: await open("/work", "vip"),
      quiet: await open("/quiet", "vip"),
    };
    const gotBy = async (body: unknown): Promise<string[]> => {
      const { status, body: answer } = await notify(weir, body);
      const got: string[] = [];
      for (const [name, client] of Object.entries(clients)) {
        await client.send("the end");
        const texts = [await client.nextText()];
        if (texts[0] !== "the end") texts.push(await client.nextText());
        expect(texts).toEqual([...(texts.length > 1 ? ["back at 5 — plan ahead"] : []), "the end"]);
        if (texts.length > 1) got.push(name);
      }
      expect([status, answer]).toEqual([200, { clients: got.length }]);
      return got;
    };
    const text = "back at 5 — plan ahead";
    expect(await gotBy({ text })).toEqual(["vip", "guest", "spoken", "work"]);
    expect(await gotBy({ text, tier: "vip" })).toEqual(["vip", "spoken", "work"]);
    expect(await gotBy({ text, route: "*/play" })).toEqual(["vip", "guest", "spoken"]);
    expect(await gotBy({ text, route: "*/play", tier: "guest" })).toEqual(["guest"]);
    expect(await gotBy({ text, route: "*/quiet" })).toEqual([]);
  });

  test("waits for the end of the message in flight, and none of several is lost", async () => {
    const backend = await startScriptedBackend(accept());
    const weir = await startWith(backend.url);
    const { connection: client } = await openRaw(`${weir.url}/play`);
    const upstream = await backend.connection(0);
    await upstream.sendFrame({ opcode: opcodes.text, fin: false, payload: "a long " });
    expect(await client.nextFrame()).toMatchObject({ opcode: opcodes.text, fin: false });
    for (const text of ["first", "second"])
      expect((await notify(weir, { text })).body).toEqual({ clients: 1 });
    await upstream.sendFrame({ opcode: opcodes.continuation, payload: "message" });
    expect(await client.nextFrame()).toMatchObject({ opcode: opcodes.continuation, fin: true });
    expect([await client.nextText(), await client.nextText()]).toEqual(["first", "second"]);
  });

  test("is refused where it says nothing, too much, or names what is not there", async () => {
    const backend = await startEchoBackend();
    const weir = await startWith(backend.url);
    const wrong = [
      undefined,
      {},
      { text: "" },
      { text: 1 },
      { text: "x".repeat(4_097) },
      { text: "x", user: "ann" },
      { text: "x", tier: 1 },
      "x",
      null,
    ];
    for (const body of wrong) {
      expect([body, await notify(weir, body)]).toEqual([
        body,
        { status: 400, body: { error: "bad_request", message: expect.any(String) } },
      ]);
    }
    for (const body of [
      { text: "x", route: "*/nowhere" },
      { text: "x", tier: "toString" },
    ]) {
      const message =
        body.tier === undefined ? /^no such route; there is .*\*\/play/ : /^no such tier; .*guest/;
      expect(await notify(weir, body)).toEqual({
        status: 404,
        body: { error: "not_found", message: expect.stringMatching(message) },
      });
    }
  });
});
