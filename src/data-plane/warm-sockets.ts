// Sockets to one backend that are open ahead of need: opened again after each use, and after the backend
// closed one, more slowly each time. Nothing is sent on them before they are taken.

import type net from "node:net";
import type { ConnectEvents } from "./connecting.ts";

/** Begins to connect; the address says where the socket leads. */
export type OpenWarm = (events: ConnectEvents) => { abort(): void };

/** One that lived this long was not closed for its silence alone. */
const STEADY_MS = 10_000;
const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 30_000;
/** Failures further apart than this are not in a row. */
const FAILURES_FORGOTTEN_MS = 2 * MAX_RETRY_MS;
/** More would be a burst of connects, for the backend and for this thread. */
const MAX_OPENING = 4;
/** Keeps the state of a firewall on the way, and finds out where the peer's host is gone. */
const TCP_KEEP_ALIVE_MS = 30_000;

export class WarmSockets {
  readonly #open: OpenWarm;
  readonly #now: () => number;
  readonly #idle: IdleSocket[] = [];
  readonly #opening = new Set<{ abort(): void }>();
  #wanted = 0;
  /** While it runs, nothing is opened. */
  #timer: NodeJS.Timeout | null = null;
  /** Times in a row that one could not be opened or was soon closed. */
  #failures = 0;
  #failedAtMs = 0;

  constructor(open: OpenWarm, now = () => performance.now()) {
    this.#open = open;
    this.#now = now;
  }

  get size(): number {
    return this.#idle.length;
  }

  /** Keeps so many from now on; 0 closes them all. */
  keep(wanted: number, delayMs = 0): void {
    this.#wanted = wanted;
    for (const idle of this.#idle.splice(wanted)) idle.destroy();
    if (wanted > 0) return this.#fillIn(delayMs);
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    for (const opening of this.#opening) opening.abort();
    this.#opening.clear();
  }

  /**
   * The youngest, whose address is one of these; null where there is none.
   * @param addresses null: any
   */
  take(addresses: readonly string[] | null): net.Socket | null {
    let taken: net.Socket | null = null;
    while (taken === null) {
      const idle = this.#idle.pop();
      if (idle === undefined) break;
      if (this.#now() - idle.sinceMs >= STEADY_MS) this.#failures = 0;
      if (idle.isAlive && (addresses === null || addresses.includes(idle.address))) taken = idle.release();
      else idle.destroy();
    }
    if (this.#wanted > 0) this.#fillIn(0);
    return taken;
  }

  #fillIn(delayMs: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#fill();
    }, delayMs);
  }

  #fill(): void {
    while (
      this.#timer === null &&
      this.#opening.size < MAX_OPENING &&
      this.#idle.length + this.#opening.size < this.#wanted
    ) {
      this.#openOne();
    }
  }

  #openOne(): void {
    const opening = this.#open({
      connected: (socket, address) => {
        this.#opening.delete(opening);
        this.#add(new IdleSocket(socket, address, this.#now(), (idle) => this.#onLost(idle)));
      },
      failed: () => {
        this.#opening.delete(opening);
        this.#retry();
      },
    });
    this.#opening.add(opening);
  }

  #add(idle: IdleSocket): void {
    if (this.#idle.length < this.#wanted) this.#idle.push(idle);
    else idle.destroy();
    this.#fill();
  }

  #onLost(idle: IdleSocket): void {
    this.#idle.splice(this.#idle.indexOf(idle), 1);
    if (this.#now() - idle.sinceMs >= STEADY_MS) this.#failures = 0;
    this.#retry();
  }

  /** The first of a wave of failures decides when it is tried again. */
  #retry(): void {
    if (this.#timer !== null) return;
    const nowMs = this.#now();
    if (nowMs - this.#failedAtMs >= FAILURES_FORGOTTEN_MS) this.#failures = 0;
    this.#failedAtMs = nowMs;
    const delayMs = Math.min(FIRST_RETRY_MS * 2 ** this.#failures, MAX_RETRY_MS);
    this.#failures += 1;
    this.#fillIn(delayMs * (0.5 + Math.random() / 2));
  }
}

/** A socket that nobody uses: whatever comes on it ends it. */
class IdleSocket {
  readonly address: string;
  readonly sinceMs: number;
  readonly #socket: net.Socket;
  readonly #onLost: (idle: IdleSocket) => void;

  constructor(socket: net.Socket, address: string, sinceMs: number, onLost: (idle: IdleSocket) => void) {
    this.#socket = socket;
    this.address = address;
    this.sinceMs = sinceMs;
    this.#onLost = onLost;
    socket.setKeepAlive(true, TCP_KEEP_ALIVE_MS);
    socket.on("data", this.#onNews);
    socket.on("end", this.#onNews);
    socket.on("close", this.#onNews);
  }

  get isAlive(): boolean {
    return !this.#socket.destroyed && this.#socket.readable && this.#socket.writable;
  }

  release(): net.Socket {
    this.#letGo();
    this.#socket.setKeepAlive(false);
    return this.#socket;
  }

  destroy(): void {
    this.#letGo();
    this.#socket.destroy();
  }

  /** A backend says something unasked before it closes (408), or has a mind of its own: not to be trusted. */
  readonly #onNews = (): void => {
    this.destroy();
    this.#onLost(this);
  };

  #letGo(): void {
    this.#socket.off("data", this.#onNews);
    this.#socket.off("end", this.#onNews);
    this.#socket.off("close", this.#onNews);
  }
}
