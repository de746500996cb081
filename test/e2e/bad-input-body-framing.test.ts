// Request smuggling by length (CL.TE, TE.CL, TE.TE): where a request names its length twice, or in a way
// that not all read alike, proxy and backend may disagree on where it ends, and the attacker's "body"
// becomes the next client's request. RFC 9112 §6.3 lets a proxy refuse all of these; Weir does.
import { expect, test } from "vitest";

import { openBystander } from "../support/bystander.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { connectRaw } from "../support/raw-client.ts";
import { expectRefusals } from "../support/refusal.ts";
import { startScriptedBackend } from "../support/scripted-backend.ts";
import { startInFrontOf } from "../support/start-in-front.ts";

const chunked = "5\r\nhello\r\n0\r\n\r\n";

function post(lines: readonly string[], body: string, method = "POST"): string {
  return [`${method} / HTTP/1.1`, "Host: a", ...lines, "", body].join("\r\n");
}

const attacks = {
  "Content-Length and Transfer-Encoding": post(["Content-Length: 5", "Transfer-Encoding: chunked"], chunked),
  "Transfer-Encoding and Content-Length": post(["Transfer-Encoding: chunked", "Content-Length: 5"], chunked),
  "both on a GET": post(["Content-Length: 0", "Transfer-Encoding: chunked"], chunked, "GET"),
  "two lengths": post(["Content-Length: 5", "Content-Length: 6"], "hello"),
  "the same length twice": post(["Content-Length: 5", "Content-Length: 5"], "hello"),
  "a list of lengths": post(["Content-Length: 5, 5"], "hello"),
  "a length with a sign": post(["Content-Length: +5"], "hello"),
  "a negative length": post(["Content-Length: -1"], "hello"),
  "a length in hex": post(["Content-Length: 0x5"], "hello"),
  "a length beyond 2^64": post(["Content-Length: 18446744073709551621"], "hello"),
  "an empty length": post(["Content-Length:"], "hello"),
  "an unknown encoding": post(["Transfer-Encoding: xchunked"], chunked),
  "chunked, but not last": post(["Transfer-Encoding: chunked, identity"], chunked),
  "chunked behind another encoding": post(["Transfer-Encoding: gzip, chunked"], chunked),
  "chunked behind another encoding, in two lines": post(
    ["Transfer-Encoding: gzip", "Transfer-Encoding: chunked"],
    chunked,
  ),
  "an encoding without chunked": post(["Transfer-Encoding: gzip"], chunked),
  "a chunk size that is none": post(["Transfer-Encoding: chunked"], "zz\r\nhello\r\n0\r\n\r\n"),
  "a chunk size with a sign": post(["Transfer-Encoding: chunked"], "+5\r\nhello\r\n0\r\n\r\n"),
  "a chunk size beyond 2^64": post(["Transfer-Encoding: chunked"], `1${"0".repeat(16)}\r\nhello`),
  "a chunk size that ends with a bare LF": post(["Transfer-Encoding: chunked"], "5\nhello\r\n0\r\n\r\n"),
  "chunks of HTTP/1.0": post(["Transfer-Encoding: chunked"], chunked).replace("HTTP/1.1", "HTTP/1.0"),
  "a chunk that is longer than its size": post(["Transfer-Encoding: chunked"], "5\r\nhello!\r\n0\r\n\r\n"),
};

test("a request whose end is told in two ways or in none is answered 400", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url);
  const bystander = await openBystander(weir.url);
  await expectRefusals(weir, attacks, { status: 400, code: "bad_request" });
  expect(backend.requests).toEqual([]);
  await bystander.expectUnharmed();
});

// By itself, Node's HTTP client frames a body only for methods that usually have one, and `http-proxy`
// declares that of a DELETE or OPTIONS empty. The chunks' content would follow the head bare, and the
// backend would read it as the next request on the connection that all clients share.
test("a chunked body stays a body, whatever the method", async () => {
  const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
  const body = `${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`;
  const backend = await startScriptedBackend(() => {});
  const weir = await startInFrontOf(backend.url);
  const client = await connectRaw(weir.url);
  for (const method of ["GET", "HEAD", "DELETE", "OPTIONS", "POST", "PATCH"]) {
    await client.write(post(["Transfer-Encoding: chunked"], body, method));
    const connection = await backend.connection(0);
    const head = await connection.readHead();
    expect(head.startLine).toBe(`${method} / HTTP/1.1`);
    expect(head.header("transfer-encoding")).toBe("chunked");
    expect(head.header("content-length")).toBeUndefined();
    expect((await connection.readBytes(body.length)).toString()).toBe(body);
    await connection.write("HTTP/1.1 204 No Content\r\n\r\n");
    expect((await client.readHead()).status).toBe(204);
    expect(connection.buffered).toHaveLength(0);
  }
  expect(backend.connections).toHaveLength(1);
});

test("a body by Content-Length stays a body, whatever the method", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url);
  const methods = ["GET", "DELETE", "OPTIONS", "POST"];
  for (const method of methods) {
    const client = await connectRaw(weir.url);
    await client.write(post(["Content-Length: 5"], "hello", method));
    expect((await client.readHead()).status).toBe(200);
  }
  expect(backend.requests.map(({ method, body }) => [method, body])).toEqual(
    methods.map((method) => [method, "hello"]),
  );
});
