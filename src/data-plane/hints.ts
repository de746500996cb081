// Notices in requests what an operator should know of, and tells the control plane, which logs it once. Each
// thread tells a topic once; what was told costs nothing more.

import type { IncomingMessage } from "node:http";
import type { PoolConfig, RouteConfig } from "../config/schema.ts";
import type { Channel, HintFields, ToControl } from "../shared-memory/channel.ts";
import type { Client } from "./identify.ts";
import { isSiteOrigin } from "./origins.ts";
import type { Settings } from "./settings.ts";

/** Socket.IO and the like begin with several requests, which only one backend understands together. */
const POLLING = /[?&]transport=polling(?:&|$)/;

export class Hints {
  readonly #channel: Pick<Channel<ToControl>, "postUnhurried">;
  readonly #told = new Set<string>();

  constructor(channel: Pick<Channel<ToControl>, "postUnhurried">) {
    this.#channel = channel;
  }

  /** Called with each request and upgrade whose client is known. */
  look(request: IncomingMessage, pool: string, client: Client, settings: Settings): void {
    if (client.isForwardedByStranger) this.#untrustedForwarder(client, settings);
    else if (client.isSharedAddress) this.#nameless(pool, settings);
    if (POLLING.test(request.url ?? "")) this.#polling(pool, settings);
  }

  /** A page may not connect: mostly because nobody thought of it, so it is told what to add. */
  originRefused(route: RouteConfig, origin: string): void {
    if (!isSiteOrigin(origin)) return;
    this.#tell(`origins of ${route.id}`, "a page of an origin that is not listed could not connect", () => {
      const origins = JSON.stringify([...(route.origins ?? []), origin]);
      const fix = `if that page is yours, let its route have origins: ${origins}`;
      return { route: route.id, origin, fix };
    });
  }

  /** Sockets are cut that ask for nothing: an attack, or more clients than the system lets Weir have. */
  filesTaken(): void {
    const message = "no open files are left to spare: clients that ask for nothing are cut, the oldest first";
    this.#tell("silent clients", message, () => ({
      fix: "raise the open-file limit; let the firewall limit the connections of one address",
    }));
  }

  #untrustedForwarder({ peer, isSharedAddress }: Client, { config }: Settings): void {
    const message = "a forwarder that is not trusted is not believed: its clients all have its own address";
    this.#tell("trustedProxies", message, () => ({
      address: peer,
      ...(isSharedAddress ? { effect: "they count as one user, and have no affinity" } : {}),
      fix: `if it is a proxy of yours: trustedProxies: ${JSON.stringify([...config.trustedProxies, peer])}`,
    }));
  }

  /** A Unix socket has no address: whoever is behind it names none. */
  #nameless(pool: string, { config }: Settings): void {
    if (config.pools[pool]?.affinity.by !== "user") return;
    this.#tell("unix socket", "no affinity for clients of whom nobody says an address", () => ({
      pool,
      fix: `have the proxy behind the Unix socket send ${config.clientIpHeader}`,
    }));
  }

  #polling(pool: string, { config }: Settings): void {
    const poolConfig = config.pools[pool];
    if (poolConfig === undefined || !scattersRequests(poolConfig)) return;
    const message = "a polling transport in a pool without affinity: its requests reach different backends";
    this.#tell(`polling in ${pool}`, message, () => ({
      pool,
      fix: `pools: { ${JSON.stringify(pool)}: { affinity: { by: user } } }`,
    }));
  }

  #tell(topic: string, message: string, fields: () => HintFields): void {
    if (this.#told.has(topic)) return;
    this.#told.add(topic);
    this.#channel.postUnhurried({ type: "hint", topic, message, fields: fields() });
  }
}

/** Whether two requests of one client may well reach two backends. */
function scattersRequests({ affinity, balance, backends, backendsFile }: PoolConfig): boolean {
  const isSingle =
    backends.length === 1 && backendsFile === null && backends.every(({ resolve }) => resolve === "first");
  return affinity.by === "none" && balance !== "consistent-hash" && !isSingle;
}
