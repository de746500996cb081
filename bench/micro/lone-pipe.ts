// A pipe on its own, as it is or with its source changed, from a socket that takes everything to the same one;
// and an owner to whom nothing that it meets means anything.

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import type { DirectionCounters } from "../../src/data-plane/frame-writer.ts";
import type { PipeOwner } from "../../src/data-plane/pipe-owner.ts";
import type { Pipe } from "../../src/data-plane/pipe.ts";

const PIPE = new URL("../../src/data-plane/pipe.ts", import.meta.url);
const WRITER = new URL("../../src/data-plane/frame-writer.ts", import.meta.url);

const SOCKET = { write: () => true } as unknown as Socket;

function ignore(): void {}

export const NOBODY: PipeOwner = {
  onCloseReceived: ignore,
  onCloseSent: ignore,
  onFinished: ignore,
  onProtocolError: ignore,
  onMessageTooBig: ignore,
  onControlFlood: ignore,
  onLimited: ignore,
  onDelayed: ignore,
  onRateExceeded: ignore,
  onSourceEnd: ignore,
  onSourceClosed: ignore,
  onDrain: ignore,
};

export function pipeOf(PipeClass: typeof Pipe, counters: DirectionCounters): Pipe {
  return new PipeClass({
    owner: NOBODY,
    source: SOCKET,
    sink: SOCKET,
    masked: true,
    reservedBits: 0,
    counters,
  });
}

interface Changes {
  /** What becomes of the source of pipe.ts, where that is to be changed. */
  readonly pipe?: (source: string) => string;
  /** The same of frame-writer.ts. */
  readonly writer?: (source: string) => string;
}

/** The pipe as its source would make it with these changes, each of which throws where its lines are gone. */
export async function changedPipe({ pipe, writer }: Changes): Promise<typeof Pipe> {
  const [pipeSource, writerSource] = await Promise.all([readFile(PIPE, "utf8"), readFile(WRITER, "utf8")]);
  const directory = await mkdtemp(path.join(tmpdir(), "weir-bench-"));
  try {
    const file = path.join(directory, "pipe.mts");
    let changed = pipe?.(pipeSource) ?? pipeSource;
    if (writer !== undefined) {
      await writeFile(path.join(directory, "frame-writer.mts"), withAbsoluteImports(writer(writerSource)));
      changed = changed.replace('"./frame-writer.ts"', '"./frame-writer.mts"');
    }
    await writeFile(file, withAbsoluteImports(changed));
    const module = (await import(pathToFileURL(file).href)) as { readonly Pipe: typeof Pipe };
    return module.Pipe;
  } finally {
    await rm(directory, { recursive: true });
  }
}

function withAbsoluteImports(source: string): string {
  return source.replaceAll(
    /from "(\.[^"]+\.ts)"/g,
    (_, file: string) => `from "${new URL(file, PIPE).href}"`,
  );
}
