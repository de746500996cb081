// A Map by strings in many parts. A Map that grows is copied whole: with a million keys nobody is served for
// a tenth of a second. Here a part is copied at a time.

import { hashOf } from "./hash.ts";

const SHARDS = 256;

export class ShardedMap<Value> {
  readonly #shards = Array.from({ length: SHARDS }, () => new Map<string, Value>());
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(key: string): Value | undefined {
    return this.#shardOf(key).get(key);
  }

  set(key: string, value: Value): void {
    const shard = this.#shardOf(key);
    const before = shard.size;
    shard.set(key, value);
    this.#size += shard.size - before;
  }

  delete(key: string): void {
    if (this.#shardOf(key).delete(key)) this.#size -= 1;
  }

  /** In no order; the map may change while they are stepped through. */
  *values(): Iterable<Value> {
    for (const shard of this.#shards) yield* shard.values();
  }

  #shardOf(key: string): Map<string, Value> {
    const shard = this.#shards[hashOf(key) % SHARDS];
    if (shard === undefined) throw new Error("a shard is missing");
    return shard;
  }
}
