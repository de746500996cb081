// What one version of the configuration says of each listener, ready for use: certificates read.

import type { Config, ListenerConfig } from "../config/schema.ts";
import type { ReadFile } from "../config/tls-files.ts";
import { AddressBlocks, AddressRules } from "./client-address.ts";
import type { EntranceSettings } from "./entrance.ts";
import { ListenerTls } from "./listener-tls.ts";
import { ServerContexts } from "./server-contexts.ts";

export interface ListenerSettings {
  readonly config: ListenerConfig;
  readonly entrance: EntranceSettings;
  readonly access: AddressRules;
}

export class ListenersSettings {
  readonly #contexts = new ServerContexts();
  #ticketKeys: Buffer;
  #current: readonly ListenerSettings[] = [];

  constructor(ticketKeys: Uint8Array) {
    this.#ticketKeys = Buffer.from(ticketKeys);
  }

  /** Makes a version ready, in the order of the listeners. Throws where a file cannot be read or used. */
  prepare(config: Config, readFile: ReadFile): readonly ListenerSettings[] {
    const trustedProxies = new AddressBlocks(config.trustedProxies);
    const timeoutMs = config.timeouts.handshake;
    return config.listeners.map((listener, index) => {
      const proxies = listener.proxyProtocol ? trustedProxies : null;
      const tls = this.#prepareTls(listener, index, timeoutMs, readFile);
      const policy = JSON.stringify([tls?.policy ?? null, proxies === null ? null : config.trustedProxies]);
      const access = new AddressRules(listener);
      return { config: listener, access, entrance: { policy, tls, proxies, headerTimeoutMs: timeoutMs } };
    });
  }

  /** A version that was prepared is in effect now. */
  use(settings: readonly ListenerSettings[]): void {
    this.#current = settings;
    this.#contexts.settle();
  }

  of(listener: number): ListenerSettings {
    const settings = this.#current[listener];
    if (settings === undefined) throw new Error(`there is no listener ${listener}`);
    return settings;
  }

  setTicketKeys(keys: Uint8Array): void {
    this.#ticketKeys = Buffer.from(keys);
    for (const { entrance } of this.#current) entrance.tls?.setTicketKeys(this.#ticketKeys);
  }

  #prepareTls(
    listener: ListenerConfig,
    index: number,
    handshakeTimeoutMs: number,
    readFile: ReadFile,
  ): ListenerTls | null {
    const { tls: config } = listener;
    if (config === null) return null;
    const certificates = namingListener(listener, () => this.#contexts.load(config, readFile, index));
    return new ListenerTls({ config, certificates, ticketKeys: this.#ticketKeys, handshakeTimeoutMs });
  }
}

function namingListener<T>({ bind }: ListenerConfig, load: () => T): T {
  try {
    return load();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`listener ${bind.text}: tls: ${reason}`, { cause });
  }
}
