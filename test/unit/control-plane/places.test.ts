import * as fc from "fast-check";
import { expect, test } from "vitest";

import { type Place, Places } from "../../../src/control-plane/places.ts";
import { NO_BUCKETS } from "../../../src/control-plane/user-buckets.ts";
import { requestOf } from "./request-of.ts";

function placeOf(worker: number, id: number, user: string): Place {
  return {
    worker,
    request: requestOf({ id, user }),
    tried: new Set(),
    activityCell: id,
    buckets: NO_BUCKETS,
    knownBuckets: NO_BUCKETS,
    state: "waiting",
    slot: null,
    openedAtMs: null,
    hasAged: false,
  };
}

test("knows by worker and by user exactly the places that are held, after any sequence", () => {
  const workers = [1, 2];
  const users = ["a", "b", "c"];
  const step = fc.tuple(fc.constantFrom(...workers), fc.constantFrom(...users), fc.boolean(), fc.nat());
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const places = new Places();
      const held: Place[] = [];
      for (const [id, [worker, user, isRemoval, choice]] of steps.entries()) {
        if (isRemoval && held.length > 0) {
          for (const place of held.splice(choice % held.length, 1)) places.remove(place);
        } else {
          const place = placeOf(worker, id, user);
          places.add(place);
          held.push(place);
        }
      }
      expect(new Set(places.all)).toEqual(new Set(held));
      for (const worker of workers) {
        expect(places.ofWorker(worker)).toEqual(held.filter((place) => place.worker === worker));
      }
      for (const user of users) {
        const ofUser = held.filter(({ request }) => request.user === user);
        expect(places.ofUser(user)).toEqual(ofUser);
        expect(places.countOfUser(user)).toBe(ofUser.length);
      }
      expect(places.users).toBe(new Set(held.map(({ request }) => request.user)).size);
      for (const place of held) expect(places.find(place.worker, place.request.id)).toBe(place);
    }),
  );
});
