// A Weir that limits its users, between byte-exact ends: users and tiers are named by the headers of a
// trusted peer, and a connection is opened for any of them.
import { expect } from "vitest";

import { openRaw, type UpgradeRequestOptions } from "./raw-client.ts";
import type { RelayedPair } from "./relay.ts";
import { accept, startScriptedBackend } from "./scripted-backend.ts";
import { startWeir, type StartedWeir } from "./start-weir.ts";

type Section = Readonly<Record<string, unknown>>;

export interface Limits {
  /** Keys of the default tier. */
  readonly tier?: Section;
  /** Keys of `limits`. */
  readonly limits?: Section;
  /** Keys of the only route, beside its pool. */
  readonly route?: Section;
  /** Keys of the only pool, beside its backends. */
  readonly pool?: Section;
  /** Further top-level keys. */
  readonly config?: Section;
}

interface LimitedOptions extends Limits {
  /** Sec-WebSocket-Extensions and -Protocol that the backend agrees to. */
  readonly extensions?: string;
  readonly protocol?: string;
}

export interface Limited extends StartedWeir {
  /** Opens one more connection. One at a time: that is how client and backend are matched. */
  open(user: string, upgrade?: UpgradeRequestOptions): Promise<RelayedPair>;
  /** Takes other limits over. */
  reload(limits: Limits): Promise<void>;
}

export async function startLimited(options: LimitedOptions): Promise<Limited> {
  const { extensions, protocol } = options;
  const agreed = {
    ...(extensions !== undefined && { extensions }),
    ...(protocol !== undefined && { protocol }),
  };
  const server = await startScriptedBackend(accept(agreed), { allowHalfOpen: true });
  const started = await startWeir(JSON.stringify(limitedConfig([server.url], options)));
  const open: Limited["open"] = async (user, upgrade = {}) => {
    const index = server.connections.length;
    const lines = [`X-User-Id: ${user}`, ...(upgrade.lines ?? [])];
    const { connection } = await openRaw(started.url, { allowHalfOpen: true, ...upgrade, lines });
    return { client: connection, backend: await server.connection(index) };
  };
  const reload = (limits: Limits) => started.weir.reload(limitedConfig([server.url], limits));
  return Object.assign(started, { open, reload });
}

/** JSON is YAML. Nothing but the test's own bytes reaches the backends: no health checks, no pings. */
export function limitedConfig(backends: readonly (string | Section)[], options: Limits): Section {
  return {
    threads: 1,
    listeners: ["127.0.0.1:0"],
    admin: { bind: "127.0.0.1:0" },
    // The patience proves that every end is a closing handshake's, not a timer's.
    timeouts: { ping: "off", close: "60s" },
    identity: { user: [{ header: "x-user-id" }, "ip"], tier: [{ header: "x-user-tier" }] },
    tiers: { member: { ...options.tier, default: true } },
    limits: options.limits ?? {},
    routes: [{ ...options.route, pool: "chat" }],
    pools: { chat: { healthCheck: "off", affinity: "off", ...options.pool, backends } },
    ...options.config,
  };
}

/** Weir drains: both ends of its one connection are told so, and that is the end of it. */
export async function endByDrain({ weir }: StartedWeir, { client, backend }: RelayedPair): Promise<void> {
  const drained = weir.drain();
  expect(await client.nextClose()).toEqual({ code: 1001, reason: "server shutting down" });
  expect(await backend.nextClose()).toEqual({ code: 1001, reason: "" });
  client.socket.destroy();
  backend.socket.destroy();
  await drained;
}
