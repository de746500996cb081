// What it costs to choose a backend among a thousand, by each algorithm, as an upgrade without affinity
// has it done: the whole of the pool's choice.

import { Bench } from "tinybench";
import { parseConfig } from "../../src/config/load.ts";
import type { PoolConfig } from "../../src/config/schema.ts";
import type { Backend } from "../../src/control-plane/backend.ts";
import { Pool } from "../../src/control-plane/pool.ts";
import type { AdmitRequest } from "../../src/shared-memory/channel.ts";

const BACKENDS = 1_000;
/** So many that the branches of a choice go another way each time. */
const USERS = 1_000;
const SLOW_START_MS = 30_000;
const NOW_MS = 10_000;
const NOT_TRIED: ReadonlySet<string> = new Set();

const ALGORITHMS = ["least-connections", "round-robin", "random", "consistent-hash"] as const;

export function selectBench(): Bench {
  const bench = new Bench({ name: "a backend of 1 000, to be under 20 µs", time: 500, warmupTime: 200 });
  for (const balance of ALGORITHMS) {
    addCase(
      bench,
      `${balance}, equal weights`,
      poolOf(balance, () => 1),
    );
    const slow = poolOf(balance, (index) => 1 + (index % 10));
    for (const backend of slow.backends) if (isSlow(backend)) backend.slowSinceMs = 0;
    addCase(bench, `${balance}, different weights, every fourth starts slowly`, slow);
  }
  return bench;
}

function addCase(bench: Bench, name: string, pool: Pool): void {
  const requests = Array.from({ length: USERS }, (_, index) => requestOf(`user-${index}@example.com`));
  let next = 0;
  bench.add(name, () => {
    const request = requests[next++ % USERS];
    if (request === undefined || typeof pool.pick(request, NOT_TRIED) === "string") {
      throw new Error("no backend was chosen");
    }
  });
}

function poolOf(balance: PoolConfig["balance"], weightOf: (index: number) => number): Pool {
  const backends = Array.from({ length: BACKENDS }, (_, index) => ({
    url: `ws://10.0.${index >> 8}.${index & 0xff}:3000`,
    weight: weightOf(index),
    capacity: 10_000,
  }));
  const chat = { balance, affinity: { by: "none" }, slowStart: `${SLOW_START_MS}ms`, backends };
  const result = parseConfig({ listeners: [":8080"], pools: { chat } });
  const config = result.ok ? result.config.pools["chat"] : undefined;
  if (config === undefined) throw new Error("the bench's configuration is wrong");
  const pool = new Pool("chat", config, () => NOW_MS);
  const specs = config.backends.map((backend) => ({ id: backend.id, config: backend, addresses: null }));
  pool.configure(config, specs);
  let seed = 0;
  for (const backend of pool.backends) backend.connections = 100 + ((seed++ * 7) % 13);
  return pool;
}

function isSlow({ cookie }: Backend): boolean {
  return (cookie.charCodeAt(0) & 3) === 0;
}

function requestOf(user: string): AdmitRequest {
  return {
    id: 1,
    kind: "connection",
    pool: "chat",
    route: "1",
    tier: "normal",
    user,
    cookie: null,
    isSharedAddress: false,
    network: "192.0.2.0/24",
    tried: [],
  };
}
