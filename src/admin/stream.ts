// `/api/stream`: the status, once a second, and new log entries to whoever listens. All of it is made and
// serialised once for all of them, and nothing at all while nobody does.

import type { WebSocket } from "ws";
import type { LogBuffer } from "../log-buffer.ts";
import type { Log } from "../log.ts";
import type { SocketEndpoint } from "./sockets.ts";

const INTERVAL_MS = 1_000;

const MAX_STREAMS = 64;

/** A client that has read nothing of what was sent for so many seconds is not there any more. */
const MAX_SKIPPED = 30;

/** In one message; of more than that only the newest are sent. */
const MAX_LOG_ENTRIES = 200;

interface StreamSources {
  /** What is sent next. */
  readonly message: () => Promise<object>;
  readonly logs: Pick<LogBuffer, "after" | "lastId">;
  readonly log: Log;
}

interface Listener {
  readonly socket: WebSocket;
  /** Messages in a row that were left out, since an earlier one still waits to be read. */
  skipped: number;
  /** The log entry that it got last. */
  logId: number;
}

export class Stream {
  readonly #listeners = new Set<Listener>();
  readonly #sources: StreamSources;
  /** The last message, for those who come before the next. */
  #latest: { readonly bytes: Buffer; readonly madeAtMs: number } | null = null;
  #timer: NodeJS.Timeout | null = null;
  #isMaking = false;

  constructor(sources: StreamSources) {
    this.#sources = sources;
  }

  get endpoint(): SocketEndpoint {
    return { path: "/api/stream", max: MAX_STREAMS, prepare: () => (socket) => this.#add(socket) };
  }

  get size(): number {
    return this.#listeners.size;
  }

  #add(socket: WebSocket): void {
    const listener = { socket, skipped: 0, logId: 0 };
    this.#listeners.add(listener);
    socket.on("close", () => this.#remove(listener));
    this.#timer ??= setInterval(() => void this.#tick(), INTERVAL_MS);
    const isFresh = this.#latest !== null && performance.now() - this.#latest.madeAtMs < INTERVAL_MS;
    if (isFresh) this.#send([listener]);
    else void this.#tick();
  }

  #remove(listener: Listener): void {
    this.#listeners.delete(listener);
    if (this.#listeners.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
    this.#latest = null;
  }

  async #tick(): Promise<void> {
    // One that takes longer than a second is not begun again.
    if (this.#isMaking) return;
    this.#isMaking = true;
    try {
      const message = await this.#sources.message();
      this.#latest = { bytes: Buffer.from(JSON.stringify(message)), madeAtMs: performance.now() };
      this.#send(this.#listeners);
    } catch (error) {
      this.#sources.log.error("the status stream failed", { error: String(error) });
    } finally {
      this.#isMaking = false;
    }
  }

  #send(listeners: Iterable<Listener>): void {
    const { lastId } = this.#sources.logs;
    /** By the entry after which they come: nearly always the same for all. */
    const logs = new Map<number, Buffer>();
    for (const listener of listeners) {
      const { socket, logId } = listener;
      if (!this.#isReading(listener)) continue;
      if (this.#latest !== null) socket.send(this.#latest.bytes, { binary: false });
      if (logId === lastId) continue;
      const bytes = logs.get(logId) ?? this.#logsAfter(logId);
      logs.set(logId, bytes);
      listener.logId = lastId;
      socket.send(bytes, { binary: false });
    }
  }

  #logsAfter(id: number): Buffer {
    const entries = this.#sources.logs.after(id, MAX_LOG_ENTRIES).join(",");
    return Buffer.from(`{"type":"logs","entries":[${entries}]}`);
  }

  /** Whether it has room for another message. */
  #isReading(listener: Listener): boolean {
    if (listener.socket.bufferedAmount === 0) {
      listener.skipped = 0;
      return true;
    }
    listener.skipped += 1;
    if (listener.skipped >= MAX_SKIPPED) listener.socket.terminate();
    return false;
  }
}
