// What the tap costs the message path: a pipe that nobody looks at, beside the same pipe built without the tap's
// branch, and one that is tapped. All in one run, since runs differ by more than the branch could.

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { Bench } from "tinybench";
import { Pipe } from "../../src/data-plane/pipe.ts";
import { maskedFrames } from "../load/frames.ts";
import { NOBODY } from "./pipe-owner.ts";

const MESSAGE_BYTES = 64;

/** Of a client that waits for each answer, and of one that sends as fast as it can. */
const MESSAGES_PER_CHUNK = [1, 900];

const SOURCE = new URL("../../src/data-plane/pipe.ts", import.meta.url);
const BRANCH = "    if (this.#tap !== null) this.#tap.onRead(bytes, at, stop);\n";

export async function tapBench(): Promise<Bench> {
  const WithoutTap = await pipeWithoutTap();
  const bench = new Bench({ name: "a chunk through a pipe, and the tap", time: 500, warmupTime: 200 });
  for (const messages of MESSAGES_PER_CHUNK) {
    const chunk = maskedFrames(MESSAGE_BYTES, messages);
    const tapped = pipeOf(Pipe);
    let seen = 0;
    tapped.tap(() => void (seen += 1));
    const [without, unused] = [pipeOf(WithoutTap), pipeOf(Pipe)];
    bench.add(`${messages} messages, without a tap in the code`, () => without.onData(chunk));
    bench.add(`${messages} messages, nobody looks`, () => unused.onData(chunk));
    bench.add(`${messages} messages, tapped`, () => tapped.onData(chunk));
  }
  return bench;
}

function pipeOf(PipeClass: typeof Pipe): Pipe {
  const socket = { write: () => true } as unknown as Socket;
  const counters = { cells: new Float64Array(2), messages: 0, bytes: 1 };
  return new PipeClass({
    owner: NOBODY,
    source: socket,
    sink: socket,
    masked: true,
    reservedBits: 0,
    counters,
  });
}

/** The same source without the one line that the message path has for the tap. */
async function pipeWithoutTap(): Promise<typeof Pipe> {
  const source = await readFile(SOURCE, "utf8");
  if (!source.includes(BRANCH)) throw new Error(`pipe.ts has no line ${BRANCH.trim()}`);
  const absolute = source
    .replace(BRANCH, "")
    .replaceAll(/from "(\.[^"]+)"/g, (_, file: string) => `from "${new URL(file, SOURCE).href}"`);
  const directory = await mkdtemp(path.join(tmpdir(), "weir-bench-"));
  try {
    const file = path.join(directory, "pipe-without-tap.mts");
    await writeFile(file, absolute);
    const module = (await import(pathToFileURL(file).href)) as { readonly Pipe: typeof Pipe };
    return module.Pipe;
  } finally {
    await rm(directory, { recursive: true });
  }
}
