// `weir top`: Weir's figures, live, by way of /api/stream; or one frame of them where nobody watches.

import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { ExitCode, FatalError } from "../errors.ts";
import { AdminStream, streamLost } from "./admin-stream.ts";
import { frameOf, type News } from "./frame.ts";
import { textOf } from "./lines.ts";
import type { Output } from "./output.ts";
import type { Remote } from "./remote.ts";
import { Screen } from "./screen.ts";

/** Weir sends once a second. */
const SILENCE_MS = 10_000;

const RETRY_DELAY_MS = 1_000;

/** One frame without escape codes. Takes a second: users are measured only while somebody looks. */
export async function topOnce(remote: Remote, width: number, { print }: Output): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<News>();
  let received = 0;
  const stream = await AdminStream.open(remote, {
    path: "/api/stream",
    silenceMs: SILENCE_MS,
    onMessage: (message) => {
      const news = newsOf(message);
      if (news === null) return;
      received += 1;
      if (received === 2) resolve(news);
    },
  });
  const news = await Promise.race([promise, stream.ended.then(() => null)]);
  stream.end();
  if (news === null) throw streamLost(remote);
  const lines = frameOf(news, { address: remote.shown, width, height: Number.POSITIVE_INFINITY, note: null });
  for (const line of lines) print(textOf(line, width, false));
  return ExitCode.ok;
}

/** Until the person has seen enough. Tries again by itself where the connection ends. */
export async function top(remote: Remote, isColoured: boolean): Promise<number> {
  let news: News | null = null;
  let note: string | null = null;
  const screen = new Screen({
    stdin: process.stdin,
    stdout: process.stdout,
    isColoured,
    onResize: () => draw(),
  });
  function draw(): void {
    const { width, height } = screen;
    if (news !== null) screen.draw(frameOf(news, { address: remote.shown, width, height, note }));
  }
  const open = async (): Promise<AdminStream> =>
    AdminStream.open(remote, {
      path: "/api/stream",
      silenceMs: SILENCE_MS,
      onMessage: (message) => {
        const latest = newsOf(message);
        if (latest === null) return;
        [news, note] = [latest, null];
        draw();
      },
    });
  // Before the screen is taken over: what is wrong from the start is said on a line.
  let stream: AdminStream | null = await open();
  screen.enter();
  const quit = new AbortController();
  const ended = screen.ended.then(() => quit.abort());
  try {
    for (;;) {
      await Promise.race([ended, stream?.ended ?? delay(RETRY_DELAY_MS, quit.signal)]);
      if (quit.signal.aborted) return ExitCode.ok;
      note = "the connection has ended; trying again";
      draw();
      const next = open().then((opened) => endedIf(quit.signal.aborted, opened));
      stream = await Promise.race([ended.then(() => null), next.catch(ignoreUnreachable)]);
    }
  } finally {
    stream?.end();
    screen.leave();
  }
}

/** A stream that has opened when nobody wants it any more must not keep the process alive. */
function endedIf(isUnwanted: boolean, stream: AdminStream): AdminStream {
  if (isUnwanted) stream.end();
  return stream;
}

/** Null for what is no status. */
function newsOf(message: unknown): News | null {
  const isStatus =
    typeof message === "object" && message !== null && "type" in message && message.type === "status";
  return isStatus ? (message as unknown as News) : null;
}

function ignoreUnreachable(error: unknown): null {
  if (error instanceof FatalError && error.exitCode === ExitCode.unavailable) return null;
  throw error;
}

/** Ends early where the signal says so. */
async function delay(ms: number, signal: AbortSignal): Promise<void> {
  await setTimeout(ms, undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}
