// How one configuration takes the place of another, with threads that the test answers for.

import { describe, expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import type { Config } from "../../src/config/schema.ts";
import { RunningConfig } from "../../src/running-config.ts";
import { Counters } from "../../src/shared-memory/counters.ts";

function configOf(keys: Readonly<Record<string, unknown>> = {}): Config {
  const all = { listeners: [":8080"], pools: { chat: { backends: ["ws://a"] } }, ...keys };
  const result = loadConfig({ text: JSON.stringify(all), file: "weir.yaml", env: {} });
  if (!result.ok) throw new Error(JSON.stringify(result.errors));
  return result.config;
}

function withLimit(maxConnections: number): Config {
  return configOf({ limits: { maxConnections } });
}

interface Running {
  readonly config: RunningConfig;
  /** What the threads and the control plane were given, by `limits.maxConnections`. */
  readonly steps: string[];
  /** Threads refuse this one. */
  refused: Config | null;
}

function start(config: Config, counters = new Counters()): Running {
  const running: Running = {
    steps: [],
    refused: null,
    config: new RunningConfig(config, {
      counters,
      configureThreads: async (next) => {
        running.steps.push(`threads ${next.limits.maxConnections}`);
        await new Promise((resolve) => setImmediate(resolve));
        if (next === running.refused) throw new Error("refused");
      },
      configureControl: (next) => running.steps.push(`control ${next.limits.maxConnections}`),
    }),
  };
  return running;
}

describe("a configuration", () => {
  test("is taken over after those that were asked for before it, and never between their steps", async () => {
    const { config, steps } = start(withLimit(1));
    const before = await Promise.all([2, 3, 4].map((limit) => config.apply(withLimit(limit))));
    expect(before.map(({ limits }) => limits.maxConnections)).toEqual([1, 2, 3]);
    expect(config.current.limits.maxConnections).toBe(4);
    expect(steps).toEqual(["threads 2", "control 2", "threads 3", "control 3", "threads 4", "control 4"]);
  });

  test("that a thread refuses is taken back, and the next one is not held up", async () => {
    const running = start(withLimit(1));
    running.refused = withLimit(2);
    const refused = running.config.apply(running.refused);
    const next = running.config.apply(withLimit(3));
    await expect(refused).rejects.toThrow("refused");
    await next;
    expect(running.steps).toEqual(["threads 2", "threads 1", "threads 3", "control 3"]);
  });

  test("that cannot be used reaches nobody: fixed keys, and more pairs than can be counted", async () => {
    const counters = new Counters();
    for (let i = 0; i < 16_384; i++) counters.slotOf("default", i === 0 ? "chat" : `pool-${i}`);
    const { config, steps } = start(withLimit(1), counters);
    await expect(config.apply(configOf({ threads: 7 }))).rejects.toThrow("threads: needs a restart");
    const renamed = configOf({ pools: { game: { backends: ["ws://a"] } } });
    await expect(config.apply(renamed)).rejects.toThrow("more than 16384 pairs of tier and pool");
    expect(() => config.verify(renamed)).toThrow("more than 16384 pairs of tier and pool");
    expect(steps).toEqual([]);
  });

  test("is verified with its certificates", () => {
    const { config, steps } = start(withLimit(1));
    const tls = { ca: "/nowhere/ca.crt" };
    expect(() =>
      config.verify(configOf({ pools: { chat: { backends: [{ url: "wss://a", tls }] } } })),
    ).toThrow(/backend a:443: tls: .*\/nowhere\/ca\.crt/);
    config.verify(withLimit(2));
    expect(steps).toEqual([]);
  });
});
