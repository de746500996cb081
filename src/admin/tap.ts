// `/api/tap`: the frames of a user or a connection as they pass. A client that does not read loses frames, which
// are counted; it costs no memory.

import type { WebSocket } from "ws";
import { type Oversight, parseConnectionId } from "../control-plane/oversight.ts";
import type { Taps, TapTarget } from "../control-plane/taps.ts";
import type { Log } from "../log.ts";
import type { TappedBatch } from "../shared-memory/tapped-frame.ts";
import { ApiError } from "./api/endpoint.ts";
import { checkedUser } from "./api/user-name.ts";
import type { SocketEndpoint } from "./sockets.ts";

const MAX_TAPS = 16;

/** Between two messages. */
const INTERVAL_MS = 100;

/** What may wait to be sent, here and in the socket. */
const MAX_WAITING_CHARACTERS = 1024 * 1024;

interface TapSources {
  readonly taps: Pick<Taps, "open">;
  readonly oversight: Pick<Oversight, "hasConnection" | "catchUp">;
  readonly log: Log;
}

export function tapEndpoint({ taps, oversight, log }: TapSources): SocketEndpoint {
  return {
    path: "/api/tap",
    max: MAX_TAPS,
    prepare: (url) => {
      const user = url.searchParams.get("user");
      const connection = url.searchParams.get("connection");
      const target = targetOf(user, connection, oversight);
      return (socket) => {
        const sender = new TapSender(socket);
        const close = taps.open(target, {
          onFrames: (batch) => sender.take(batch),
          onOver: () => sender.finish(),
        });
        log.info("tap begins", { user, connection });
        socket.on("close", () => {
          close();
          sender.stop();
          log.info("tap ends", { user, connection });
        });
      };
    },
    // Every frame from the 101 on is seen.
    untilReady: () => oversight.catchUp(),
  };
}

/** Throws ApiError. */
function targetOf(
  user: string | null,
  connection: string | null,
  oversight: Pick<Oversight, "hasConnection">,
): TapTarget {
  if ((user === null) === (connection === null)) {
    throw new ApiError(400, "bad_request", "either user or connection says what to tap");
  }
  if (user !== null) return { user: checkedUser(user) };
  const place = parseConnectionId(connection ?? "");
  if (place === null || !oversight.hasConnection(place)) {
    throw new ApiError(404, "not_found", "no such connection");
  }
  return { worker: place.worker, connection: place.id };
}

class TapSender {
  readonly #socket: WebSocket;
  #waiting: string[] = [];
  #waitingCharacters = 0;
  #lost = 0;
  #timer: NodeJS.Timeout | null = null;
  #isOver = false;

  constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  take({ frames, count, lost }: TappedBatch): void {
    this.#lost += lost;
    const isRoom = this.#waitingCharacters + this.#socket.bufferedAmount < MAX_WAITING_CHARACTERS;
    if (!isRoom) this.#lost += count;
    else if (count > 0) {
      this.#waiting.push(frames);
      this.#waitingCharacters += frames.length;
    }
    this.#timer ??= setTimeout(() => this.#send(), INTERVAL_MS);
  }

  /** Closes the socket behind what still waits. */
  finish(): void {
    this.#isOver = true;
    this.#timer ??= setTimeout(() => this.#send(), INTERVAL_MS);
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #send(): void {
    this.#timer = null;
    if (this.#waiting.length > 0 || this.#lost > 0) this.#sendFrames();
    if (this.#isOver) this.#socket.close(1000, "connection closed");
  }

  #sendFrames(): void {
    // What is lost is told with the next frames that can be sent.
    if (this.#waiting.length === 0 && this.#socket.bufferedAmount > 0) return;
    const frames = this.#waiting.join(",");
    this.#socket.send(`{"type":"frames","frames":[${frames}],"lost":${this.#lost}}`);
    this.#waiting = [];
    this.#waitingCharacters = 0;
    this.#lost = 0;
  }
}
