// The end of what is in flight when a Close of ours is under way: how much of a chunk still belongs to the
// frame or message that was begun. What becomes of the rest is the pipe's business.

import type { FrameScanner } from "../ws/frame-scanner.ts";
import { Opcode } from "../ws/protocol.ts";
import type { ChunkRules } from "./chunk-reading.ts";
import { takeOwnPong } from "./own-pings.ts";

/** Up to where our own Close waits: the end of the frame in flight, or of the message. */
export type FinishingUnit = "frame" | "message";

interface Finishing {
  /** What may go on ends here. */
  readonly end: number;
  /** Where reading stopped, as the scanner returned it. */
  readonly at: number;
  /** `more`: it goes on in the next chunk; `own pong`: behind that. The others end it. All as in `ChunkStop`. */
  readonly stop: "whole" | "more" | "own pong" | "close" | "too big" | "error";
}

/** Whether the stream stands where no frame, or no message, is in flight. */
export function isAtEndOf(unit: FinishingUnit, scanner: FrameScanner): boolean {
  return unit === "frame" ? scanner.isAtFrameBoundary : scanner.isAtMessageBoundary;
}

/**
 * Steps over the rest of the frame or message in flight and not a byte further. The control frames between
 * the fragments of a message belong to what may go on, but for a Close, which ends the message early.
 *
 * @param bytes what `scanner.feed` returned
 */
export function finishInFlight(
  scanner: FrameScanner,
  bytes: Buffer,
  unit: FinishingUnit,
  { maxMessageBytes, ownPings }: ChunkRules,
): Finishing {
  let at = 0;
  for (;;) {
    // Bytes cut at the end of the payload: the scanner would go on to the next frame.
    const payloadEnd = Math.min(at + scanner.payloadRemaining, bytes.length);
    if (payloadEnd > at) at = scanner.next(bytes.subarray(0, payloadEnd), at);
    if (isAtEndOf(unit, scanner)) return { end: at, at, stop: "whole" };
    if (at === bytes.length) return { end: at, at, stop: "more" };
    const next = scanner.next(bytes, at);
    if (!scanner.frameReady) return { end: next, at: next, stop: scanner.error === null ? "more" : "error" };
    const { opcode, frameStart } = scanner;
    if (opcode === Opcode.close) return { end: frameStart, at: next, stop: "close" };
    if (takeOwnPong(ownPings, scanner, bytes)) return { end: frameStart, at: next, stop: "own pong" };
    if (opcode < Opcode.close && scanner.messageLength > maxMessageBytes) {
      return { end: frameStart, at: next, stop: "too big" };
    }
    at = next;
  }
}
