// What a thread asks of others to know its clients, over reloads: a configuration that names the same URL
// finds its keys fetched, and the connections to its service open.

import type { LogFields, LogLevel } from "../../log.ts";
import { AuthService } from "./auth-service.ts";
import { fetchText } from "./http-text.ts";
import { RemoteKeys } from "./remote-keys.ts";

type WriteLog = (level: LogLevel, message: string, fields: LogFields) => void;

export class CredentialServices {
  readonly #log: WriteLog;
  #keySet: { readonly url: string; readonly keys: RemoteKeys } | null = null;
  #authService: AuthService | null = null;

  constructor(log: WriteLog) {
    this.#log = log;
  }

  /** The keys of this URL; those of the one before are forgotten. */
  keysOf(url: string): RemoteKeys {
    if (this.#keySet?.url === url) return this.#keySet.keys;
    const keys = new RemoteKeys({
      fetch: () => fetchText(url),
      now: () => performance.now(),
      onHealth: (failure) => this.#onHealth(url, failure),
    });
    this.#keySet = { url, keys };
    return keys;
  }

  /** The service there; the one before is let go, once it has answered what it was asked. */
  authServiceAt(origin: string): AuthService {
    if (this.#authService?.origin === origin) return this.#authService;
    void this.#authService?.close();
    this.#authService = new AuthService(origin);
    return this.#authService;
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
