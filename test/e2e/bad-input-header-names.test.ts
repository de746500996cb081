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

// CGI, WSGI and PHP turn `X-Weir-User`, `X_Weir_User` and `X.Weir.User` into HTTP_X_WEIR_USER.
test.for([
  { peer: "a stranger", trustedProxies: [], passes: ["x_real_ip"] },
  {
    peer: "a trusted proxy that lets them through",
    trustedProxies: ["loopback"],
    passes: ["x_real_ip", "x_user"],
  },
])(
  "Weir's own headers cannot be forged with other separators by $peer",
  async ({ trustedProxies, passes }) => {
    const backend = await startEchoBackend();
    const identity = { user: [{ header: "x-user" }, "ip"] };
    const weir = await startInFrontOf(backend.url, { config: { trustedProxies, identity } });
    const forged = ["X_Weir_User", "x-weir_tier", "X_Forwarded_For", "X_Request_Id", "x_real_ip", "x_user"];
    const odd = ["X.Weir.User", "X!Weir-Tier", "X.Forwarded.Proto", "X~Request~Id"];
    await openRaw(weir.url, { lines: [...forged, ...odd].map((name) => `${name}: 10.0.0.1`) });
    const { headers } = backend.upgrades[0] ?? {};
    const unusual = Object.keys(headers ?? {}).filter((name) => /[^a-z-]/.test(name));
    expect(unusual.toSorted()).toEqual(passes);
    expect(headers).toMatchObject({ "x-weir-user": "ip:127.0.0.1", "x-forwarded-for": "127.0.0.1" });
  },
);
