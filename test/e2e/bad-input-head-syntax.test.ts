// Request smuggling by syntax: a head that two parsers read differently. Where the proxy sees one header
// line and the backend two (or a value, or a body's length, that is not the same), an attacker hides a
// request of his own in front of the next client's. So nothing that RFC 9112 does not allow passes:
//
// - a bare LF or CR ends a line for some servers and belongs to the value for others (§2.2);
// - a line that begins with white space continues the one before for old servers, and is a line of its
//   own for others (obs-fold, §5.2);
// - white space before the colon makes `Transfer-Encoding ` another header for some (§5.1);
// - a NUL ends the value for servers written in C (RFC 9110 §5.5).
import { expect, test } from "vitest";

import { openBystander } from "../support/bystander.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { connectRaw, upgradeRequest } from "../support/raw-client.ts";
import { expectRefusals } from "../support/refusal.ts";
import { startScriptedBackend } from "../support/scripted-backend.ts";
import { startInFrontOf } from "../support/start-in-front.ts";

function request(line: string): string {
  return `GET / HTTP/1.1\r\nHost: a\r\n${line}\r\n\r\n`;
}

const attacks = {
  "bare LF everywhere": "GET / HTTP/1.1\nHost: a\n\n",
  "a bare LF behind the request line": "GET / HTTP/1.1\nHost: a\r\n\r\n",
  "a bare LF behind a header": request("X: 1\nY: 2"),
  "a bare LF in place of the empty line": "GET / HTTP/1.1\r\nHost: a\r\n\n",
  "a bare CR in a value": request("X: 1\rTransfer-Encoding: chunked"),
  "obs-fold with a space": request("X: 1\r\n Transfer-Encoding: chunked"),
  "obs-fold with a tab": request("Transfer-Encoding:\r\n\tchunked"),
  "obs-fold as the first line": "GET / HTTP/1.1\r\n Host: a\r\nHost: b\r\n\r\n",
  "a space before the colon": request("Transfer-Encoding : chunked"),
  "a tab before the colon": request("Content-Length\t: 5"),
  "a NUL in a value": request("X: 1\0Y: 2"),
  "a NUL in a name": request("X\0Y: 2"),
  "a NUL in the path": "GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n",
  "another control character in a value": request("X: 1\x01"),
  "DEL in a value": request("X: 1\x7f"),
  "a header without a colon": request("X"),
  "a header without a name": request(": 1"),
  "a name with brackets": request("X[]: 1"),
  "a name beyond ASCII": request("X\xe4: 1"),
  "a tab in the request line": "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
  "a space in the path": "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
  "no version": "GET / \r\nHost: a\r\n\r\n",
  "an upgrade with a bare LF": upgradeRequest({ lines: ["X: 1\nY: 2"] }),
  "an upgrade with obs-fold": upgradeRequest({ lines: ["X: 1", " 2"] }),
  "an upgrade with a space before a colon": upgradeRequest({ lines: ["Sec-WebSocket-Protocol : a"] }),
  "an upgrade with a NUL": upgradeRequest({ lines: ["X: \0"] }),
};

test("a head that two parsers could read differently is answered 400 and reaches no backend", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url);
  const bystander = await openBystander(weir.url);
  const bytes = Object.entries(attacks).map(([what, text]) => [what, Buffer.from(text, "latin1")] as const);
  await expectRefusals(weir, Object.fromEntries(bytes), { status: 400, code: "bad_request" });
  expect(backend.upgrades).toHaveLength(1);
  expect(backend.requests).toEqual([]);
  await bystander.expectUnharmed();
});

// RFC 9112 §2.2 has a server skip an empty line there; Node's parser skips a bare LF or CR as well, and cannot be
// told not to. So the promise is that they are nothing: no byte of them goes on, and they move no request's end.
test("line breaks ahead of a request line belong to no request, and no backend sees them", async () => {
  const backend = await startScriptedBackend(() => {});
  const weir = await startInFrontOf(backend.url);
  const client = await connectRaw(weir.url);
  const answered = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
  const breaks = ["\r\n", "\n", "\r", "\n\n\r\r\n\n"];
  const posts = breaks.map(
    (text, i) => `${text}POST /${i} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello`,
  );
  await client.write(`${posts.join("")}\nGET /last HTTP/1.1\r\nHost: a\r\n\r\n`);
  // None is answered before all have come, so that each has a socket of its own.
  await backend.connection(breaks.length);
  const seen: string[] = [];
  for (let i = 0; i <= breaks.length; i++) {
    const connection = await backend.connection(i);
    const head = await connection.readHead();
    const body = (await connection.readBytes(Number(head.header("content-length") ?? "0"))).toString();
    seen.push(`${head.raw.split("\r\n", 1)[0]} ${body}${connection.buffered.toString()}`);
    await connection.write(answered);
    expect((await client.readHead()).status).toBe(200);
  }
  expect(seen.toSorted()).toEqual(
    [...breaks.map((_, i) => `POST /${i} HTTP/1.1 hello`), "GET /last HTTP/1.1 "].toSorted(),
  );
});
