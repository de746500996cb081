// Names with a lookup that the test answers, and a clock that it sets.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { parseConfig } from "../../../src/config/load.ts";
import type { Config } from "../../../src/config/schema.ts";
import { NameResolver } from "../../../src/control-plane/names.ts";
import { recordingLog } from "../../support/recording-log.ts";

const resolvers: NameResolver[] = [];

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  for (const resolver of resolvers.splice(0)) resolver.stop();
  vi.useRealTimers();
});

type BackendInput = string | Readonly<Record<string, unknown>>;

function configOf(...backends: BackendInput[]): Config {
  return configOfPools({ chat: backends });
}

function configOfPools(pools: Readonly<Record<string, readonly BackendInput[]>>): Config {
  const result = parseConfig({
    listeners: [":8080"],
    pools: Object.fromEntries(Object.entries(pools).map(([name, backends]) => [name, { backends }])),
    routes: Object.keys(pools).map((pool) => ({ match: { path: `/${pool}/*` }, pool })),
  });
  if (!result.ok) throw new Error(JSON.stringify(result.errors));
  return result.config;
}

/** Names are answered from `known`: addresses, an error, or nothing for a name server that hangs. */
function startResolver(
  known: Record<string, readonly string[] | Error | null>,
  ttls: Record<string, number> = {},
) {
  const log: string[] = [];
  const asked: string[] = [];
  const told: string[] = [];
  const resolver = new NameResolver({
    log: recordingLog((level, message, fields) => log.push(`${level}: ${message} ${JSON.stringify(fields)}`)),
    onChange: () => told.push(JSON.stringify(specsOf(resolver))),
    lookup: {
      addressesOf: async (name) => {
        asked.push(name);
        const answer = known[name];
        if (answer === null) return await new Promise(() => {});
        if (answer === undefined) throw Object.assign(new Error("not found"), { code: "ENOTFOUND" });
        if (answer instanceof Error) throw answer;
        return answer;
      },
      ttlOf: async (name) => ttls[name] ?? null,
    },
  });
  resolvers.push(resolver);
  return { resolver, known, log, asked, told };
}

/** `id`, and its addresses where they are known. */
function specsOf(resolver: NameResolver, pool = "chat"): string[] {
  return resolver
    .specsOf(pool)
    .map(({ id, addresses }) => (addresses === null ? id : `${id} = ${addresses.join(" ")}`));
}

const all = { id: "chat", url: "ws://chat.test:80", resolve: "all" };
const first = { id: "chat", url: "ws://chat.test:80" };

describe("specsOf", () => {
  test("addresses and sockets are what they are, and nothing is looked up", () => {
    const { resolver, asked, told } = startResolver({});
    resolver.configure(configOf("ws://192.0.2.1:80", "ws://[2001:db8::1]:80", "unix:/run/chat.sock"));
    expect(specsOf(resolver)).toEqual(["192.0.2.1:80", "[2001:db8::1]:80", "/run/chat.sock"]);
    expect(resolver.isFirstRoundOver).toBe(true);
    expect(asked).toEqual([]);
    expect(told).toEqual([]);
  });

  test("a name is one backend, with its addresses once they are known", async () => {
    const { resolver, told } = startResolver({ "chat.test": ["192.0.2.1", "192.0.2.2"] });
    resolver.configure(configOf(first));
    expect(specsOf(resolver)).toEqual(["chat"]);
    expect(resolver.isFirstRoundOver).toBe(false);
    await vi.advanceTimersByTimeAsync(0);
    expect(specsOf(resolver)).toEqual(["chat = 192.0.2.1 192.0.2.2"]);
    expect(resolver.isFirstRoundOver).toBe(true);
    expect(told).toHaveLength(1);
  });

  test("with `resolve: all` each address is a backend, and an unknown name none", async () => {
    const { resolver } = startResolver({ "chat.test": ["192.0.2.1", "2001:db8::2"] });
    resolver.configure(configOf(all, "ws://192.0.2.9:80"));
    expect(specsOf(resolver)).toEqual(["192.0.2.9:80"]);
    await vi.advanceTimersByTimeAsync(0);
    expect(specsOf(resolver)).toEqual([
      "chat@192.0.2.1 = 192.0.2.1",
      "chat@2001:db8::2 = 2001:db8::2",
      "192.0.2.9:80",
    ]);
    expect(resolver.specsOf("chat")[0]?.config.id).toBe("chat");
  });

  test("a name of several backends is looked up once, in whatever case it is written", async () => {
    const { resolver, asked } = startResolver({ "chat.test": ["192.0.2.1"] });
    resolver.configure(configOfPools({ chat: [first, "ws://Chat.test:81"], game: ["ws://chat.test:82"] }));
    await vi.advanceTimersByTimeAsync(0);
    expect(asked).toEqual(["chat.test"]);
    expect(specsOf(resolver)).toEqual(["chat = 192.0.2.1", "chat.test:81 = 192.0.2.1"]);
    expect(specsOf(resolver, "game")).toEqual(["chat.test:82 = 192.0.2.1"]);
    expect(specsOf(resolver, "none")).toEqual([]);
  });
});

describe("time", () => {
  test.each([
    ["no TTL", undefined, 30_000],
    ["a short TTL", 5_000, 5_000],
    ["a TTL of nothing", 0, 1_000],
    ["a long TTL", 3_600_000, 30_000],
  ])("%s: the name is looked up again in time", async (_kind, ttlMs, pauseMs) => {
    const { resolver, asked } = startResolver(
      { "chat.test": ["192.0.2.1"] },
      ttlMs === undefined ? {} : { "chat.test": ttlMs },
    );
    resolver.configure(configOf(first));
    await vi.advanceTimersByTimeAsync(pauseMs - 1);
    expect(asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(asked).toHaveLength(2);
  });

  test("changes are told and logged once; an answer in another order is none", async () => {
    const { resolver, known, told, log } = startResolver({ "chat.test": ["192.0.2.1", "192.0.2.2"] });
    resolver.configure(configOf(all));
    await vi.advanceTimersByTimeAsync(100);
    expect(told).toHaveLength(1);
    known["chat.test"] = ["192.0.2.2", "192.0.2.1"];
    await vi.advanceTimersByTimeAsync(30_000);
    expect(told).toHaveLength(1);
    known["chat.test"] = ["192.0.2.2", "192.0.2.1", "192.0.2.3"];
    await vi.advanceTimersByTimeAsync(30_000);
    expect(told.slice(1)).toEqual([
      JSON.stringify([
        "chat@192.0.2.2 = 192.0.2.2",
        "chat@192.0.2.1 = 192.0.2.1",
        "chat@192.0.2.3 = 192.0.2.3",
      ]),
    ]);
    expect(log).toEqual([
      `info: a backend's name has other addresses {"name":"chat.test","addresses":["192.0.2.2","192.0.2.1","192.0.2.3"]}`,
    ]);
  });

  test("with `resolve: all` an address stays until three answers in a row lack it", async () => {
    const { resolver, known, told, log } = startResolver({ "chat.test": ["192.0.2.1", "192.0.2.2"] });
    resolver.configure(configOf(all));
    await vi.advanceTimersByTimeAsync(100);
    const both = specsOf(resolver).toSorted();
    // A name server that answers with some of many.
    for (const some of [["192.0.2.1"], ["192.0.2.1"], ["192.0.2.2"], ["192.0.2.1"], ["192.0.2.1"]]) {
      known["chat.test"] = some;
      await vi.advanceTimersByTimeAsync(30_000);
      expect(specsOf(resolver).toSorted()).toEqual(both);
    }
    expect(log).toEqual([]);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(specsOf(resolver)).toEqual(["chat@192.0.2.1 = 192.0.2.1"]);
    expect(told.at(-1)).toBe(JSON.stringify(["chat@192.0.2.1 = 192.0.2.1"]));
    expect(log).toEqual([
      `info: a backend's name has other addresses {"name":"chat.test","addresses":["192.0.2.1"]}`,
    ]);
  });

  test("with `resolve: first` only what the last answer says is tried, in its order", async () => {
    const { resolver, known } = startResolver({ "chat.test": ["192.0.2.1"] });
    resolver.configure(configOf(first));
    await vi.advanceTimersByTimeAsync(100);
    known["chat.test"] = ["192.0.2.2"];
    await vi.advanceTimersByTimeAsync(30_100);
    expect(specsOf(resolver)).toEqual(["chat = 192.0.2.2"]);
  });

  test("names that change together are told together", async () => {
    const names = Array.from({ length: 50 }, (_, index) => `b${index}.test`);
    const { resolver, known, told } = startResolver(
      Object.fromEntries(names.map((name, index) => [name, [`192.0.2.${index}`]])),
    );
    resolver.configure(configOf(...names.map((name) => `ws://${name}:80`)));
    await vi.advanceTimersByTimeAsync(100);
    expect(told).toHaveLength(1);
    for (const name of names) known[name] = ["198.51.100.1"];
    await vi.advanceTimersByTimeAsync(30_100);
    expect(told).toHaveLength(2);
  });
});

describe("failures", () => {
  test("a name that stops resolving keeps its addresses; one warning, and one line when it is back", async () => {
    const { resolver, known, told, log, asked } = startResolver({ "chat.test": ["192.0.2.1"] });
    resolver.configure(configOf(all));
    await vi.advanceTimersByTimeAsync(100);
    known["chat.test"] = new Error("SERVFAIL");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked.length).toBeGreaterThan(4);
    expect(specsOf(resolver)).toEqual(["chat@192.0.2.1 = 192.0.2.1"]);
    expect(log).toEqual([
      `warn: cannot resolve a backend's name {"name":"chat.test","error":"SERVFAIL","keeping":["192.0.2.1"]}`,
    ]);
    known["chat.test"] = ["192.0.2.1"];
    await vi.advanceTimersByTimeAsync(5_000);
    expect(log.slice(1)).toEqual([
      `info: a backend's name resolves again {"name":"chat.test","addresses":["192.0.2.1"]}`,
    ]);
    expect(told).toHaveLength(1);
  });

  test("a name that nobody knows ends the first round, and is found when it comes to be", async () => {
    const { resolver, known, log, told } = startResolver({});
    resolver.configure(configOf(all));
    await vi.advanceTimersByTimeAsync(0);
    expect(resolver.isFirstRoundOver).toBe(true);
    expect(specsOf(resolver)).toEqual([]);
    expect(log).toEqual([`warn: cannot resolve a backend's name {"name":"chat.test","error":"ENOTFOUND"}`]);
    known["chat.test"] = ["192.0.2.1"];
    await vi.advanceTimersByTimeAsync(5_100);
    expect(specsOf(resolver)).toEqual(["chat@192.0.2.1 = 192.0.2.1"]);
    expect(told).toHaveLength(2);
  });

  test("name servers that hang hold the first round up for 5 s, and no other name for good", async () => {
    const { resolver, log } = startResolver({ "a.test": null, "b.test": ["192.0.2.1"] });
    resolver.configure(configOf("ws://a.test:80", "ws://b.test:80"));
    await vi.advanceTimersByTimeAsync(4_999);
    expect(resolver.isFirstRoundOver).toBe(false);
    expect(specsOf(resolver)).toEqual(["a.test:80", "b.test:80 = 192.0.2.1"]);
    await vi.advanceTimersByTimeAsync(1);
    expect(resolver.isFirstRoundOver).toBe(true);
    expect(log).toEqual([
      `warn: cannot resolve a backend's name {"name":"a.test","error":"no answer within 5000 ms"}`,
    ]);
  });

  test("the first round ends in time although every lookup hangs and some wait for their turn", async () => {
    const names = ["a.test", "b.test", "c.test", "d.test"];
    const { resolver, asked } = startResolver(Object.fromEntries(names.map((name) => [name, null])));
    resolver.configure(configOf(...names.map((name) => `ws://${name}:80`)));
    await vi.advanceTimersByTimeAsync(5_000);
    expect(resolver.isFirstRoundOver).toBe(true);
    expect(asked).toHaveLength(2);
  });
});

describe("names whose servers hang", () => {
  test("leave a place to those that answer, once they are known for it", async () => {
    const hanging = ["a.test", "b.test", "c.test"];
    const pending = new Set<() => void>();
    const asked: string[] = [];
    const resolver = new NameResolver({
      log: recordingLog(() => {}),
      onChange: () => {},
      lookup: {
        addressesOf: async (name) => {
          asked.push(name);
          if (!hanging.includes(name)) return ["192.0.2.1"];
          return await new Promise((_, reject) => {
            pending.add(() => reject(new Error("ETIMEOUT")));
          });
        },
        ttlOf: async () => null,
      },
    });
    resolvers.push(resolver);
    resolver.configure(configOf(...[...hanging, "good.test"].map((name) => `ws://${name}:80`)));
    // The system gives up after 20 s, and each is asked again 5 s later.
    for (let round = 0; round < 2; round++) {
      await vi.advanceTimersByTimeAsync(20_000);
      for (const giveUp of pending) giveUp();
      pending.clear();
    }
    asked.length = 0;
    await vi.advanceTimersByTimeAsync(10 * 60_000);
    expect(asked.filter((name) => name === "good.test").length).toBeGreaterThanOrEqual(19);
    expect(asked.filter((name) => name !== "good.test")).toHaveLength(1);
    for (const giveUp of pending) giveUp();
    await vi.advanceTimersByTimeAsync(0);
    // The next of them has its turn.
    expect(asked.filter((name) => name !== "good.test")).toHaveLength(2);
  });
});

describe("a new configuration", () => {
  test("keeps what it knows, looks up what is new, and leaves what is gone", async () => {
    const { resolver, asked, told } = startResolver({
      "chat.test": ["192.0.2.1"],
      "new.test": ["192.0.2.2"],
      "gone.test": ["192.0.2.3"],
    });
    resolver.configure(configOf(first, "ws://gone.test:80"));
    await vi.advanceTimersByTimeAsync(100);
    resolver.configure(configOf(all, "ws://new.test:80"));
    expect(specsOf(resolver)).toEqual(["chat@192.0.2.1 = 192.0.2.1", "new.test:80"]);
    expect(resolver.isFirstRoundOver).toBe(true);
    await vi.advanceTimersByTimeAsync(100);
    expect(told.at(-1)).toBe(JSON.stringify(["chat@192.0.2.1 = 192.0.2.1", "new.test:80 = 192.0.2.2"]));
    await vi.advanceTimersByTimeAsync(30_000);
    expect(asked.filter((name) => name === "gone.test")).toHaveLength(1);
    expect(asked.filter((name) => name === "chat.test")).toHaveLength(2);
  });

  test("an answer that comes after the name is gone, or the resolver has stopped, is not heard", async () => {
    const answer = Promise.withResolvers<readonly string[]>();
    let changes = 0;
    const resolver = new NameResolver({
      log: recordingLog(() => {
        throw new Error("nothing to say");
      }),
      onChange: () => (changes += 1),
      lookup: { addressesOf: () => answer.promise, ttlOf: async () => null },
    });
    resolver.configure(configOf(first));
    resolver.configure(configOf("ws://192.0.2.1:80"));
    expect(resolver.isFirstRoundOver).toBe(true);
    resolver.stop();
    answer.resolve(["192.0.2.1"]);
    await vi.advanceTimersByTimeAsync(100);
    expect(changes).toBe(0);
  });

  test("stop leaves no timer, whatever goes on", async () => {
    const { resolver } = startResolver({ "a.test": ["192.0.2.1"], "b.test": null });
    resolver.configure(configOf("ws://a.test:80", "ws://b.test:80", "ws://c.test:80"));
    expect(vi.getTimerCount()).toBeGreaterThan(0);
    await vi.advanceTimersByTimeAsync(0);
    resolver.stop();
    expect(vi.getTimerCount()).toBe(0);
    await vi.advanceTimersByTimeAsync(0);
    expect(vi.getTimerCount()).toBe(0);
  });
});
