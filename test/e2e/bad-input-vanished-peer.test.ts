// Identity forgery by RST: a client sends a request and resets its socket at once. The kernel still hands
// the request over, but no longer says whose it is. A proxy that takes "no address" for a Unix socket,
// whose clients are trusted, believes the forged X-Forwarded-For and serves the request in another's name.
import { expect, test } from "vitest";

import { openBystander } from "../support/bystander.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { connectRaw, upgradeRequest } from "../support/raw-client.ts";
import { startInFrontOf } from "../support/start-in-front.ts";

const forged = ["X-Forwarded-For: 10.6.6.6", "X-Request-Id: forged"];

test("a client that resets its socket behind its request is never taken for a trusted one", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url, { config: { trustedProxies: [] } });
  const bystander = await openBystander(weir.url);
  const calm = await connectRaw(weir.url);
  // Whether Weir reads the request before or after the RST is the kernel's and the scheduler's choice.
  for (let i = 0; i < 200; i++) {
    // Leaves a socket to the backend open, on which the next request is out at once.
    await calm.write("GET /calm HTTP/1.1\r\nHost: a\r\n\r\n");
    const head = await calm.readHead();
    await calm.readBytes(Number(head.header("content-length")));
    const hasty = await connectRaw(weir.url);
    const plain = ["POST /hasty HTTP/1.1", "Host: a", ...forged, "Content-Length: 0", "", ""].join("\r\n");
    await hasty.write(i % 4 === 0 ? upgradeRequest({ lines: forged }) : plain);
    hasty.reset();
  }
  await bystander.expectUnharmed();
  for (const { headers } of [...backend.requests, ...backend.upgrades]) {
    expect(headers).toMatchObject({ "x-weir-user": "ip:127.0.0.1", "x-forwarded-for": "127.0.0.1" });
    expect(headers["x-request-id"]).not.toBe("forged");
  }
});
