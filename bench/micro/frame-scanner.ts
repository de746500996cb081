// What it costs to step over the frames of a stream, as each direction of the relay does.

import { Bench } from "tinybench";
import { FrameScanner } from "../../src/ws/frame-scanner.ts";
import { ReservedBits } from "../../src/ws/protocol.ts";
import { maskedFrames } from "../load/frames.ts";

const READ_BYTES = 64 * 1024;
/** A segment of a real network: cuts frames and headers anywhere. */
const SEGMENT_BYTES = 1448;

export function frameScannerBench(): Bench {
  const bench = new Bench({ name: "frame scanner, 64 KiB of messages", time: 500, warmupTime: 200 });
  for (const messageBytes of [64, 1024, 16_000]) {
    const frames = wholeFrames(messageBytes);
    addCase(bench, `${messageBytes} B each, in one read`, [frames]);
    addCase(bench, `${messageBytes} B each, in segments of ${SEGMENT_BYTES} B`, segments(frames));
  }
  return bench;
}

/** One scanner for all iterations, as a connection has: each ends where a frame ends. */
function addCase(bench: Bench, name: string, chunks: readonly Buffer[]): void {
  const scanner = new FrameScanner({ masked: true, reservedBits: ReservedBits.none });
  bench.add(name, () => {
    for (const chunk of chunks) scan(scanner, chunk);
    if (scanner.error !== null) throw scanner.error;
  });
}

function scan(scanner: FrameScanner, read: Buffer): void {
  const chunk = scanner.feed(read);
  let at = 0;
  do at = scanner.next(chunk, at);
  while (scanner.frameReady);
}

function wholeFrames(messageBytes: number): Buffer {
  const frameBytes = maskedFrames(messageBytes, 1).length;
  return maskedFrames(messageBytes, Math.floor(READ_BYTES / frameBytes));
}

function segments(bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += SEGMENT_BYTES)
    pieces.push(bytes.subarray(at, at + SEGMENT_BYTES));
  return pieces;
}
