import { beforeEach, describe, expect, test } from "vitest";

import { AbuseWatch } from "../../../src/control-plane/abuse.ts";
import { AddressLimits } from "../../../src/control-plane/address-limits.ts";
import type { Admission } from "../../../src/control-plane/admission.ts";
import { Dispatcher, type TrafficObserver } from "../../../src/control-plane/dispatcher.ts";
import { Channel, type ConnectionSummary, type ToWorker } from "../../../src/shared-memory/channel.ts";
import { recordingLog } from "../../support/recording-log.ts";
import { until } from "../../support/until.ts";
import { admissionOf } from "./admission-of.ts";
import { configOfPools } from "./config-of-pools.ts";
import { requestOf } from "./request-of.ts";

const config = configOfPools({
  chat: {
    backends: [
      { id: "a", capacity: 1 },
      { id: "b", capacity: 1 },
    ],
  },
});

const summary: ConnectionSummary = {
  code: 1000,
  by: "client",
  reason: "close",
  durationMs: 5,
  messagesToBackend: 1,
  messagesToClient: 2,
  bytesToBackend: 3,
  bytesToClient: 4,
};

/** Everything that the dispatcher told others, in order. */
let told: unknown[][];
let admission: Admission;
let dispatcher: Dispatcher;

beforeEach(() => {
  told = [];
  ({ admission } = admissionOf(config));
  dispatcher = dispatcherOf(admission);
});

function dispatcherOf(given: Admission): Dispatcher {
  return new Dispatcher({
    admission: given,
    abuse: new AbuseWatch(null),
    addresses: new AddressLimits({ connections: 1, upgrades: null }, () => 0),
    isReady: (pool) => pool === "chat",
    fleet: {
      failed: (...failure) => void told.push(["failed", ...failure]),
      lost: ({ backend }, network) => void told.push(["lost", backend.id, network]),
      answered: (roundTrips) => void told.push(["answered", roundTrips]),
    },
    questions: {
      onAnswer: (...answered) => void told.push(["answer", ...answered]),
      onDeath: ({ serial }) => void told.push(["no more answers", serial]),
    },
    taps: {
      onTapped: ({ serial }, { tap, frames }) => void told.push(["tapped", serial, tap, frames]),
      onDeath: ({ serial }) => void told.push(["no more frames", serial]),
    },
    log: recordingLog((...line) => void told.push(line)),
    hints: { give: (...hint) => void told.push(["hint", ...hint]) },
    observers: [recordingObserver()],
    close: (...ordered) => void told.push(["close", ...ordered]),
    catchUp: () => Promise.resolve(),
    now: () => 0,
  });
}

describe("the dispatcher", () => {
  test("answers on the thread that asked, and counts what it hears", async () => {
    const { thread, answers } = fakeThread(7);
    dispatcher.onMessage(thread, { type: "admit", request: requestOf({ id: 1 }) });
    dispatcher.onMessage(thread, { type: "admit", request: requestOf({ id: 2 }) });
    dispatcher.onMessage(thread, { type: "admit", request: requestOf({ id: 3 }) });
    const [first, second, third] = await answers(3);
    expect([first?.type, second?.type]).toEqual(["granted", "granted"]);
    expect(third).toEqual({ type: "refused", id: 3, code: "backends_full" });

    dispatcher.onMessage(thread, { type: "opened", id: 1, handshakeMs: 2.5 });
    dispatcher.onMessage(thread, { type: "release", id: 1, summary });
    dispatcher.onMessage(thread, { type: "release", id: 2, summary: null });
    expect(told).toEqual([
      ["opened", "chat", 2.5],
      ["ended", "chat", summary],
    ]);
    expect(admission.connections).toBe(0);
  });

  test("lets an upgrade that finds all backends full spend one turn of the pace, though it is looked at twice", async () => {
    const upgrades = { rate: "1/h", burst: 5, queue: 10, timeout: "1h" };
    const pools = { chat: { backends: [{ id: "a", capacity: 1 }] } };
    const { admission: paced } = admissionOf(configOfPools(pools, { limits: { upgrades } }));
    const { thread, answers } = fakeThread(7);
    const asked = dispatcherOf(paced);
    for (const id of [1, 2, 3, 4, 5]) {
      asked.onMessage(thread, { type: "admit", request: requestOf({ id }) });
      await answers(id);
    }
    const ends = (await answers(5)).map((answer) => (answer.type === "refused" ? answer.code : answer.type));
    expect(ends).toEqual(["granted", ...Array<string>(4).fill("backends_full")]);
    expect(paced.waiting).toMatchObject([{ length: 0 }]);
  });

  test("lets a client in again whose last connection ends on another thread meanwhile", async () => {
    const [first, second] = [fakeThread(7), fakeThread(8)];
    const address = "ip:192.0.2.1";
    dispatcher.onMessage(first.thread, { type: "enter", id: 1, address });
    dispatcher.onMessage(second.thread, { type: "enter", id: 1, address });
    dispatcher.onMessage(second.thread, { type: "enter", id: 2, address });
    dispatcher.onMessage(second.thread, { type: "leave", id: 1 });
    dispatcher.onMessage(first.thread, { type: "leave", id: 1 });
    expect(await second.answers(2)).toEqual([
      { type: "verdict", id: 1, isSo: false },
      { type: "verdict", id: 2, isSo: true },
    ]);
    dispatcher.onMessage(first.thread, { type: "enter", id: 2, address });
    expect(await first.answers(2)).toMatchObject([{ isSo: true }, { id: 2, isSo: false }]);
  });

  test("trades a failed grant, and lets the failure stand where nothing is left", async () => {
    const { thread, answers } = fakeThread(7);
    dispatcher.onMessage(thread, { type: "admit", request: requestOf({ id: 1 }) });
    dispatcher.onMessage(thread, { type: "exchange", id: 1, failure: "backend_failed" });
    dispatcher.onMessage(thread, { type: "exchange", id: 1, failure: "backend_timeout" });
    const [first, second, third] = await answers(3);
    const backends = [first, second].map((answer) =>
      answer?.type === "granted" ? answer.grant.backend : "",
    );
    expect(backends.toSorted()).toEqual(["a", "b"]);
    expect(third).toEqual({ type: "refused", id: 1, code: "backend_timeout" });
    expect(admission.connections).toBe(1);
  });

  test("tells of a backend that failed a dial, or left an open connection without a Close", () => {
    const { thread } = fakeThread(7);
    const failure = { pool: "chat", backend: "a", kind: "connect", network: "192.0.2.0/24" } as const;
    dispatcher.onMessage(thread, { type: "backend-failed", ...failure });
    dispatcher.onMessage(thread, { type: "admit", request: requestOf({ id: 1, network: "192.0.2.0/24" }) });
    const [pool] = admission.pools;
    const held = [...(pool?.backends ?? [])].find(({ connections }) => connections === 1)?.id;
    const lost: ConnectionSummary = { ...summary, code: 1006, by: "backend", reason: "backend_lost" };
    dispatcher.onMessage(thread, { type: "release", id: 1, summary: lost });
    expect(told).toEqual([
      ["failed", "chat", "a", "connect", "192.0.2.0/24"],
      ["ended", "chat", lost],
      ["lost", held, "192.0.2.0/24"],
    ]);
  });

  test("gives back what a dead thread held, says so, and ignores its late news", () => {
    const { thread } = fakeThread(7);
    dispatcher.onMessage(thread, { type: "admit", request: requestOf({ id: 1 }) });
    dispatcher.onMessage(thread, { type: "opened", id: 1, handshakeMs: 1 });
    dispatcher.onDeath(thread);
    expect(admission.connections).toBe(0);
    dispatcher.onMessage(thread, { type: "release", id: 1, summary });
    dispatcher.onMessage(thread, { type: "opened", id: 1, handshakeMs: 1 });
    dispatcher.onDeath(thread);
    expect(told).toEqual([
      ["opened", "chat", 1],
      ["no more answers", 7],
      ["no more frames", 7],
      ["ended", "chat", { code: 1006, by: "weir", reason: "thread_lost", durationMs: 0 }],
      ["warn", "connections ended with their worker thread", { thread: 0, connections: 1 }],
      ["no more answers", 7],
      ["no more frames", 7],
    ]);
  });

  test("counts the plain requests that threads have in flight, until a thread dies", () => {
    const { thread } = fakeThread(7);
    const { thread: other } = fakeThread(8);
    dispatcher.onMessage(thread, { type: "requests-in-flight", requests: 3 });
    dispatcher.onMessage(other, { type: "requests-in-flight", requests: 2 });
    dispatcher.onMessage(thread, { type: "requests-in-flight", requests: 1 });
    expect(admission.requests.total).toBe(3);
    dispatcher.onDeath(other);
    expect(admission.requests.total).toBe(1);
  });

  test("hands on round trips, answers and tapped frames", () => {
    const { thread } = fakeThread(1);
    const roundTrips = [{ pool: "chat", backend: "a", side: "backend", roundTripsMs: [1.5] }] as const;
    const answer = { kind: "notice", clients: 3 } as const;
    dispatcher.onMessage(thread, { type: "round-trips", roundTrips });
    dispatcher.onMessage(thread, { type: "answer", id: 9, answer });
    const batch = { tap: 3, frames: "{}", count: 1, lost: 0, isOver: false };
    dispatcher.onMessage(thread, { type: "tapped", ...batch });
    expect(told).toEqual([
      ["answered", roundTrips],
      ["answered", roundTrips],
      ["answer", 9, answer],
      ["tapped", 1, 3, "{}"],
    ]);
  });

  test("closes who was banned while it was being dialled, by the word of who banned it", () => {
    const { thread } = fakeThread(1);
    dispatcher.onMessage(thread, { type: "admit", request: requestOf({ id: 1, user: "ann" }) });
    dispatcher.onMessage(thread, { type: "admit", request: requestOf({ id: 2, user: "bob" }) });
    admission.bans.set("ann", { untilMs: 1, by: "admin", reason: null });
    admission.bans.ban("bob", 1);
    for (const id of [1, 2]) dispatcher.onMessage(thread, { type: "opened", id, handshakeMs: 1 });
    expect(told.filter(([what]) => what === "close")).toEqual([
      ["close", 1, 1, "admin"],
      ["close", 1, 2, "abuse"],
    ]);
  });

  test("hands on refusals, retries, requests, hints and log lines", () => {
    const { thread } = fakeThread(1);
    dispatcher.onMessage(thread, { type: "upgrade-refused", pool: null, code: "no_route", status: 404 });
    dispatcher.onMessage(thread, { type: "dial-retried", pool: "chat" });
    dispatcher.onMessage(thread, { type: "request-ended", pool: "chat", status: 204 });
    const hint = { topic: "a", message: "b", fields: { fix: "c" } };
    dispatcher.onMessage(thread, { type: "hint", ...hint });
    dispatcher.onMessage(thread, { type: "log", level: "info", message: "hello", fields: { a: 1 } });
    expect(told).toEqual([
      ["refused", null, "no_route"],
      ["retried", "chat"],
      ["request", "chat", 204],
      ["hint", "a", "b", { fix: "c" }],
      ["info", "hello", { a: 1 }],
    ]);
  });
});

function fakeThread(serial: number): {
  thread: Parameters<Dispatcher["onMessage"]>[0];
  answers: (count: number) => Promise<ToWorker[]>;
} {
  const posted: ToWorker[] = [];
  const port = { postMessage: (batch: unknown) => void posted.push(...(batch as ToWorker[])) };
  const answers = (count: number) => until(`${count} answers`, () => posted.length >= count && posted);
  return { thread: { serial, index: 0, channel: new Channel<ToWorker>(port) }, answers };
}

function recordingObserver(): TrafficObserver {
  return {
    upgradeOpened: (pool, handshakeMs) => void told.push(["opened", pool, handshakeMs]),
    upgradeRefused: (pool, code) => void told.push(["refused", pool, code]),
    dialRetried: (pool) => void told.push(["retried", pool]),
    connectionEnded: (pool, ended) => void told.push(["ended", pool, ended]),
    requestEnded: (pool, status) => void told.push(["request", pool, status]),
    peersAnswered: (roundTrips) => void told.push(["answered", roundTrips]),
    messagesDelayed: (delaysMs) => void told.push(["delayed", delaysMs]),
  };
}
