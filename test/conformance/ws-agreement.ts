// What must be true of the parser of `ws` if ours has read a stream rightly. Ours is stricter on minimal
// lengths, and lets through the Close codes and payloads that `ws` checks.

import { isValidCloseCode } from "../../src/ws/close.ts";
import { opcodes } from "../support/frames.ts";
import type { FrameRecord, MessageSeen } from "./frame-record.ts";
import type { Direction } from "./frame-streams.ts";
import { WsReceiver, type WsState } from "./ws-receiver.ts";

interface Reading {
  /** After each of the pieces that the stream was given in. */
  readonly states: WsState[];
  readonly messages: MessageSeen[];
}

/**
 * Has `ws` read what `record` says of: what it must have seen, and what it has.
 *
 * @param cut how a piece of the stream comes
 */
export async function askWs(
  direction: Direction,
  stream: Buffer,
  record: FrameRecord,
  cut: (piece: Buffer) => readonly Buffer[],
): Promise<{ readonly expected: Reading; readonly seen: Reading }> {
  const { pieces, ...expected } = expectationOf(stream, record);
  const receiver = new WsReceiver(direction);
  const states: WsState[] = [];
  for (const piece of pieces) {
    for (const chunk of cut(piece)) await receiver.write(chunk);
    states.push(receiver.state);
  }
  return { expected, seen: { states, messages: receiver.messages } };
}

function expectationOf(
  stream: Buffer,
  { messages, forwarded, errorCode }: FrameRecord,
): Reading & { readonly pieces: Buffer[] } {
  const closeAt = messages.findIndex(({ type }) => type === "close");
  const close = messages[closeAt];
  if (close?.type === "close") {
    // `ws` reads nothing after a Close, and checks it.
    return isBadClose(close.payload)
      ? { pieces: [stream], states: ["refused"], messages: messages.slice(0, closeAt) }
      : { pieces: [stream], states: ["closed"], messages: messages.slice(0, closeAt + 1) };
  }
  const sound = stream.subarray(0, forwarded.length / 2);
  const rest = stream.subarray(sound.length);
  if (errorCode === null) {
    return { pieces: [stream], states: [beginsOneByteClose(rest) ? "refused" : "open"], messages };
  }
  if (errorCode === "length_not_minimal") return { pieces: [sound], states: ["open"], messages };
  // `ws` judges whole pieces of a header: its first two bytes, or those with the 64-bit length.
  const proofLength = errorCode === "length_too_large" ? 10 : 2;
  const proof = Buffer.concat([rest, Buffer.alloc(proofLength)]).subarray(0, proofLength);
  return {
    pieces: [sound, proof.subarray(0, -1), proof.subarray(-1)],
    states: ["open", "open", "refused"],
    messages,
  };
}

/** In hex. */
function isBadClose(payload: string): boolean {
  return payload.length === 2 || (payload !== "" && !isValidCloseCode(parseInt(payload.slice(0, 4), 16)));
}

/** A Close of one byte, which `ws` refuses by its header already. */
function beginsOneByteClose(bytes: Buffer): boolean {
  return (
    bytes.length > 1 && (bytes.readUInt8(0) & 0xf) === opcodes.close && (bytes.readUInt8(1) & 0x7f) === 1
  );
}
