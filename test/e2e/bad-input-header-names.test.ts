// Header names are the client's to choose: those that mean something to JavaScript's objects, and those
// that a backend cannot tell from Weir's own once it has made variables of them.
import { expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { connectRaw, openRaw } from "../support/raw-client.ts";
import { startInFrontOf } from "../support/start-in-front.ts";

const lines = ["__proto__: a", "__proto__: b", "constructor: c", "hasOwnProperty: d", "toString: e"];

test("names of JavaScript's own properties pass like any other", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url);
  const client = await connectRaw(weir.url);
  await client.write(["GET / HTTP/1.1", "Host: a", ...lines, "", ""].join("\r\n"));
  expect((await client.readHead()).status).toBe(200);
  await openRaw(weir.url, { lines });
  for (const { rawHeaders } of [...backend.requests, ...backend.upgrades]) {
    const text = rawHeaders.join("\n").toLowerCase();
    for (const line of lines) expect(text).toContain(line.toLowerCase().replace(": ", "\n"));
    expect(text).not.toContain("native code");
  }
});

// CGI, WSGI and PHP turn both `X-Weir-User` and `X_Weir_User` into HTTP_X_WEIR_USER.
test("Weir's own headers cannot be forged with underscores", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url, { config: { trustedProxies: [] } });
  const forged = ["X_Weir_User: admin", "x-weir_tier: vip", "X_Forwarded_For: 10.0.0.1", "x_real_ip: 1"];
  await openRaw(weir.url, { lines: forged });
  const { headers } = backend.upgrades[0] ?? {};
  expect(Object.keys(headers ?? {}).filter((name) => name.includes("_"))).toEqual(["x_real_ip"]);
  expect(headers).toMatchObject({ "x-weir-user": "ip:127.0.0.1", "x-forwarded-for": "127.0.0.1" });
});
