// What it costs the message path to count: a chunk through a pipe, beside the same pipe whose writer does not
// count. All in one run, since runs differ by more than the counting could.

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { Pipe } from "../../src/data-plane/pipe.ts";
import { maskedFrames } from "../load/frames.ts";
import { NOBODY } from "./pipe-owner.ts";

const MESSAGE_BYTES = 64;
/** So many that neither their figures nor their cells stay in the nearest cache. */
const PIPES = 4_096;
const ROUNDS = 60;
const NS_PER_MS = 1e6;

const PIPE = new URL("../../src/data-plane/pipe.ts", import.meta.url);
const WRITER = new URL("../../src/data-plane/frame-writer.ts", import.meta.url);

/** The lines of `FrameWriter.forward` that count. */
const COUNTING = /^ {4}(?:const \{ cells, |this\.messages \+= |this\.bytes \+= |cells\[).*\n/gm;
const COUNTING_LINES = 5;

/**
 * Nanoseconds of a core that counting adds to one chunk with one message: the median over many short
 * rounds, in which both kinds take turns.
 */
export async function countingNs(rounds = ROUNDS): Promise<number> {
  const chunk = maskedFrames(MESSAGE_BYTES, 1);
  const Uncounted = await pipeWithoutCounting();
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
  const socket = { write: () => true } as unknown as Socket;
  return Array.from({ length: PIPES }, (_, index) => {
    const base = index * cellsPerPipe;
    const counters = { cells, messages: base, bytes: base + 1 };
    return new PipeClass({
      owner: NOBODY,
      source: socket,
      sink: socket,
      masked: true,
      reservedBits: 0,
      counters,
    });
  });
}

/** The pipe's own source, on a writer's own source without the lines that count. */
async function pipeWithoutCounting(): Promise<typeof Pipe> {
  const [pipe, writer] = await Promise.all([readFile(PIPE, "utf8"), readFile(WRITER, "utf8")]);
  const found = writer.match(COUNTING)?.length ?? 0;
  if (found !== COUNTING_LINES)
    throw new Error(`${found} lines of frame-writer.ts count, not ${COUNTING_LINES}`);
  const directory = await mkdtemp(path.join(tmpdir(), "weir-bench-"));
  try {
    const file = path.join(directory, "pipe.mts");
    await writeFile(path.join(directory, "frame-writer.mts"), absolute(writer.replaceAll(COUNTING, "")));
    await writeFile(file, absolute(pipe.replace('"./frame-writer.ts"', '"./frame-writer.mts"')));
    const module = (await import(pathToFileURL(file).href)) as { readonly Pipe: typeof Pipe };
    return module.Pipe;
  } finally {
    await rm(directory, { recursive: true });
  }
}

function absolute(source: string): string {
  return source.replaceAll(
    /from "(\.[^"]+\.ts)"/g,
    (_, file: string) => `from "${new URL(file, PIPE).href}"`,
  );
}
