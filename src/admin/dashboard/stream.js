// The stream of figures: connects, connects again with growing pauses, and says how it stands. Before each
// attempt it asks for the status once, since a page cannot tell a wrong token from a Weir that is gone.

import { request, RequestError, tokenProtocols } from "./admin-api.js";

/** @typedef {import("./stream-message.d.ts").StreamMessage} StreamMessage */

/**
 * @typedef {{ kind: "connecting" } | { kind: "live" } | { kind: "lost", why: string, retryAtMs: number }
 *   | { kind: "token", isWrong: boolean }} LinkState
 */

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
/** The figures come once a second: a socket that is silent for so long is dead. */
const SILENCE_MS = 10_000;

export class Stream {
  #onMessage;
  #onState;
  #pauseMs = FIRST_PAUSE_MS;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {WebSocket | null} */
  #socket = null;
  #isConnecting = false;

  /**
   * @param {(message: StreamMessage) => void} onMessage
   * @param {(state: LinkState) => void} onState
   */
  constructor(onMessage, onState) {
    this.#onMessage = onMessage;
    this.#onState = onState;
  }

  /** At once, be it before its time. Where it is connected nothing happens. */
  async connect() {
    if (this.#isConnecting || this.#socket !== null) return;
    this.#isConnecting = true;
    clearTimeout(this.#timer);
    this.#onState({ kind: "connecting" });
    try {
      await request("GET", "api/status");
      this.#open();
    } catch (error) {
      this.#onFailure(error);
    } finally {
      this.#isConnecting = false;
    }
  }

  /** @param {unknown} error */
  #onFailure(error) {
    if (error instanceof RequestError && error.status === 401) {
      this.#onState({ kind: "token", isWrong: tokenProtocols().length > 0 });
      return;
    }
    this.#retryLater(error instanceof Error ? error.message : String(error));
  }

  #open() {
    const url = new URL("api/stream", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url, tokenProtocols());
    this.#socket = socket;
    this.#watch(socket);
    socket.addEventListener("message", ({ data }) => {
      this.#watch(socket);
      this.#pauseMs = FIRST_PAUSE_MS;
      this.#onState({ kind: "live" });
      this.#onMessage(JSON.parse(data));
    });
    socket.addEventListener("close", ({ code, reason }) => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      this.#retryLater(reason === "" ? `the connection was lost (${code})` : reason);
    });
  }

  /** Its close event would wait for an answer that does not come, so the socket is given up first.
   * @param {WebSocket} socket */
  #watch(socket) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#socket = null;
      socket.close();
      this.#retryLater("no figures came any more");
    }, SILENCE_MS);
  }

  /** @param {string} why */
  #retryLater(why) {
    // Spread, so that many pages do not all come back in one moment.
    const pauseMs = this.#pauseMs * (0.75 + Math.random() / 2);
    this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
    this.#onState({ kind: "lost", why, retryAtMs: Date.now() + pauseMs });
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.connect(), pauseMs);
  }
}
