// A backend's answer whose end two readers find in different places: what one takes for the end of a body the
// other takes for the next answer, which then goes to somebody else's request. A client gets an answer that can be
// read in one way, or a 502: never half of one, and never an end without a word.
import { expect, test } from "vitest";

import { connectRaw, upgradeRequest } from "../support/raw-client.ts";
import { refusalOf } from "../support/refusal.ts";
import { startScriptedBackend, type Script } from "../support/scripted-backend.ts";
import { startInFrontOfEach } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";

/** RFC 9110 §8.6 and RFC 9112 §6.1: a 204 has neither length nor chunks, and a 1xx nothing behind its head. */
const refused = {
  "a 204 that announces a body": "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
  "a 204 with a body": "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
  "a 204 in chunks": "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "a 100 with a body":
    "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
  "a chunk size that is none": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello",
};

/** Answer, and what the client sees of its length and body. */
const passed = {
  "a 200 with bytes behind it": ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhihello", "2", "hi"],
  "a 200 with a line break behind it": ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi\r\nx", "2", "hi"],
  "a 204 of length 0": ["HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", undefined, ""],
  "a 204 with bytes behind it": ["HTTP/1.1 204 No Content\r\n\r\nhello", undefined, ""],
  "a 304 with the length of the page": [
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    undefined,
    "",
  ],
  "a 304 with a body": ["HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello", undefined, ""],
  "a 304 in chunks": [
    "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    undefined,
    "",
  ],
} as const;

test("an answer that has two ends is answered 502, to requests and upgrades", async () => {
  const weir = await startInFrontOfAnswers(Object.values(refused));
  for (const [i, what] of Object.keys(refused).entries()) {
    const get = `GET /${i} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;
    for (const head of [get, upgradeRequest({ path: `/${i}` })]) {
      const { status, code } = await refusalOf(weir.url, head).catch((error: unknown) => {
        throw new Error(`${what}: ${String(error)}`, { cause: error });
      });
      expect.soft([what, status, code]).toEqual([what, 502, "backend_failed"]);
    }
  }
});

test("of an answer that has one end the client gets as much, and no byte from behind it", async () => {
  const weir = await startInFrontOfAnswers(Object.values(passed).map(([bytes]) => bytes));
  for (const [i, [what, [bytes, length, body]]] of Object.entries(passed).entries()) {
    const client = await connectRaw(weir.url);
    for (let n = 0; n < 2; n++) {
      await client.write(`GET /${i} HTTP/1.1\r\nHost: a\r\n\r\n`);
      const head = await client.readHead();
      expect.soft([what, `HTTP/1.1 ${head.status}`]).toEqual([what, bytes.slice(0, 12)]);
      expect.soft([what, head.header("content-length")]).toEqual([what, length]);
      expect.soft((await client.readBytes(body.length)).toString(), what).toBe(body);
      expect.soft([what, client.buffered.toString()]).toEqual([what, ""]);
    }
    const upgrade = await connectRaw(weir.url);
    await upgrade.write(upgradeRequest({ path: `/${i}` }));
    expect.soft((await upgrade.readHead()).header("content-length"), what).toBe(length);
    expect.soft((await upgrade.readToEnd()).toString(), what).toBe(body);
  }
});

test("an answer to HEAD has no body, whatever comes behind its head", async () => {
  const weir = await startInFrontOfAnswers(["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"]);
  const client = await connectRaw(weir.url);
  for (let n = 0; n < 2; n++) {
    await client.write("HEAD /0 HTTP/1.1\r\nHost: a\r\n\r\n");
    const head = await client.readHead();
    expect([head.status, head.header("content-length")]).toEqual([200, "5"]);
  }
  expect(client.buffered.toString()).toBe("");
});

test("an answer that nobody asked for ends its socket, and is nobody's", async () => {
  const smuggled = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled";
  const backend = await startScriptedBackend(answerEach("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nreal"));
  const weir = await startInFrontOfEach([backend.url]);
  const client = await connectRaw(weir.url);
  for (let n = 0; n < 3; n++) {
    await client.write("GET /0 HTTP/1.1\r\nHost: a\r\n\r\n");
    await client.readHead();
    expect((await client.readBytes(4)).toString()).toBe("real");
    const connection = await backend.connection(n);
    await connection.write(smuggled);
    expect(await connection.untilClosed()).not.toBe("open");
  }
  expect(client.buffered.toString()).toBe("");
});

/** A Weir with a backend for each answer, at `/0`, `/1` and so on. */
async function startInFrontOfAnswers(answers: readonly string[]): Promise<StartedWeir> {
  const backends = await Promise.all(answers.map((bytes) => startScriptedBackend(answerEach(bytes))));
  return startInFrontOfEach(backends.map(({ url }) => url));
}

/** The same bytes for every request, in one write. */
function answerEach(bytes: string): Script {
  return async (connection) => {
    const hasAnother = (): Promise<boolean> =>
      connection.readHead().then(
        () => true,
        () => false,
      );
    while (await hasAnother()) await connection.write(bytes);
  };
}
