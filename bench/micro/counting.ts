// What it costs the message path to count: a chunk through a pipe, beside the same pipe whose writer does not
// count. All in one run, since runs differ by more than the counting could.

import { Pipe } from "../../src/data-plane/pipe.ts";
import { maskedFrames } from "../load/frames.ts";
import { changedPipe, pipeOf } from "./lone-pipe.ts";

const MESSAGE_BYTES = 64;
/** So many that neither their figures nor their cells stay in the nearest cache. */
const PIPES = 4_096;
const ROUNDS = 60;
const NS_PER_MS = 1e6;

/** The lines of `FrameWriter.forward` that count. */
const COUNTING = /^ {4}(?:const \{ cells, |this\.messages \+= |this\.bytes \+= |cells\[).*\n/gm;
const COUNTING_LINES = 5;

/**
 * Nanoseconds of a core that counting adds to one chunk with one message: the median over many short
 * rounds, in which both kinds take turns.
 */
export async function countingNs(rounds = ROUNDS): Promise<number> {
  const chunk = maskedFrames(MESSAGE_BYTES, 1);
  const Uncounted = await changedPipe({ writer: withoutCounting });
  const [counted, uncounted] = [pipesOf(Pipe), pipesOf(Uncounted)];
  const differences: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const isFirst = round % 2 === 0;
    const first = nsPerChunk(isFirst ? counted : uncounted, chunk);
    const second = nsPerChunk(isFirst ? uncounted : counted, chunk);
    // The first rounds are those in which the code is compiled.
    if (round >= rounds / 3) differences.push(isFirst ? first - second : second - first);
  }
  differences.sort((a, b) => a - b);
  return differences[Math.floor(differences.length / 2)] ?? 0;
}

function nsPerChunk(pipes: readonly Pipe[], chunk: Buffer): number {
  const startedAtMs = performance.now();
  for (const pipe of pipes) pipe.onData(chunk);
  return ((performance.now() - startedAtMs) * NS_PER_MS) / pipes.length;
}

/** Each counts in cells of its own, far from those of its neighbours. */
function pipesOf(PipeClass: typeof Pipe): Pipe[] {
  const cellsPerPipe = 8;
  const cells = new Float64Array(
    new SharedArrayBuffer(PIPES * cellsPerPipe * Float64Array.BYTES_PER_ELEMENT),
  );
  return Array.from({ length: PIPES }, (_, index) => {
    const base = index * cellsPerPipe;
    return pipeOf(PipeClass, { cells, messages: base, bytes: base + 1 });
  });
}

function withoutCounting(source: string): string {
  const found = source.match(COUNTING)?.length ?? 0;
  if (found !== COUNTING_LINES) {
    throw new Error(`${found} lines of frame-writer.ts count, not ${COUNTING_LINES}`);
  }
  return source.replaceAll(COUNTING, "");
}
