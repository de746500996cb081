// What the tap costs the message path: a pipe that nobody looks at, beside the same pipe built without the tap's
// branch, and one that is tapped. All in one run, since runs differ by more than the branch could.

import { Bench } from "tinybench";
import { Pipe } from "../../src/data-plane/pipe.ts";
import { maskedFrames } from "../load/frames.ts";
import { changedPipe, pipeOf } from "./lone-pipe.ts";

const MESSAGE_BYTES = 64;

/** Of a client that waits for each answer, and of one that sends as fast as it can. */
const MESSAGES_PER_CHUNK = [1, 900];

/** All that the message path has for the tap. */
const BRANCH = "    if (this.#tap !== null) this.#tap.onRead(bytes, at, stop);\n";

export async function tapBench(): Promise<Bench> {
  const WithoutTap = await changedPipe({ pipe: withoutTap });
  const bench = new Bench({ name: "a chunk through a pipe, and the tap", time: 500, warmupTime: 200 });
  for (const messages of MESSAGES_PER_CHUNK) {
    const chunk = maskedFrames(MESSAGE_BYTES, messages);
    const tapped = countingOf(Pipe);
    let seen = 0;
    tapped.tap(() => void (seen += 1));
    const [without, unused] = [countingOf(WithoutTap), countingOf(Pipe)];
    bench.add(`${messages} messages, without a tap in the code`, () => without.onData(chunk));
    bench.add(`${messages} messages, nobody looks`, () => unused.onData(chunk));
    bench.add(`${messages} messages, tapped`, () => tapped.onData(chunk));
  }
  return bench;
}

function countingOf(PipeClass: typeof Pipe): Pipe {
  return pipeOf(PipeClass, { cells: new Float64Array(2), messages: 0, bytes: 1 });
}

function withoutTap(source: string): string {
  if (!source.includes(BRANCH)) throw new Error(`pipe.ts has no line ${BRANCH.trim()}`);
  return source.replace(BRANCH, "");
}
