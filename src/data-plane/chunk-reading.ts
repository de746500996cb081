// Reads the frames of one chunk at a time: how many messages and control frames it holds, and where reading
// has to stop. What becomes of them is the pipe's business.

import type { FrameScanner } from "../ws/frame-scanner.ts";
import { Opcode } from "../ws/protocol.ts";
import { type OwnPings, takeOwnPong } from "./own-pings.ts";

/**
 * Why reading a chunk stopped: at its end, behind a Close, behind a Pong that answers a Ping of Weir's,
 * behind the header of a frame that makes its message too big, or at a frame in error.
 */
type ChunkStop = "end" | "close" | "own pong" | "too big" | "error";

export interface ChunkReading {
  /** Where reading stopped, as the scanner returned it. */
  readonly at: number;
  readonly stop: ChunkStop;
  /** What may go on ends here. */
  readonly end: number;
  readonly messages: number;
  /** Offset of each message's first frame; the first `messages` count. */
  readonly starts: Int32Array;
  /** Without Pongs that answer Weir. */
  readonly controlFrames: number;
}

/** What is left to do with a chunk once its messages have gone on. */
export interface ChunkRest {
  readonly bytes: Buffer;
  /** Where reading it stopped, and why. */
  readonly at: number;
  readonly stop: ChunkStop;
}

/**
 * One for all pipes of the thread, since a chunk is dealt with at once. A frame takes 2 bytes at least, and
 * a read is no more than 64 KiB and a carry; what a client sends before its 101 may be twice as much, but
 * its frames take 6.
 */
const reading = {
  at: 0,
  stop: "end" as ChunkStop,
  end: 0,
  messages: 0,
  starts: new Int32Array(33_000),
  controlFrames: 0,
};

/** What a pipe reads its chunks by. */
export interface ChunkRules {
  readonly maxMessageBytes: number;
  /** Weir's pings to the source; null before the first one. */
  readonly ownPings: OwnPings | null;
}

/**
 * The message path: one pass over the frame headers of a chunk.
 *
 * @param bytes what `scanner.feed` returned
 * @returns valid until the next chunk is read, of whatever pipe
 */
export function readChunk(
  scanner: FrameScanner,
  bytes: Buffer,
  { maxMessageBytes, ownPings }: ChunkRules,
): ChunkReading {
  const { starts } = reading;
  let at = 0;
  let messages = 0;
  let controlFrames = 0;
  let stop: ChunkStop = "end";
  for (;;) {
    at = scanner.next(bytes, at);
    if (!scanner.frameReady) {
      if (scanner.error !== null) stop = "error";
      break;
    }
    const { opcode } = scanner;
    if (opcode >= Opcode.close) {
      if (takeOwnPong(ownPings, scanner, bytes)) stop = "own pong";
      else controlFrames += 1;
      if (opcode === Opcode.close) stop = "close";
    } else if (scanner.messageLength > maxMessageBytes) {
      stop = "too big";
    } else if (opcode !== Opcode.continuation) {
      starts[messages] = scanner.frameStart;
      messages += 1;
    }
    if (at === bytes.length || stop !== "end") break;
  }
  reading.at = at;
  reading.stop = stop;
  reading.end = stop === "too big" || stop === "own pong" ? scanner.frameStart : at;
  reading.messages = messages;
  reading.controlFrames = controlFrames;
  return reading;
}

/** Steps over frames until a Close was read, or the chunk or its sense has ended; whether it was a Close. */
export function findClose(scanner: FrameScanner, bytes: Buffer, from: number): boolean {
  let at = from;
  while (at < bytes.length) {
    at = scanner.next(bytes, at);
    if (!scanner.frameReady) return false;
    if (scanner.opcode === Opcode.close) return true;
  }
  return false;
}
