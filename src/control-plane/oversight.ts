// What an administrator sees of users and connections, and does to them. Who holds which place the control
// plane knows; what passes there, its thread is asked.

import type { Log } from "../log.ts";
import type { CloseWords } from "../shared-memory/channel.ts";
import { type ConnectionFacts, type UserTraffic, weightOf } from "../shared-memory/questions.ts";
import type { Admission } from "./admission.ts";
import type { Ban } from "./bans.ts";
import type { Place } from "./places.ts";
import type { Questions } from "./questions.ts";
import type { BucketLevel, UserBuckets } from "./user-buckets.ts";
import type { Thread } from "./thread.ts";

/** Each null for any. */
export interface ConnectionFilter {
  readonly user: string | null;
  readonly tier: string | null;
  readonly pool: string | null;
  readonly backend: string | null;
}

/** A connection by its thread, and its grant's id there. */
interface ConnectionPlace {
  readonly worker: number;
  readonly id: number;
}

export interface ConnectionView extends Omit<ConnectionFacts, "id"> {
  readonly id: string;
  readonly user: string;
  readonly tier: string;
  readonly route: string;
  readonly pool: string;
  readonly backend: string;
}

export interface UserView {
  readonly user: string;
  /** Of its newest connection; null without one. */
  readonly tier: string | null;
  /** The one that its newest connection is on, or that it would come back to; null for none. */
  readonly backend: string | null;
  /** By pool, the backend that it belongs to. */
  readonly affinity: Readonly<Record<string, string>>;
  readonly connections: readonly ConnectionView[];
  readonly buckets: readonly BucketLevel[];
  readonly ban: BanView | null;
}

export interface BanView extends Omit<Ban, "untilMs"> {
  /** ISO 8601. */
  readonly until: string;
}

export interface BusyUser extends UserTraffic {
  readonly tier: string;
  readonly connections: number;
  readonly buckets: readonly BucketLevel[];
  readonly banned: boolean;
}

interface OversightOptions {
  readonly admission: Pick<Admission, "places" | "bans" | "pools">;
  readonly buckets: Pick<UserBuckets, "levels">;
  readonly questions: Pick<Questions, "ask" | "catchUp">;
  readonly log: Log;
  readonly threads: { readonly all: Iterable<Thread>; find(serial: number): Thread | undefined };
  /** Milliseconds on the shared clock. */
  readonly now: () => number;
}

const BUSIEST_USERS = 20;

/** They are asked for each second: whoever waits for them must not wait for a thread that hangs. */
const BUSIEST_DEADLINE_MS = 500;

/** Connections of one user that are shown. */
const CONNECTIONS_OF_USER = 100;

export class Oversight {
  readonly #options: OversightOptions;

  constructor(options: OversightOptions) {
    this.#options = options;
  }

  /** Resolves when everything is known here that a client, or who has just tapped one, could know. */
  async catchUp(): Promise<void> {
    const { threads, questions } = this.#options;
    await questions.catchUp(threads.all);
  }

  /**
   * The first `limit` that fit, and how many there are in all. Left out are those that end meanwhile, and those
   * of a thread that does not answer.
   */
  async connections(
    filter: ConnectionFilter,
    limit: number,
  ): Promise<{ connections: ConnectionView[]; total: number }> {
    const places = this.#candidates(filter).filter((place) => isMatch(place, filter));
    return { connections: await this.#viewsOf(places.slice(0, limit)), total: places.length };
  }

  /** Null where nothing is known of it. */
  async user(user: string): Promise<UserView | null> {
    const { admission, buckets, now } = this.#options;
    const places = admission.places.ofUser(user).filter(isOpen);
    const newest = places.at(-1) ?? null;
    const affinity: Record<string, string> = {};
    for (const pool of admission.pools) {
      const backend = pool.affinity.find(user, now());
      if (backend !== null) affinity[pool.name] = backend;
    }
    const view = {
      user,
      tier: newest?.request.tier ?? null,
      backend: newest?.slot?.backend.id ?? Object.values(affinity)[0] ?? null,
      affinity,
      buckets: buckets.levels(user),
      ban: this.#banOf(user),
    };
    const isKnown = newest !== null || view.backend !== null || view.buckets.length > 0 || view.ban !== null;
    if (!isKnown) return null;
    return { ...view, connections: await this.#viewsOf(places.slice(-CONNECTIONS_OF_USER)) };
  }

  /** Returns whether there is such a connection. */
  closeConnection(id: string, words: CloseWords | null): boolean {
    const parsed = parseConnectionId(id);
    const place = parsed === null ? undefined : this.#options.admission.places.find(parsed.worker, parsed.id);
    if (place === undefined || !isOpen(place)) return false;
    this.#close(place, words);
    this.#options.log.info("connection closed by an administrator", {
      connection: id,
      user: place.request.user,
    });
    return true;
  }

  hasConnection({ worker, id }: ConnectionPlace): boolean {
    const place = this.#options.admission.places.find(worker, id);
    return place !== undefined && isOpen(place);
  }

  /** Returns how many are closed. */
  closeUser(user: string, words: CloseWords | null): number {
    const connections = this.#closeAllOf(user, words);
    this.#options.log.info("user's connections closed by an administrator", { user, connections });
    return connections;
  }

  /** Replaces a ban that there is, and closes the user's connections; those being dialled follow as they open. */
  ban(user: string, forMs: number, reason: string | null): { ban: BanView | null; closed: number } {
    const { admission, log, now } = this.#options;
    admission.bans.set(user, { untilMs: now() + forMs, by: "admin", reason });
    const closed = this.#closeAllOf(user, null);
    log.info("user banned by an administrator", { user, banMs: forMs, reason, connections: closed });
    return { ban: this.#banOf(user), closed };
  }

  /** Returns whether there was one. */
  liftBan(user: string): boolean {
    const { admission, log, now } = this.#options;
    const isLifted = admission.bans.find(user, now()) !== null && admission.bans.lift(user);
    if (isLifted) log.info("ban lifted by an administrator", { user });
    return isLifted;
  }

  /** Returns how many clients get it. */
  async notice(text: string, route: string | null, tier: string | null): Promise<number> {
    const { threads, questions, log } = this.#options;
    const answers = await Promise.all(
      Array.from(threads.all, (thread) => questions.ask(thread, { kind: "notice", text, route, tier })),
    );
    const counts = answers.map((answer) => (answer?.kind === "notice" ? answer.clients : 0));
    const clients = counts.reduce((sum, count) => sum + count, 0);
    log.info("notice sent by an administrator", { route, tier, clients });
    return clients;
  }

  /** Those with the most traffic since this was asked before, the busiest first. */
  async busiest(): Promise<BusyUser[]> {
    const { threads, questions } = this.#options;
    const answers = await Promise.all(
      Array.from(threads.all, (thread) => questions.ask(thread, { kind: "busiest" }, BUSIEST_DEADLINE_MS)),
    );
    const users = sumByUser(answers.flatMap((answer) => (answer?.kind === "busiest" ? answer.users : [])));
    const busiest = users.toSorted((a, b) => weightOf(b) - weightOf(a)).slice(0, BUSIEST_USERS);
    return busiest.map((traffic) => this.#busyUser(traffic));
  }

  #banOf(user: string): BanView | null {
    const nowMs = this.#options.now();
    const ban = this.#options.admission.bans.find(user, nowMs);
    if (ban === null) return null;
    const { by, reason, untilMs } = ban;
    return { until: new Date(Date.now() + untilMs - nowMs).toISOString(), by, reason };
  }

  #busyUser(traffic: UserTraffic): BusyUser {
    const { admission, buckets, now } = this.#options;
    const { user } = traffic;
    const places = admission.places.ofUser(user).filter(isOpen);
    return {
      ...traffic,
      tier: places.at(-1)?.request.tier ?? "",
      connections: places.length,
      buckets: buckets.levels(user),
      banned: admission.bans.isBanned(user, now()),
    };
  }

  /** As few as an index can tell. */
  #candidates({ user, backend }: ConnectionFilter): Place[] {
    const { places, pools } = this.#options.admission;
    if (user !== null) return places.ofUser(user);
    if (backend === null) return places.all;
    return Array.from(pools, (pool) => pool.find(backend))
      .filter((found) => found !== undefined)
      .flatMap((found) => places.ofBackend(found));
  }

  async #viewsOf(places: readonly Place[]): Promise<ConnectionView[]> {
    const byWorker = Map.groupBy(places, ({ worker }) => worker);
    const views = await Promise.all(
      Array.from(byWorker, async ([worker, ofWorker]) => {
        const thread = this.#options.threads.find(worker);
        if (thread === undefined) return [];
        const ids = ofWorker.map(({ request }) => request.id);
        const answer = await this.#options.questions.ask(thread, { kind: "connections", ids });
        if (answer?.kind !== "connections") return [];
        const facts = new Map(answer.connections.map((one) => [one.id, one]));
        return ofWorker.flatMap((place) => viewOf(place, facts.get(place.request.id)));
      }),
    );
    return views.flat();
  }

  #closeAllOf(user: string, words: CloseWords | null): number {
    const places = this.#options.admission.places.ofUser(user).filter(isOpen);
    for (const place of places) this.#close(place, words);
    return places.length;
  }

  #close({ worker, request }: Place, words: CloseWords | null): void {
    const thread = this.#options.threads.find(worker);
    thread?.channel.post({ type: "close", id: request.id, reason: "admin", words });
  }
}

/** What the id in a ConnectionView says; null where it is none. */
export function parseConnectionId(text: string): ConnectionPlace | null {
  const [, worker, id] = /^(\d{1,15})-(\d{1,15})$/.exec(text) ?? [];
  return worker === undefined || id === undefined ? null : { worker: Number(worker), id: Number(id) };
}

/** The client has its 101. */
function isOpen({ state }: Place): boolean {
  return state === "open" || state === "leaving";
}

function isMatch(place: Place, { user, tier, pool, backend }: ConnectionFilter): boolean {
  const { request, slot } = place;
  return (
    isOpen(place) &&
    (user === null || request.user === user) &&
    (tier === null || request.tier === tier) &&
    (pool === null || slot?.pool.name === pool) &&
    (backend === null || slot?.backend.id === backend)
  );
}

function viewOf({ worker, request, slot }: Place, facts: ConnectionFacts | undefined): ConnectionView[] {
  if (facts === undefined || slot === null) return [];
  return [
    {
      ...facts,
      id: `${worker}-${request.id}`,
      user: request.user,
      tier: request.tier,
      route: request.route,
      pool: slot.pool.name,
      backend: slot.backend.id,
    },
  ];
}

function sumByUser(parts: readonly UserTraffic[]): UserTraffic[] {
  const sums = new Map<string, UserTraffic>();
  for (const part of parts) {
    const known = sums.get(part.user);
    sums.set(part.user, known === undefined ? part : addedUp(known, part));
  }
  return [...sums.values()];
}

function addedUp(a: UserTraffic, b: UserTraffic): UserTraffic {
  return {
    user: a.user,
    messagesPerSecond: a.messagesPerSecond + b.messagesPerSecond,
    bytesPerSecond: a.bytesPerSecond + b.bytesPerSecond,
    limitedPerSecond: a.limitedPerSecond + b.limitedPerSecond,
  };
}
