// The frames of one direction, cut anywhere: what the scanner and the pipe make of them. `ws` is the judge of
// what they are, and the bytes themselves of what was passed on.

import assert from "node:assert/strict";
import type { Boundaries, FrameRecord } from "../../conformance/frame-record.ts";
import { cut, recordFrames } from "../../conformance/frame-record.ts";
import type { Direction } from "../../conformance/frame-streams.ts";
import { askWs } from "../../conformance/ws-agreement.ts";
import { FakeSocket } from "../../support/fake-socket.ts";
import type { GateLimits } from "../../../src/data-plane/message-gate.ts";
import { Pipe } from "../../../src/data-plane/pipe.ts";
import { Bucket, BucketCells, BYTES_PER_CELL } from "../../../src/shared-memory/gcra.ts";
import { buildCloseFrame, buildFrame } from "../../../src/ws/frame-builder.ts";
import type { FrameScannerOptions } from "../../../src/ws/frame-scanner.ts";
import { MASK_BIT, Opcode, ReservedBits } from "../../../src/ws/protocol.ts";
import { nobody } from "../nobody.ts";
import type { Random } from "../random.ts";
import { readSeeds } from "../seeds.ts";
import type { FuzzTarget } from "../target.ts";

/** No mutation makes these by chance. */
const OUR_PAYLOAD = Buffer.from("a frame of Weir's, known by this");

/** Messages that pass before others are dropped, all at one moment. */
const BURST = 2;
const NOW_NS = 1e12;

export const target: FuzzTarget = { ...readSeeds("frames"), run };

async function run(stream: Buffer, random: Random): Promise<void> {
  // As the first frame is, mostly: in the other direction it would be the last one.
  const isFirstMasked = ((stream[1] ?? 0) & MASK_BIT) !== 0;
  const direction: Direction = {
    masked: random.oneIn(8) ? !isFirstMasked : isFirstMasked,
    deflate: random.oneIn(3),
  };
  const reservedBits = direction.deflate ? ReservedBits.rsv1 : ReservedBits.none;
  const options = { masked: direction.masked, reservedBits };
  const chunks = cutAnywhere(stream, random);
  const record = recordFrames(options, [stream]);
  assert.deepEqual(recordFrames(options, chunks), record, "it depends on where the stream is cut");
  checkForwarded(stream, record);
  // It unmasks in place.
  const copy = Buffer.from(stream);
  const { seen, expected } = await askWs(direction, copy, record, (piece) => cutAnywhere(piece, random));
  assert.deepEqual(seen, expected, "ws sees something else");
  checkPipe(chunks, record, { ...options, random });
  checkDropping(chunks, record, options);
}

function checkForwarded(stream: Buffer, { forwarded, errorCode, carryLength }: FrameRecord): void {
  assert(stream.toString("hex").startsWith(forwarded), "other bytes are forwarded than came");
  const heldBack = stream.length - forwarded.length / 2;
  assert.equal(carryLength, errorCode === null ? heldBack : 0);
  assert(carryLength < 2 + 4 + 125, "more is carried than a control frame");
}

/** What reaches the sink is what came, up to a Close or an error, and frames of ours at boundaries only. */
function checkPipe(
  chunks: readonly Buffer[],
  record: FrameRecord,
  { masked, reservedBits, random }: FrameScannerOptions & { readonly random: Random },
): void {
  const sink = new FakeSocket();
  const pipe = pipeInto(sink, { masked, reservedBits });
  const maskingKey = masked ? Buffer.alloc(4) : null;
  const ours = {
    ping: buildFrame({ opcode: Opcode.ping, payload: OUR_PAYLOAD, maskingKey }),
    text: buildFrame({ opcode: Opcode.text, payload: OUR_PAYLOAD, maskingKey }),
    close: buildCloseFrame({ code: 1001, reason: OUR_PAYLOAD.toString(), maskingKey }),
  };
  const interruption = random.pick(["none", "ping", "text", "close"] as const);
  const interrupted = random.below(chunks.length);
  for (const [index, chunk] of chunks.entries()) {
    if (index === interrupted) {
      if (interruption === "ping") pipe.ping(ours.ping, () => {});
      if (interruption === "text") pipe.notify(ours.text);
      if (interruption === "close") {
        if (random.oneIn(2) && pipe.isInMessage(0)) pipe.finish();
        pipe.close(ours.close);
      }
    }
    pipe.onData(chunk);
  }
  const written = Buffer.concat(sink.written);
  if (interruption === "none") checkPassedOn(written, record);
  else checkInterrupted(written, record, { ours: ours[interruption], interruption });
}

function pipeInto(sink: FakeSocket, options: FrameScannerOptions): Pipe {
  const counters = { cells: new Float64Array(2), messages: 0, bytes: 1 };
  const sockets = { source: new FakeSocket().asSocket, sink: sink.asSocket };
  return new Pipe({ owner: nobody, ...sockets, ...options, counters });
}

function checkPassedOn(written: Buffer, record: FrameRecord): void {
  assert.equal(written.toString("hex"), passable(record), "other bytes reach the sink than came");
}

function checkInterrupted(
  written: Buffer,
  record: FrameRecord,
  { ours, interruption }: { ours: Buffer; interruption: "ping" | "text" | "close" },
): void {
  const at = written.indexOf(ours);
  const theirs =
    at === -1 ? written : Buffer.concat([written.subarray(0, at), written.subarray(at + ours.length)]);
  const came = passable(record);
  if (at === -1) return assertUninterrupted(theirs, came, interruption);
  const boundaries = boundariesOf(record);
  const isAllowed = (interruption === "text" ? boundaries.message : boundaries.frame).includes(at);
  assert(isAllowed, `a ${interruption} of ours stands inside a frame or message, at ${at}`);
  if (interruption === "close") {
    assert.equal(at + ours.length, written.length, "something follows our Close");
    assert(came.startsWith(theirs.toString("hex")), "other bytes reach the sink than came");
  } else {
    assert.equal(theirs.toString("hex"), came, "other bytes reach the sink than came");
  }
}

/** Of the messages above the burst not a byte goes on, and of all else every one. */
function checkDropping(chunks: readonly Buffer[], record: FrameRecord, options: FrameScannerOptions): void {
  const sink = new FakeSocket();
  const pipe = pipeInto(sink, options);
  const cells = new BucketCells(new SharedArrayBuffer(BYTES_PER_CELL));
  const messages: GateLimits = {
    messages: [new Bucket(cells, 0, { rate: 1, burst: BURST })],
    names: ["tier"],
    bytes: null,
    onExceed: "drop",
    maxDelayMs: 1,
  };
  pipe.limit({ messages, maxMessageBytes: Number.POSITIVE_INFINITY, controlFrames: null }, () => NOW_NS);
  for (const chunk of chunks) pipe.onData(chunk);
  const came = passable(record);
  let expected = "";
  let begun = 0;
  for (const [index, { start, opcode, isMessageStart }] of record.frames.entries()) {
    if (isMessageStart) begun += 1;
    const end = record.frames[index + 1]?.start ?? Number.POSITIVE_INFINITY;
    if (opcode >= Opcode.close || begun <= BURST) expected += came.slice(2 * start, 2 * end);
  }
  assert.equal(
    Buffer.concat(sink.written).toString("hex"),
    expected,
    "other messages are dropped than those",
  );
}

/** A frame of ours that never found its place: all of theirs is there, or what was in flight for a Close. */
function assertUninterrupted(theirs: Buffer, came: string, interruption: string): void {
  const written = theirs.toString("hex");
  if (interruption === "close") assert(came.startsWith(written), "other bytes reach the sink than came");
  else assert.equal(written, came, "other bytes reach the sink than came");
}

/** Up to the end of the first Close, in hex: nothing that follows it is passed on. */
function passable({ frames, forwarded }: FrameRecord): string {
  const after = frames[frames.findIndex(({ opcode }) => opcode === Opcode.close) + 1];
  const hasClose = frames.some(({ opcode }) => opcode === Opcode.close);
  return hasClose && after !== undefined ? forwarded.slice(0, 2 * after.start) : forwarded;
}

/** Where frames, and where messages, begin and end in what was forwarded. */
function boundariesOf({ frames, forwarded }: FrameRecord): Boundaries {
  const end = forwarded.length / 2;
  const starts = [...frames.map(({ start }) => start), end];
  let isInMessage = false;
  const message = [0];
  for (const [index, { opcode, fin }] of frames.entries()) {
    if (opcode < Opcode.close) isInMessage = !fin;
    if (!isInMessage) message.push(starts[index + 1] ?? end);
  }
  return { frame: starts, message };
}

function cutAnywhere(stream: Buffer, random: Random): Buffer[] {
  const cuts = random.oneIn(4) ? random.below(30) : random.below(4);
  return cut(
    stream,
    Array.from({ length: cuts }, () => random.below(stream.length + 1)),
  );
}
