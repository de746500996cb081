// A backend with all that dialling it needs, and what it keeps for the next dial: warm sockets, agents,
// a TLS session. It outlives the configurations in which the backend stays where it is.

import type net from "node:net";
import type http from "node:http";
import type tls from "node:tls";
import type { BackendConfig, PoolConfig } from "../config/schema.ts";
import { BackendAgents } from "./backend-agents.ts";
import type { ConnectTarget } from "./connecting.ts";
import { SourceAddresses } from "./source-addresses.ts";
import { WarmPlaces } from "./warm-places.ts";

/** A backend as one version of the configuration has it. */
export interface ConfiguredBackend {
  readonly config: BackendConfig;
  readonly pool: PoolConfig;
  /** Null for a backend without TLS. */
  readonly secureContext: tls.SecureContext | null;
}

export class DialTarget implements ConnectTarget {
  readonly secureContext: tls.SecureContext | null;
  readonly #agents = new BackendAgents(this);
  readonly #warm = new WarmPlaces(this);
  #config: BackendConfig;
  #pool: PoolConfig;
  #sources: SourceAddresses;
  #session: Buffer | undefined;

  constructor({ config, pool, secureContext }: ConfiguredBackend) {
    this.#config = config;
    this.#pool = pool;
    this.secureContext = secureContext;
    this.#sources = new SourceAddresses(pool.sourceAddresses);
  }

  get config(): BackendConfig {
    return this.#config;
  }

  get pool(): PoolConfig {
    return this.#pool;
  }

  get sources(): SourceAddresses {
    return this.#sources;
  }

  get session(): Buffer | undefined {
    return this.#session;
  }

  readonly keepSession = (session: Buffer): void => {
    this.#session = session;
  };

  /** Whether what is kept for this backend serves that one as well. */
  isLike({ config, secureContext }: ConfiguredBackend): boolean {
    const { target, tls, resolve, proxyProtocol } = this.#config;
    return (
      this.secureContext === secureContext &&
      target.secure === config.target.secure &&
      target.host === config.target.host &&
      target.port === config.target.port &&
      target.socketPath === config.target.socketPath &&
      tls?.serverName === config.tls?.serverName &&
      tls?.verify === config.tls?.verify &&
      resolve === config.resolve &&
      proxyProtocol === config.proxyProtocol
    );
  }

  /** Takes over another version of the same. */
  configure({ config, pool }: ConfiguredBackend): void {
    if (this.#pool.sourceAddresses.join() !== pool.sourceAddresses.join()) {
      this.#sources = new SourceAddresses(pool.sourceAddresses);
    }
    this.#config = config;
    this.#pool = pool;
  }

  /**
   * Keeps so many sockets open ahead of need; 0 closes them.
   * @param delayMs before the first one is opened
   */
  keepWarm(sockets: number, delayMs: number): void {
    // A PROXY header, which names the client, would have to go ahead of the TLS handshake.
    this.#warm.keep(this.#config.proxyProtocol ? 0 : sockets, delayMs);
  }

  /** A socket that was opened ahead; null where there is none. The backend may have closed it just now. */
  takeWarm(addresses: readonly string[] | null): net.Socket | null {
    return this.#warm.take(addresses);
  }

  /** What carries a plain request to one of these addresses. */
  agentFor(addresses: readonly string[] | null, proxyHeader: Buffer | null): http.Agent {
    return this.#agents.agentFor(addresses, proxyHeader);
  }

  /** The backend was removed or has moved: keeps nothing open any more. */
  retire(): void {
    this.#warm.keep(0, 0);
    this.#agents.retire();
  }
}
