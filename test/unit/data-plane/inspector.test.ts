// The figures of open connections, as they are asked for.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { OpenConnection } from "../../../src/data-plane/connections.ts";
import { Inspector } from "../../../src/data-plane/inspector.ts";
import type { UserTraffic } from "../../../src/shared-memory/questions.ts";

/** As much of an open connection as the inspector reads. */
class FakeConnection {
  readonly facts: { readonly user: string; readonly tier: string; readonly route: string };
  readonly connection = {
    toBackend: { writer: { messages: 0, bytes: 0 } },
    toClient: { writer: { messages: 0, bytes: 0 } },
  };
  limited = 0;

  constructor(user: string, tier = "guest", route = "*/*") {
    this.facts = { user, tier, route };
  }

  pass(messages: number, bytes: number): this {
    this.connection.toBackend.writer.messages += messages;
    this.connection.toClient.writer.bytes += bytes;
    return this;
  }

  get open(): OpenConnection {
    return this as unknown as OpenConnection;
  }
}

let connections: FakeConnection[];
let notified: string[];
let inspector: Inspector;

beforeEach(() => {
  vi.useFakeTimers();
  connections = [];
  notified = [];
  inspector = new Inspector({
    get all() {
      return connections.map((one) => one.open);
    },
    find: (id) => connections[id]?.open,
    notify: ({ facts }, text) => {
      notified.push(`${facts.user}: ${text}`);
      return facts.user !== "deaf";
    },
  });
});

afterEach(() => {
  vi.useRealTimers();
});

function open(...args: ConstructorParameters<typeof FakeConnection>): FakeConnection {
  const connection = new FakeConnection(...args);
  connections.push(connection);
  return connection;
}

async function busiest(): Promise<readonly UserTraffic[]> {
  const answer = await inspector.answer({ kind: "busiest" });
  return answer.kind === "busiest" ? answer.users : [];
}

test("the busiest users are those of the time between two looks, over all of their connections", async () => {
  const [ann, again, bob] = [open("ann").pass(1_000, 0), open("ann"), open("bob").pass(9, 0)];
  open("idle");
  expect(await busiest()).toEqual([]);
  ann.pass(20, 1_000);
  again.pass(2, 24);
  again.limited = 6;
  bob.pass(1, 1_000_000);
  open("new").pass(4, 0);
  vi.advanceTimersByTime(2_000);
  expect(await busiest()).toEqual([
    { user: "bob", messagesPerSecond: 1, bytesPerSecond: 500_000, limitedPerSecond: 0 },
    { user: "ann", messagesPerSecond: 11, bytesPerSecond: 512, limitedPerSecond: 3 },
    { user: "new", messagesPerSecond: 2, bytesPerSecond: 0, limitedPerSecond: 0 },
  ]);
  vi.advanceTimersByTime(1_000);
  expect(await busiest()).toEqual([]);
});

test("a look after a long while is the first one again", async () => {
  const ann = open("ann");
  await busiest();
  ann.pass(1_000, 0);
  vi.advanceTimersByTime(6_000);
  expect(await busiest()).toEqual([]);
  ann.pass(7, 0);
  vi.advanceTimersByTime(1_000);
  expect(await busiest()).toMatchObject([{ user: "ann", messagesPerSecond: 7 }]);
});

test("no more than 100 users are told of, those with the least left out", async () => {
  for (let i = 0; i < 150; i += 1) open(`user ${i}`);
  await busiest();
  connections.forEach((connection, i) => connection.pass(i, 0));
  vi.advanceTimersByTime(1_000);
  const users = await busiest();
  expect(users).toHaveLength(100);
  expect([users[0]?.user, users.at(-1)?.user]).toEqual(["user 149", "user 50"]);
});

test("a notice to thousands leaves others their turn, and counts who gets it", async () => {
  for (let i = 0; i < 500; i += 1) open(i % 2 === 0 ? "deaf" : "ann", "vip", "*/play");
  open("bob", "guest", "*/play");
  open("cid", "vip", "*/work");
  const answer = inspector.answer({ kind: "notice", text: "hi", route: "*/play", tier: "vip" });
  expect(notified).toHaveLength(200);
  await vi.runAllTimersAsync();
  expect(await answer).toEqual({ kind: "notice", clients: 250 });
  expect(notified).toHaveLength(500);
  expect(new Set(notified)).toEqual(new Set(["deaf: hi", "ann: hi"]));
});

test("connections that are gone are left out", async () => {
  expect(await inspector.answer({ kind: "connections", ids: [3, 4] })).toEqual({
    kind: "connections",
    connections: [],
  });
});
