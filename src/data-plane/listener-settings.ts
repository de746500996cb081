// What one version of the configuration says of each listener, ready for use: certificates read.

import type { Config, ListenerConfig } from "../config/schema.ts";
import type { ReadFile } from "../config/tls-files.ts";
import { ListenerTls } from "./listener-tls.ts";
import { ServerContexts } from "./server-contexts.ts";

export interface ListenerSettings {
  readonly config: ListenerConfig;
  /** Null without TLS. */
  readonly tls: ListenerTls | null;
}

export class ListenersSettings {
  readonly #contexts = new ServerContexts();
  #ticketKeys: Buffer;
  #current: readonly ListenerSettings[] = [];

  constructor(ticketKeys: Uint8Array) {
    this.#ticketKeys = Buffer.from(ticketKeys);
  }

  /** Makes a version ready, in the order of the listeners. Throws where a file cannot be read or used. */
  prepare({ listeners, timeouts }: Config, readFile: ReadFile): readonly ListenerSettings[] {
    return listeners.map((config, index) => {
      const { tls: options } = config;
      if (options === null) return { config, tls: null };
      const certificates = namingListener(config, () => this.#contexts.load(options, readFile, index));
      const tls = new ListenerTls({
        config: options,
        certificates,
        ticketKeys: this.#ticketKeys,
        handshakeTimeoutMs: timeouts.handshake,
      });
      return { config, tls };
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
    for (const { tls } of this.#current) tls?.setTicketKeys(this.#ticketKeys);
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
