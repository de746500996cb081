// A named group of backends: keeps their live state across reloads, remembers who belongs to which of
// them, and picks one for new work.

import type { PoolConfig } from "../config/schema.ts";
import type { AdmitRequest } from "../shared-memory/channel.ts";
import { AffinityTable } from "./affinity.ts";
import { Backend, type BackendSpec, type Obstacle } from "./backend.ts";
import { select } from "./select.ts";

/** Why a pool has no backend to give. */
export type PickFailure = "backends_full" | "no_backend";

const MAX_UNSETTLED = 10_000;

/** What became of a client's affinity: its backend of before, another one, or its first. */
export type AffinityResult = "kept" | "moved" | "new";

/** A connection's hold on a backend. */
export interface Slot {
  readonly pool: Pool;
  readonly backend: Backend;
  /** Whom the affinity table counts the connection for; null where it does not. */
  readonly affineUser: string | null;
  /** Null where its client has none. */
  readonly affinity: AffinityResult | null;
}

/** What decides about a request that nobody has sent. */
interface PoolForesight {
  /** The backend that its client belongs to; null where it is not known, or has none. */
  readonly own: Backend | null;
  readonly balance: PoolConfig["balance"];
  readonly candidates: readonly { readonly backend: Backend; readonly obstacle: Obstacle | null }[];
  readonly choice: Backend | null;
}

/** What a new list did to the backends. */
export interface PoolChanges {
  readonly added: readonly Backend[];
  /** Taken from the list; those without connections are forgotten by now. */
  readonly removed: readonly Backend[];
  /** Listed again while they still had connections. */
  readonly returned: readonly Backend[];
}

export class Pool {
  readonly name: string;
  config: PoolConfig;
  readonly affinity = new AffinityTable();
  readonly affinityResults: Record<AffinityResult, number> = { kept: 0, moved: 0, new: 0 };
  readonly #backends = new Map<string, Backend>();
  readonly #byCookie = new Map<string, Backend>();
  /** Milliseconds on the shared clock. */
  readonly #now: () => number;
  #isListed = true;
  /** Users whose cookie does not count once. */
  readonly #unsettled = new Set<string>();
  /** Those that may be given work; null once that has changed. */
  #ready: readonly Backend[] | null = null;
  /** Used anew by each choice: picking allocates nothing. */
  readonly #candidates: Backend[] = [];

  constructor(name: string, config: PoolConfig, now: () => number) {
    this.name = name;
    this.config = config;
    this.#now = now;
  }

  get backends(): Iterable<Backend> {
    return this.#backends.values();
  }

  /** The configuration names it. */
  get isListed(): boolean {
    return this.#isListed;
  }

  /** The configuration does not name it any more, and its last connection is over. */
  get isGone(): boolean {
    return !this.#isListed && this.#backends.size === 0;
  }

  find(id: string): Backend | undefined {
    return this.#backends.get(id);
  }

  /** Backends that may be given work. */
  get ready(): readonly Backend[] {
    return (this.#ready ??= [...this.#backends.values()].filter((backend) => backend.isReady));
  }

  /** Somebody could be let in now. */
  get hasRoom(): boolean {
    return this.ready.some((backend) => backend.hasRoom);
  }

  /** A backend's state has changed. */
  refresh(): void {
    this.#ready = null;
  }

  /**
   * Takes over a new list: known ids keep their counts and states, those missing are forgotten once they
   * are empty. A null configuration takes the whole pool from the list.
   */
  configure(config: PoolConfig | null, specs: readonly BackendSpec[]): PoolChanges {
    this.#isListed = config !== null;
    if (config !== null) {
      this.config = config;
      this.affinity.configure(config.affinity.ttl);
    }
    const listed = new Map(specs.map((spec) => [spec.id, spec]));
    const removed = [...this.#backends.values()].filter(
      (backend) => backend.isListed && !listed.has(backend.id),
    );
    for (const backend of removed) {
      backend.isListed = false;
      this.#forgetIfGone(backend);
    }
    const added: Backend[] = [];
    const returned: Backend[] = [];
    for (const [id, spec] of listed) {
      const known = this.#backends.get(id);
      if (known === undefined) {
        added.push(this.#add(spec));
        continue;
      }
      if (!known.isListed) returned.push(known);
      known.spec = spec;
      known.isListed = true;
    }
    this.refresh();
    return { added, removed, returned };
  }

  /**
   * Chooses a backend for a connection: the one that its client belongs to, else by `balance` among those
   * that are ready, not in `tried`, and have room. Where ready backends exist but all are at their
   * capacity it is `backends_full`.
   */
  pick(request: AdmitRequest, tried: ReadonlySet<string>): Backend | PickFailure {
    const own = this.#ownBackend(request);
    if (own !== null && own.isReady && own.hasRoom && !tried.has(own.id)) return own;
    const balance = this.#balanceFor(request);
    const candidates = this.#candidates;
    let count = 0;
    let isAnyFull = false;
    for (const backend of this.ready) {
      if (tried.size > 0 && tried.has(backend.id)) continue;
      if (backend.hasRoom) candidates[count++] = backend;
      else isAnyFull = true;
    }
    // Cut only at the end: emptied first, the array would give its memory back and grow anew.
    candidates.length = count;
    return this.#select(balance, candidates, request) ?? (isAnyFull ? "backends_full" : "no_backend");
  }

  /**
   * What `pick`, or `pickForRequest`, would go by for this request; nothing is taken, and nobody's turn passes.
   * `choice` is null where chance or the turns of the moment decide, and where there is none to choose.
   */
  foresee(request: AdmitRequest): PoolForesight {
    const own = this.#ownBackend(request);
    const balance = this.#balanceFor(request);
    const candidates = [...this.#backends.values()].map((backend) => {
      const isFull = request.kind === "connection" && !backend.hasRoom;
      return { backend, obstacle: backend.obstacle ?? (isFull ? ("full" as const) : null) };
    });
    const ready = candidates.filter(({ obstacle }) => obstacle === null).map(({ backend }) => backend);
    const [only] = ready;
    if (own !== null && ready.includes(own)) return { own, balance, candidates, choice: own };
    if (ready.length === 1) return { own, balance, candidates, choice: only ?? null };
    // The only one that neither draws lots nor takes turns.
    const choice = balance === "consistent-hash" ? this.#select(balance, ready, request) : null;
    return { own, balance, candidates, choice };
  }

  /** One for a plain request, which takes no slot: it is served by a backend at its capacity too. */
  pickForRequest(request: AdmitRequest): Backend | PickFailure {
    const own = this.#ownBackend(request);
    const isUsable = own !== null && own.isReady && !request.tried.includes(own.id);
    const untried =
      request.tried.length === 0 ? this.ready : this.ready.filter(({ id }) => !request.tried.includes(id));
    const backend = isUsable ? own : this.#select(this.#balanceFor(request), untried, request);
    if (backend === null) return "no_backend";
    if (this.#knowsByUser(request)) this.affinity.touch(request.user, backend.id, this.#now());
    return backend;
  }

  /**
   * A connection takes its slot, and its client belongs here from now on.
   * @param before the slot on a backend that has failed it
   */
  acquire(backend: Backend, request: AdmitRequest, before: Slot | null = null): Slot {
    backend.connections += 1;
    this.#unsettled.delete(request.user);
    const affinity = before === null ? this.#resultFor(backend, request) : movedFrom(before);
    const isAffine = this.#knowsByUser(request);
    if (isAffine) this.affinity.hold(request.user, backend.id);
    return { pool: this, backend, affineUser: isAffine ? request.user : null, affinity };
  }

  /** The connection is open: once, whatever its dials came to, what became of its affinity counts. */
  opened({ affinity }: Slot): void {
    if (affinity !== null) this.affinityResults[affinity] += 1;
  }

  release({ backend, affineUser }: Slot): void {
    backend.connections -= 1;
    if (affineUser !== null) this.affinity.release(affineUser, this.#now());
    this.#forgetIfGone(backend);
  }

  /** The value of the affinity cookie that the client is to get; null where it has it or needs none. */
  cookieFor(backend: Backend, request: AdmitRequest): string | null {
    return this.config.affinity.by === "cookie" && request.cookie !== backend.cookie ? backend.cookie : null;
  }

  /** The user's next connection goes to where `balance` sends it, not to the backend of before. */
  unsettle(user: string): void {
    this.affinity.forget(user);
    if (this.config.affinity.by !== "cookie") return;
    // Those who never come back must not add up.
    if (this.#unsettled.size >= MAX_UNSETTLED) this.#unsettled.clear();
    this.#unsettled.add(user);
  }

  /** Whether the client would have affinity, but for an address that it shares with others. */
  deniesAffinity(request: AdmitRequest): boolean {
    return this.config.affinity.by === "user" && request.isSharedAddress;
  }

  /** For a client that cannot go to its backend of before, if it has one. */
  #balanceFor(request: AdmitRequest): PoolConfig["balance"] {
    const { balance } = this.config;
    // All who share an address would land on one backend. Else the hash knows best, also where a user moves.
    if (balance === "consistent-hash") return request.isSharedAddress ? "least-connections" : balance;
    return this.#isKnown(request) ? "least-connections" : balance;
  }

  #select(
    balance: PoolConfig["balance"],
    candidates: readonly Backend[],
    { user }: AdmitRequest,
  ): Backend | null {
    return select(balance, candidates, {
      nowMs: this.#now(),
      slowStartMs: this.config.slowStart,
      user,
    });
  }

  /** The client has been here before, as far as its affinity tells. */
  #isKnown(request: AdmitRequest): boolean {
    if (this.config.affinity.by === "cookie") return request.cookie !== null;
    return this.#knowsByUser(request) && this.affinity.find(request.user, this.#now()) !== null;
  }

  #ownBackend(request: AdmitRequest): Backend | null {
    const id = this.#knowsByUser(request) ? this.affinity.find(request.user, this.#now()) : null;
    if (id !== null) return this.#backends.get(id) ?? null;
    if (this.config.affinity.by !== "cookie" || request.cookie === null) return null;
    if (this.#unsettled.size > 0 && this.#unsettled.has(request.user)) return null;
    return this.#byCookie.get(request.cookie) ?? null;
  }

  #resultFor(backend: Backend, request: AdmitRequest): AffinityResult | null {
    if (!this.#hasAffinity(request)) return null;
    if (!this.#isKnown(request)) return "new";
    return this.#ownBackend(request) === backend ? "kept" : "moved";
  }

  #hasAffinity(request: AdmitRequest): boolean {
    return this.config.affinity.by === "cookie" || this.#knowsByUser(request);
  }

  #knowsByUser(request: AdmitRequest): boolean {
    return this.config.affinity.by === "user" && !request.isSharedAddress;
  }

  #add(spec: BackendSpec): Backend {
    const backend = new Backend(this.name, spec);
    this.#backends.set(backend.id, backend);
    this.#byCookie.set(backend.cookie, backend);
    return backend;
  }

  #forgetIfGone(backend: Backend): void {
    if (backend.isListed || backend.connections > 0) return;
    this.#backends.delete(backend.id);
    this.#byCookie.delete(backend.cookie);
  }
}

/** Who was not known before the dial that failed is still a new one. */
function movedFrom({ affinity }: Slot): AffinityResult | null {
  return affinity === "kept" ? "moved" : affinity;
}
