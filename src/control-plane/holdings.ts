// What a place holds beside its slot of a backend: a connection of the caps, the user's buckets, and a cell
// that tells of its activity. Taken together, and given back together.

import type { ActivityTable } from "../shared-memory/activity.ts";
import type { AdmitRequest } from "../shared-memory/channel.ts";
import type { Caps } from "./caps.ts";
import { NONE_TRIED, type Place, type Places } from "./places.ts";
import type { UserBuckets } from "./user-buckets.ts";

interface HoldingsOptions {
  readonly caps: Pick<Caps, "acquire" | "release">;
  readonly buckets: Pick<UserBuckets, "acquire" | "release">;
  readonly activity: Pick<ActivityTable, "acquire" | "release">;
  /** Where every place stands from its first to its last moment. */
  readonly places: Pick<Places, "add" | "remove">;
  readonly now: () => number;
}

export class Holdings {
  readonly #options: HoldingsOptions;

  constructor(options: HoldingsOptions) {
    this.#options = options;
  }

  /** A new place, which waits for its slot. */
  acquire(worker: number, request: AdmitRequest): Place {
    const { caps, buckets, activity, places, now } = this.#options;
    caps.acquire(request.tier);
    const ofUser = buckets.acquire(request);
    const place: Place = {
      worker,
      request,
      tried: NONE_TRIED,
      activityCell: activity.acquire(now()),
      buckets: ofUser,
      knownBuckets: ofUser,
      state: "waiting",
      slot: null,
      openedAtMs: null,
      hasAged: false,
    };
    places.add(place);
    return place;
  }

  /** The place is gone; its slot was given back before. */
  release(place: Place): void {
    const { caps, buckets, activity, places } = this.#options;
    caps.release(place.request.tier);
    buckets.release(place.buckets);
    activity.release(place.activityCell);
    places.remove(place);
  }

  /** Takes what the configuration says now. */
  renewBuckets(place: Place): void {
    place.buckets = this.#options.buckets.acquire(place.request, place.buckets);
  }
}
