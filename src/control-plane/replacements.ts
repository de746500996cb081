// `userFull: close-stalest`: a user at its cap may have a new connection in place of the one that has been
// silent longest. Bounded, so that two live clients of one user do not throw each other out for ever.

import type { AdmitRequest } from "../shared-memory/channel.ts";
import type { Place } from "./places.ts";

/** A connection that was heard of since is not stale: it belongs to somebody. */
const MIN_SILENCE_MS = 60_000;

const MAX_PER_WINDOW = 3;
const WINDOW_MS = 60_000;

/** An upgrade that waits until another connection of its user is gone. */
interface Successor {
  readonly worker: number;
  readonly request: AdmitRequest;
}

export class Replacements {
  /** By the place that is to be left. */
  readonly #successors = new Map<Place, Successor>();
  /** When each user's last replacements were. */
  readonly #history = new Map<string, number[]>();
  readonly #silenceMs: (place: Place) => number;

  /** @param silenceMs how long a place's client has not been heard of */
  constructor(silenceMs: (place: Place) => number) {
    this.#silenceMs = silenceMs;
  }

  /** The place that makes room for the successor; null where none may. */
  begin(places: readonly Place[], successor: Successor, nowMs: number): Place | null {
    const { user } = successor.request;
    const recent = (this.#history.get(user) ?? []).filter((atMs) => nowMs - atMs < WINDOW_MS);
    if (recent.length >= MAX_PER_WINDOW) return null;
    let stalest: Place | null = null;
    let longestMs = MIN_SILENCE_MS;
    for (const place of places) {
      const silenceMs = this.#silenceMs(place);
      if (place.state !== "open" || silenceMs <= longestMs) continue;
      stalest = place;
      longestMs = silenceMs;
    }
    if (stalest === null) return null;
    this.#history.set(user, [...recent, nowMs]);
    this.#successors.set(stalest, successor);
    stalest.state = "leaving";
    return stalest;
  }

  /** The place has been left; returns who waited for that. */
  finish(place: Place): Successor | null {
    const successor = this.#successors.get(place) ?? null;
    this.#successors.delete(place);
    return successor;
  }

  /** The successor does not want its place any more. */
  giveUp(worker: number, id: number): void {
    for (const [place, successor] of this.#successors) {
      if (successor.worker === worker && successor.request.id === id) this.#successors.delete(place);
    }
  }

  /** A worker thread died, and with it all that waited there. */
  forgetWorker(worker: number): void {
    for (const [place, successor] of this.#successors) {
      if (successor.worker === worker) this.#successors.delete(place);
    }
  }

  /** Forgets users without a recent replacement; called now and then by the owner. */
  sweep(nowMs: number): void {
    for (const [user, times] of this.#history) {
      if (times.every((atMs) => nowMs - atMs >= WINDOW_MS)) this.#history.delete(user);
    }
  }
}
