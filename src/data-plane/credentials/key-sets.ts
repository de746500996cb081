// The JWKS URLs that a thread has the keys of, over reloads: a configuration that names the same URL finds
// them fetched.

import type { LogFields, LogLevel } from "../../log.ts";
import { fetchText } from "./http-text.ts";
import { RemoteKeys } from "./remote-keys.ts";

export type WriteLog = (level: LogLevel, message: string, fields: LogFields) => void;

export class KeySets {
  readonly #log: WriteLog;
  #current: { readonly url: string; readonly keys: RemoteKeys } | null = null;

  constructor(log: WriteLog) {
    this.#log = log;
  }

  /** The keys of this URL; those of the one before are forgotten. */
  of(url: string): RemoteKeys {
    if (this.#current?.url === url) return this.#current.keys;
    const keys = new RemoteKeys({
      fetch: () => fetchText(url),
      now: () => performance.now(),
      onHealth: (failure) => this.#onHealth(url, failure),
    });
    this.#current = { url, keys };
    return keys;
  }

  /** Of the URL only where it is: the rest may be secret. */
  #onHealth(url: string, failure: Error | null): void {
    const fields = { origin: new URL(url).origin };
    if (failure === null) this.#log("info", "keys of identity.jwt.jwksUrl fetched again", fields);
    else {
      this.#log("warn", "cannot fetch the keys of identity.jwt.jwksUrl", {
        ...fields,
        reason: reasonOf(failure),
      });
    }
  }
}

function reasonOf(error: Error): string {
  return "code" in error && typeof error.code === "string" ? error.code : error.message;
}
