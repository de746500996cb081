// Answers what the control plane asks about the open connections of this thread. It counts nothing itself: it
// reads the figures that are kept anyway, and what they were when they were last asked for.

import { setImmediate } from "node:timers/promises";
import {
  type Answer,
  type ConnectionFacts,
  type Question,
  type UserTraffic,
  weightOf,
} from "../shared-memory/questions.ts";
import type { Connections, OpenConnection } from "./connections.ts";

/** More than all threads together are asked for: who is busy on several shall not be missed. */
const BUSIEST_USERS = 100;

/** Whoever asks for the busiest users does so about once a second. */
const MAX_BETWEEN_LOOKS_MS = 5_000;

/** In the first one ends are read, in the second one the sockets close. */
const TURNS_TO_CLOSE = 2;

/** Clients that are told something in one turn of the event loop. */
const NOTICES_PER_TURN = 200;

const MS_PER_SECOND = 1_000;

/** A connection's figures at the last look. */
interface Seen {
  messages: number;
  bytes: number;
  limited: number;
}

type ConnectionQuestion = Exclude<Question, { kind: "explanation" }>;

export class Inspector {
  readonly #connections: Pick<Connections, "all" | "find" | "notify">;
  readonly #seen = new WeakMap<OpenConnection, Seen>();
  #lookedAtMs = Number.NEGATIVE_INFINITY;

  constructor(connections: Pick<Connections, "all" | "find" | "notify">) {
    this.#connections = connections;
  }

  async answer(question: ConnectionQuestion): Promise<Answer> {
    switch (question.kind) {
      case "connections":
        return { kind: "connections", connections: this.#factsOf(question.ids) };
      case "busiest":
        return { kind: "busiest", users: this.#busiest(performance.now()) };
      case "notice":
        return { kind: "notice", clients: await this.#notify(question) };
      case "news":
        // Sockets that have ended by now are closed in the next turn, and their news come behind that.
        for (let turn = 0; turn < TURNS_TO_CLOSE; turn += 1) await setImmediate();
        return { kind: "news" };
      default:
        return question satisfies never;
    }
  }

  #factsOf(ids: readonly number[]): ConnectionFacts[] {
    return ids.flatMap((id) => {
      const open = this.#connections.find(id);
      return open === undefined ? [] : [factsOf(id, open)];
    });
  }

  /** What came between two looks; nothing at the first one after a while. */
  #busiest(nowMs: number): UserTraffic[] {
    const seconds = (nowMs - this.#lookedAtMs) / MS_PER_SECOND;
    const isFirst = nowMs - this.#lookedAtMs > MAX_BETWEEN_LOOKS_MS;
    this.#lookedAtMs = nowMs;
    const byUser = new Map<string, Seen>();
    for (const open of this.#connections.all) {
      const now = figuresOf(open);
      const before = this.#seen.get(open);
      this.#seen.set(open, now);
      if (isFirst) continue;
      const sum = byUser.get(open.facts.user) ?? { messages: 0, bytes: 0, limited: 0 };
      sum.messages += now.messages - (before?.messages ?? 0);
      sum.bytes += now.bytes - (before?.bytes ?? 0);
      sum.limited += now.limited - (before?.limited ?? 0);
      byUser.set(open.facts.user, sum);
    }
    return Array.from(byUser, ([user, sum]) => trafficOf(user, sum, seconds))
      .filter((traffic) => weightOf(traffic) > 0 || traffic.limitedPerSecond > 0)
      .toSorted((a, b) => weightOf(b) - weightOf(a))
      .slice(0, BUSIEST_USERS);
  }

  /** Returns how many clients get it. */
  async #notify({ text, route, tier }: Extract<Question, { kind: "notice" }>): Promise<number> {
    const open = [...this.#connections.all].filter(
      ({ facts }) => (route === null || facts.route === route) && (tier === null || facts.tier === tier),
    );
    let clients = 0;
    for (const [index, one] of open.entries()) {
      if (this.#connections.notify(one, text)) clients += 1;
      if (index % NOTICES_PER_TURN === NOTICES_PER_TURN - 1) {
        await setImmediate();
      }
    }
    return clients;
  }
}

function factsOf(id: number, { connection, facts, limited }: OpenConnection): ConnectionFacts {
  const { toBackend, toClient } = connection;
  return {
    id,
    address: facts.address,
    requestId: facts.requestId,
    openedAt: new Date(performance.timeOrigin + connection.startedAtMs).toISOString(),
    messages: { clientToBackend: toBackend.writer.messages, backendToClient: toClient.writer.messages },
    bytes: { clientToBackend: toBackend.writer.bytes, backendToClient: toClient.writer.bytes },
    limited,
    roundTripMs: {
      client: toBackend.ownPings?.lastRoundTripMs ?? null,
      backend: toClient.ownPings?.lastRoundTripMs ?? null,
    },
    bufferedBytes: {
      client: toClient.writer.socket.writableLength,
      backend: toBackend.writer.socket.writableLength,
    },
  };
}

function figuresOf({ connection, limited }: OpenConnection): Seen {
  const { writer: toBackend } = connection.toBackend;
  const { writer: toClient } = connection.toClient;
  return {
    messages: toBackend.messages + toClient.messages,
    bytes: toBackend.bytes + toClient.bytes,
    limited,
  };
}

function trafficOf(user: string, { messages, bytes, limited }: Seen, seconds: number): UserTraffic {
  const perSecond = (count: number): number => Math.round(count / seconds);
  return {
    user,
    messagesPerSecond: perSecond(messages),
    bytesPerSecond: perSecond(bytes),
    limitedPerSecond: perSecond(limited),
  };
}
