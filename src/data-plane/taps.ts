// The taps on the connections of this thread. What they see goes to the control plane in batches, the next one
// when the one before has arrived: what comes too fast is counted, and never piled up.

import type { ToControl, Channel } from "../shared-memory/channel.ts";
import type { TapFilter, TappedFrameView } from "../shared-memory/tapped-frame.ts";
import { Opcode } from "../ws/protocol.ts";
import type { OpenConnection } from "./connections.ts";
import type { TappedFrame } from "./pipe-tap.ts";

const BATCH_DELAY_MS = 50;
/** What all taps together cost a thread is bounded by this. */
const MAX_BATCH_FRAMES = 500;

const OPCODES: Readonly<Record<number, string>> = {
  [Opcode.continuation]: "continuation",
  [Opcode.text]: "text",
  [Opcode.binary]: "binary",
  [Opcode.close]: "close",
  [Opcode.ping]: "ping",
  [Opcode.pong]: "pong",
};

/** Whose frame it is. */
interface Origin extends Pick<TappedFrameView, "connection" | "user" | "direction"> {
  /** Names of its tier's and its route's limit. */
  readonly limits: Readonly<Record<"tier" | "route", string>>;
}

interface Tap {
  readonly id: number;
  readonly filter: TapFilter;
  /** Before the ids of this thread's connections. */
  readonly idPrefix: string;
  frames: { readonly frame: TappedFrame; readonly origin: Origin }[];
  lost: number;
  isOver: boolean;
  /** The last batch is on its way. */
  isAwaited: boolean;
  timer: NodeJS.Timeout | null;
}

export class Taps {
  readonly #channel: Pick<Channel<ToControl>, "post">;
  readonly #taps = new Map<number, Tap>();
  /** Those on each connection that has any, by the id of its grant. */
  readonly #byConnection = new Map<number, Set<Tap>>();

  constructor(channel: Pick<Channel<ToControl>, "post">) {
    this.#channel = channel;
  }

  /** @param open by the ids of their grants */
  add(
    { id, filter, idPrefix }: Pick<Tap, "id" | "filter" | "idPrefix">,
    open: Iterable<readonly [number, OpenConnection]>,
  ): void {
    const batch = { frames: [], lost: 0, isOver: false, isAwaited: false, timer: null };
    const tap: Tap = { id, filter, idPrefix, ...batch };
    this.#taps.set(id, tap);
    for (const [connection, one] of open) this.#attachIfMeant(tap, connection, one);
    // It may have ended while the wish was on its way here.
    if ("connection" in filter && !this.#byConnection.has(filter.connection)) this.#end(tap);
  }

  remove(id: number, open: (connection: number) => OpenConnection | undefined): void {
    const tap = this.#taps.get(id);
    if (tap === undefined) return;
    this.#taps.delete(id);
    if (tap.timer !== null) clearTimeout(tap.timer);
    for (const [connection, taps] of this.#byConnection) {
      if (!taps.delete(tap) || taps.size > 0) continue;
      this.#byConnection.delete(connection);
      detach(open(connection));
    }
  }

  /** The last batch of this tap has arrived. */
  onArrived(id: number): void {
    const tap = this.#taps.get(id);
    if (tap === undefined) return;
    tap.isAwaited = false;
    if (tap.frames.length > 0 || tap.isOver) this.#schedule(tap);
  }

  onOpened(connection: number, open: OpenConnection): void {
    for (const tap of this.#taps.values()) this.#attachIfMeant(tap, connection, open);
  }

  onEnded(connection: number): void {
    for (const tap of this.#byConnection.get(connection) ?? []) {
      if ("connection" in tap.filter) this.#end(tap);
    }
    this.#byConnection.delete(connection);
  }

  #attachIfMeant(tap: Tap, connection: number, open: OpenConnection): void {
    const { filter } = tap;
    const isMeant = "user" in filter ? filter.user === open.facts.user : filter.connection === connection;
    if (!isMeant) return;
    const known = this.#byConnection.get(connection);
    if (known !== undefined) {
      known.add(tap);
      return;
    }
    const taps = new Set([tap]);
    this.#byConnection.set(connection, taps);
    const { user, tier, route } = open.facts;
    const limits = { tier: `tier:${tier}`, route: `route:${route}` };
    const name = `${tap.idPrefix}${connection}`;
    const sinkOf = (direction: Origin["direction"]) => {
      const origin = { connection: name, user, direction, limits };
      return (frame: TappedFrame): void => {
        for (const one of taps) this.#take(one, frame, origin);
      };
    };
    open.connection.toBackend.tap(sinkOf("client_to_backend"));
    open.connection.toClient.tap(sinkOf("backend_to_client"));
  }

  #end(tap: Tap): void {
    tap.isOver = true;
    this.#schedule(tap);
  }

  #take(tap: Tap, frame: TappedFrame, origin: Origin): void {
    if (tap.frames.length >= MAX_BATCH_FRAMES) tap.lost += 1;
    else tap.frames.push({ frame, origin });
    this.#schedule(tap);
  }

  #schedule(tap: Tap): void {
    if (!tap.isAwaited) tap.timer ??= setTimeout(() => this.#send(tap), BATCH_DELAY_MS);
  }

  #send(tap: Tap): void {
    const { id, frames, lost, isOver } = tap;
    const text = frames.map(({ frame, origin }) => JSON.stringify(viewOf(frame, origin))).join(",");
    this.#channel.post({ type: "tapped", tap: id, frames: text, count: frames.length, lost, isOver });
    Object.assign(tap, { timer: null, frames: [], lost: 0, isOver: false, isAwaited: true });
  }
}

function detach(open: OpenConnection | undefined): void {
  open?.connection.toBackend.tap(null);
  open?.connection.toClient.tap(null);
}

function viewOf({ timeMs, opcode, limit, ...facts }: TappedFrame, origin: Origin): TappedFrameView {
  const { limits, ...whose } = origin;
  return {
    time: new Date(timeMs).toISOString(),
    ...whose,
    opcode: OPCODES[opcode] ?? String(opcode),
    ...facts,
    limit: limit === "tier" || limit === "route" ? limits[limit] : limit,
  };
}
