// What reaches an open port that is no HTTP/1.1: scanners, clients of other protocols, broken ones. A
// proxy that guesses at such bytes passes an attack on; one that says nothing leaves the operator blind.
import { expect, test } from "vitest";

import { openBystander } from "../support/bystander.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { connectRaw } from "../support/raw-client.ts";
import { expectRefusals, readRefusal } from "../support/refusal.ts";
import { startInFrontOf } from "../support/start-in-front.ts";

const attacks = {
  text: "hello there, is this the chat?\r\n\r\n",
  zeros: Buffer.alloc(1_000),
  "high bytes": Buffer.alloc(1_000, 0xff),
  "a TLS ClientHello": Buffer.from("16030100c8010000c40303".padEnd(400, "0"), "hex"),
  "a WebSocket frame": Buffer.from("818537fa213d7f9f4d5158", "hex"),
  "the preface of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  SSH: "SSH-2.0-OpenSSH_9.7\r\n",
  Redis: "*1\r\n$4\r\nPING\r\n",
  "the PROXY protocol, which is off": "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
  "a method that does not exist": "FETCH / HTTP/1.1\r\nHost: a\r\n\r\n",
  "a method in lower case": "get / HTTP/1.1\r\nHost: a\r\n\r\n",
  "no method": " / HTTP/1.1\r\nHost: a\r\n\r\n",
  "HTTP/0.9": "GET /\r\n\r\n",
  "HTTP/1.2": "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
  "HTTP/2.0 by name": "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
  "an answer in place of a request": "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
  "a tunnel": "CONNECT internal:22 HTTP/1.1\r\nHost: internal:22\r\n\r\n",
  "a tunnel with a body to come": "CONNECT internal:22 HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n",
  "a target that is no path": "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
  "a target of another scheme": "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
};

test("bytes that are no HTTP/1.1 request are answered 400, logged, and reach no backend", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url);
  const bystander = await openBystander(weir.url);
  await expectRefusals(weir, attacks, { status: 400, code: "bad_request" });
  expect(backend.upgrades).toHaveLength(1);
  expect(backend.requests).toEqual([]);
  await bystander.expectUnharmed();
});

test("a head that ends in the middle is answered 400", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url);
  const bystander = await openBystander(weir.url);
  const connection = await connectRaw(weir.url, { allowHalfOpen: true });
  await connection.write("GET / HTTP/1.1\r\nHo");
  connection.finish();
  expect(await readRefusal(connection)).toMatchObject({ status: 400, code: "bad_request" });
  await weir.log.entry("bad_request", ({ fields }) => fields["code"] === "bad_request");
  await bystander.expectUnharmed();
});

test("garbage behind an answered request is refused on the same socket", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url);
  const bystander = await openBystander(weir.url);
  const connection = await connectRaw(weir.url);
  await connection.write("GET /first HTTP/1.1\r\nHost: a\r\n\r\n");
  const head = await connection.readHead();
  expect(head.status).toBe(200);
  await connection.readBytes(Number(head.header("content-length") ?? "1"));
  await connection.write("garbage\r\n\r\n");
  expect(await readRefusal(connection)).toMatchObject({ status: 400, code: "bad_request" });
  await bystander.expectUnharmed();
});

test("a client that resets its socket in the middle of a head is no event", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url);
  const bystander = await openBystander(weir.url);
  const connection = await connectRaw(weir.url);
  await connection.write("GET / HTTP/1.1\r\nHo");
  connection.reset();
  await bystander.expectUnharmed();
  expect(weir.log.entries.filter(({ level }) => level !== "info")).toEqual([]);
});
