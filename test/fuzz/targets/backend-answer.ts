// What a backend answers an upgrade, in chunks, read by the dial itself off a socket that it takes for a warm
// one. A tunnel is opened by a whole, sound 101 and by nothing else.

import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { Dial, type DialRequest, type DialResult } from "../../../src/data-plane/dial.ts";
import { DialTarget } from "../../../src/data-plane/dial-target.ts";
import { Refusal } from "../../../src/errors.ts";
import { FakeSocket } from "../../support/fake-socket.ts";
import { cut } from "../../conformance/frame-record.ts";
import { configWith } from "../config-with.ts";
import type { Random } from "../random.ts";
import { readSeeds } from "../seeds.ts";
import type { FuzzTarget } from "../target.ts";

/** RFC 6455 §1.3: the answer to it is in the seeds. */
const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT = /^sec-websocket-accept:[\t ]*s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=[\t ]*$/i;

const MAX_HEADER_SIZE = 1024;

export const target: FuzzTarget = { ...readSeeds("backend-answer"), isText: true, run };

async function run(input: Buffer, random: Random): Promise<void> {
  // A socket without a byte is taken for one that was closed while it was kept.
  if (input.length === 0) return;
  const socket = new FakeSocket();
  const dial = new Dial(requestOn(socket));
  const outcome = dial.result.catch((error: unknown) => error);
  for (const chunk of cut(input, [random.below(input.length), random.below(input.length)])) {
    if (chunk.length > 0) socket.push(chunk);
  }
  socket.push(null);
  const result = (await outcome) as DialResult | Error;
  if (result instanceof Error) {
    if (!(result instanceof Refusal)) throw result;
  } else if (result.kind === "switched") {
    checkSwitched(input, result.rawHeaders, result.head);
  } else {
    const { statusCode, headers } = result.response;
    assert.notEqual(statusCode, 101);
    if (statusCode === 204) assert.equal(Number(headers["content-length"] ?? 0), 0, "a 204 announces a body");
    result.response.destroy();
  }
  socket.destroy();
}

/** By plain means: behind any other 1xx, the first head is a 101 with the one right key; frames follow it. */
function checkSwitched(input: Buffer, rawHeaders: readonly string[], head: Buffer): void {
  let start = 0;
  let lines: string[] = [];
  do {
    const end = input.indexOf("\r\n\r\n", start);
    assert(end !== -1, "the head is not whole");
    lines = input.toString("latin1", start, end).split("\r\n");
    start = end + 4;
  } while (/^HTTP\/1\.1 1(?!01)\d\d(?: |$)/.test(lines[0] ?? ""));
  const [statusLine = "", ...headers] = lines;
  assert.match(statusLine, /^HTTP\/1\.1 101(?: |$)/);
  assert(
    headers.every((line) => /^[^\s:]+:[^\r\n\0]*$/.test(line)),
    "a line is malformed",
  );
  assert.equal(headers.filter((line) => ACCEPT.test(line)).length, 1, "not the one right key");
  assert.equal(rawHeaders.length, 2 * headers.length);
  assert(
    rawHeaders.every((text) => !/[\r\n\0]/.test(text)),
    "a header could break out of its line",
  );
  assert(input.subarray(start).subarray(0, head.length).equals(head), "frames are lost");
}

/** Where a warm socket turns out to be dead, the dial goes on to this, where nobody listens. */
const [pool] = Object.values(configWith({}).pools);

class OneWarmSocket extends DialTarget {
  #warm: FakeSocket | null;

  constructor(warm: FakeSocket) {
    const config = pool?.backends[0];
    assert(pool !== undefined && config !== undefined);
    super({ config, pool, secureContext: null });
    this.#warm = warm;
  }

  override takeWarm(): Socket | null {
    const taken = this.#warm?.asSocket ?? null;
    this.#warm = null;
    return taken;
  }
}

function requestOn(socket: FakeSocket): DialRequest {
  return {
    target: new OneWarmSocket(socket),
    addresses: null,
    proxyHeader: null,
    path: "/",
    headers: ["Host", "a"],
    key: KEY,
    offeredProtocols: "chat, superchat",
    offeredExtensions: "permessage-deflate; client_max_window_bits",
    answerExtensions: null,
    handshakeTimeoutMs: 1_000,
    maxHeaderSize: MAX_HEADER_SIZE,
  };
}
