// The warm sockets of one backend, by where they lead: the addresses of a name are one place, unless
// `resolve: all` makes each of them a backend of its own.

import net from "node:net";
import { Connecting, type ConnectTarget } from "./connecting.ts";
import { WarmSockets } from "./warm-sockets.ts";

interface Place {
  readonly sockets: WarmSockets;
  /** Of the last grant; null where none was known. */
  addresses: readonly string[] | null;
  takenAtMs: number;
}

/** An address of a `resolve: all` name that no grant has named for so long has left the name. */
const PLACE_FORGOTTEN_MS = 300_000;

export class WarmPlaces {
  readonly #target: ConnectTarget;
  readonly #places = new Map<string, Place>();
  readonly #now: () => number;
  #wanted = 0;

  constructor(target: ConnectTarget, now = () => performance.now()) {
    this.#target = target;
    this.#now = now;
  }

  /** Keeps so many at each place; 0 closes them all. */
  keep(wanted: number, delayMs: number): void {
    if (wanted === this.#wanted) return;
    this.#wanted = wanted;
    // Which addresses a name has as backends of their own, only grants tell.
    if (wanted > 0 && this.#isOne) this.#at("");
    for (const { sockets } of this.#places.values()) sockets.keep(wanted, delayMs);
    if (wanted === 0) this.#places.clear();
  }

  /** A socket to one of these addresses; null where there is none. The backend may have closed it just now. */
  take(addresses: readonly string[] | null): net.Socket | null {
    if (this.#wanted === 0) return null;
    const nowMs = this.#now();
    this.#forget(nowMs - PLACE_FORGOTTEN_MS);
    const place = this.#at(this.#isOne ? "" : (addresses?.join(" ") ?? ""));
    place.addresses = addresses;
    place.takenAtMs = nowMs;
    place.sockets.keep(this.#wanted);
    return place.sockets.take(addresses);
  }

  get #isOne(): boolean {
    const { resolve, target } = this.#target.config;
    return resolve === "first" || target.socketPath !== null || net.isIP(target.host) !== 0;
  }

  #at(key: string): Place {
    const known = this.#places.get(key);
    if (known !== undefined) return known;
    const place: Place = {
      sockets: new WarmSockets((events) => {
        const { addresses } = place;
        return new Connecting(
          { target: this.#target, addresses, proxyHeader: null, allowHalfOpen: true },
          events,
        );
      }),
      addresses: null,
      takenAtMs: this.#now(),
    };
    this.#places.set(key, place);
    return place;
  }

  #forget(beforeMs: number): void {
    if (this.#isOne) return;
    for (const [key, { sockets, takenAtMs }] of this.#places) {
      if (takenAtMs >= beforeMs) continue;
      sockets.keep(0);
      this.#places.delete(key);
    }
  }
}
