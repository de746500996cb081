// The process of a backend is killed while messages flow over its connections and everybody else's, and
// while new clients come.
import { describe, expect, test } from "vitest";

import { type BackendProcess, startBackendProcess } from "../support/backend-process.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { reasonOf } from "../support/state-changes.ts";
import { until } from "../support/until.ts";
import { openClient, type WsClient } from "../support/ws-client.ts";

const CLIENTS = 240;

/** Messages of a client that are under way at a time, so that an exchange of two would be seen. */
const IN_FLIGHT = 3;

/** Those who come once the backend is known to be down. */
const LATER = 30;

/** Of each client, before the kill and after it. */
const MESSAGES = 20;

const ordinary = { code: 1000, reason: "" };
const lostBackend = { code: 1012, reason: "backend lost" };

/** A client that sends numbered messages and hears them back, in order, until it is told to stop. */
class Talk {
  readonly user: string;
  readonly client: WsClient;
  /** Resolves once nothing is under way any more; rejects for a message that is lost or out of order. */
  readonly over: Promise<void>;
  #heard = 0;
  #isStopping = false;

  constructor(user: string, client: WsClient) {
    this.user = user;
    this.client = client;
    this.over = this.#run();
    // Who waits for it comes later; of the killed backend's clients, nobody.
    this.over.catch(() => {});
  }

  get backendId(): string {
    return this.client.backendId;
  }

  get heard(): number {
    return this.#heard;
  }

  stop(): void {
    this.#isStopping = true;
  }

  async #run(): Promise<void> {
    let sent = 0;
    for (; sent < IN_FLIGHT; sent += 1) await this.#send(sent);
    while (this.#heard < sent) {
      const text = await this.client.nextText();
      if (text !== this.#message(this.#heard)) {
        throw new Error(`${this.user} hears '${text}' for '${this.#message(this.#heard)}'`);
      }
      this.#heard += 1;
      if (this.#isStopping) continue;
      await this.#send(sent);
      sent += 1;
    }
  }

  async #send(number: number): Promise<void> {
    await this.client.send(this.#message(number));
  }

  #message(number: number): string {
    return `${this.user} ${number}`;
  }
}

async function openAs({ url }: StartedWeir, user: string): Promise<WsClient> {
  return openClient(url, { headers: { "x-user-id": user } });
}

async function startTalks(weir: StartedWeir): Promise<Talk[]> {
  const users = Array.from({ length: CLIENTS }, (_, i) => `user-${i}`);
  return Promise.all(users.map(async (user) => new Talk(user, await openAs(weir, user))));
}

/** Each of them has heard so many messages more than now. */
async function untilTalked(talks: readonly Talk[]): Promise<void> {
  const before = talks.map(({ heard }) => heard);
  await until(`${MESSAGES} messages of each of ${talks.length}`, () =>
    talks.every(({ heard }, i) => heard >= (before[i] ?? 0) + MESSAGES),
  );
}

interface Arrivals {
  readonly upgrades: number;
  /** Those whose backend was killed while they were there. */
  readonly lost: number;
}

/** New users, one after another, until it is told to stop. Rejects where an upgrade fails. */
async function arrive(weir: StartedWeir, name: string, over: AbortSignal): Promise<Arrivals> {
  let [upgrades, lost] = [0, 0];
  for (; !over.aborted; upgrades += 1) {
    const client = await openAs(weir, `${name}-${upgrades}`);
    const heard = await client.ask("hello").catch(() => "nothing");
    // Its backend may be gone before it is, and then its Close comes first.
    const end = await client.close(1000);
    const wasLost = end.code === lostBackend.code;
    expect([wasLost || heard, end]).toEqual([wasLost || "hello", wasLost ? lostBackend : ordinary]);
    if (wasLost) lost += 1;
  }
  return { upgrades, lost };
}

/** A user of the dead backend comes back: to another one, and to the same as long as that is there. */
async function expectToMoveAndStay(weir: StartedWeir, user: string): Promise<void> {
  const moved = await openAs(weir, user);
  expect(["b", "c"]).toContain(moved.backendId);
  await untilMetric(weir.adminUrl, 1, "weir_affinity_total", { pool: "chat", result: "moved" });
  await moved.close(1000);
  for (let i = 0; i < 5; i += 1) {
    const again = await openAs(weir, user);
    expect(again.backendId).toBe(moved.backendId);
    await again.close(1000);
  }
  await untilMetric(weir.adminUrl, 1, "weir_affinity_total", { pool: "chat", result: "moved" });
}

async function start(pool: object): Promise<{ weir: StartedWeir; backends: BackendProcess[] }> {
  const backends = await Promise.all(["a", "b", "c"].map((id) => startBackendProcess(id)));
  const weir = await startInFrontOf(
    backends.map(({ id, url }) => ({ id, url })),
    {
      pool: {
        healthCheck: { type: "tcp", interval: "100ms", timeout: "30s", healthyAfter: 1, unhealthyAfter: 3 },
        affinity: { by: "user" },
        ...pool,
      },
      config: { threads: 2, identity: { user: [{ header: "x-user-id" }] } },
    },
  );
  return { weir, backends };
}

describe("a backend that is killed under load", () => {
  test.each([
    ["active checks alone", { outlier: "off" }],
    ["what traffic sees of it, too", { outlier: { failures: 5, window: "30s", eject: "1h" } }],
  ])("harms nobody but its own clients, who come back elsewhere and stay (%s)", async (_by, pool) => {
    const { weir, backends } = await start(pool);
    const talks = await startTalks(weir);
    const dying = talks.filter(({ backendId }) => backendId === "a");
    const staying = talks.filter(({ backendId }) => backendId !== "a");
    expect(dying).toHaveLength(CLIENTS / 3);
    const arriving = new AbortController();
    const arrivals = ["x", "y", "z"].map((name) => arrive(weir, name, arriving.signal));
    await untilTalked(talks);

    await backends[0]?.kill();
    for (const { client } of dying) {
      expect(await client.closed()).toEqual(lostBackend);
    }
    expect(await reasonOf(weir, "backend down", "a")).toMatch(/ECONNREFUSED/);
    await untilTalked(staying);
    arriving.abort();
    // Not one of their upgrades has failed.
    const arrived = await Promise.all(arrivals);
    const upgrades = CLIENTS + arrived.reduce((sum, { upgrades }) => sum + upgrades, 0);
    const lost = dying.length + arrived.reduce((sum, { lost }) => sum + lost, 0);

    // The dead one gets nothing any more: nobody has to be sent elsewhere.
    const ok = { pool: "chat", result: "ok" };
    await untilMetric(weir.adminUrl, upgrades, "weir_upgrades_total", ok);
    const before = await scrape(weir.adminUrl);
    const later = await Promise.all(Array.from({ length: LATER }, (_, i) => openAs(weir, `later-${i}`)));
    expect(new Set(later.map(({ backendId }) => backendId))).toEqual(new Set(["b", "c"]));
    await untilMetric(weir.adminUrl, upgrades + LATER, "weir_upgrades_total", ok);
    const after = await scrape(weir.adminUrl);
    for (const name of ["weir_dial_retries_total", "weir_backend_failures_total"]) {
      expect(after.sum(name)).toBe(before.sum(name));
    }
    expect(after.sum("weir_upgrades_total")).toBe(after.sum("weir_upgrades_total", ok));

    await expectToMoveAndStay(weir, dying[0]?.user ?? "");
    for (const talk of staying) talk.stop();
    await Promise.all(staying.map(({ over }) => over));
    await untilMetric(weir.adminUrl, lost, "weir_closes_total", { reason: "backend_lost" });
    await untilMetric(weir.adminUrl, lost, "weir_backend_failures_total", { backend: "a", kind: "lost" });
    await untilMetric(weir.adminUrl, 0, "weir_backend_connections", { backend: "a" });
  });
});

test("a backend that is killed and started again takes part again; who has moved stays", async () => {
  const { weir, backends } = await start({});
  const [first] = backends;
  const clients = await Promise.all(Array.from({ length: 6 }, (_, i) => openAs(weir, `user-${i}`)));
  const index = clients.findIndex(({ backendId }) => backendId === "a");
  await first?.kill();
  await clients[index]?.closed();
  const moved = await openAs(weir, `user-${index}`);
  await reasonOf(weir, "backend down", "a");
  await startBackendProcess("a", first?.port);
  await reasonOf(weir, "backend up", "a");
  // It has fewest connections, and new users go there; those of before do not.
  expect((await openAs(weir, "new")).backendId).toBe("a");
  expect((await openAs(weir, `user-${index}`)).backendId).toBe(moved.backendId);
});
