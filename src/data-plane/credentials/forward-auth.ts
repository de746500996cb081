// Asks another service whether a request may in. It is shown the headers that the configuration names and where
// the request was going, and never anything that would make the question itself an upgrade or give it a body.

import type { ForwardAuthConfig } from "../../config/schema-identity.ts";
import { type ForeignAnswer, Refusal } from "../../errors.ts";
import { joinedHeader } from "../../ws/handshake.ts";
import { isHeaderText } from "../answer-fault.ts";
import { forwardedHeaders, type ForwardedHop } from "../backend-headers.ts";
import { headerAlias } from "../header-alias.ts";
import { isHopByHop, namedInConnection } from "../hop-by-hop.ts";
import { fromHeader, isUsableIdentity, isUsableUser } from "../identity-value.ts";
import { type AuthService, type ServiceAnswer, ServiceError } from "./auth-service.ts";

export interface ForwardAuthQuestion {
  readonly method: string;
  readonly hop: ForwardedHop;
  readonly requestId: string;
  /** Passed on from trusted peers only; by `headerAlias`. */
  readonly trustedHeaders: ReadonlySet<string>;
  /** Calls back when the client leaves; null takes that back. */
  readonly onLeave: (callback: (() => void) | null) => void;
}

/** Whom the service takes the client for; null where it does not say. */
export interface ServiceVerdict {
  readonly user: string | null;
  readonly tier: string | null;
}

/** What of the service's answer a client gets. */
const PASSED_HEADERS = [
  "cache-control",
  "content-encoding",
  "content-language",
  "content-type",
  "location",
  "retry-after",
  "set-cookie",
  "www-authenticate",
] as const;

export class ForwardAuth {
  readonly #config: ForwardAuthConfig;
  readonly #service: AuthService;
  readonly #path: string;

  constructor(config: ForwardAuthConfig, service: AuthService) {
    this.#config = config;
    this.#service = service;
    const { pathname, search } = new URL(config.url);
    this.#path = pathname + search;
  }

  /** Whether there is anything in the request that the service could know its client by. */
  hasCredentials(rawHeaders: readonly string[]): boolean {
    return this.#config.copyHeaders.some((name) => joinedHeader(rawHeaders, name) !== undefined);
  }

  /**
   * Throws Refusal: `unauthorized` with the service's own answer, `auth_unavailable` where there is none or
   * it says so, `client_gone` once the client leaves.
   */
  async ask(question: ForwardAuthQuestion): Promise<ServiceVerdict> {
    const abort = new AbortController();
    const { timeout } = this.#config;
    const timer = setTimeout(() => abort.abort(new ServiceError(`no answer within ${timeout} ms`)), timeout);
    question.onLeave(() => abort.abort(new Refusal("client_gone")));
    try {
      const headers = this.#headersFor(question);
      return this.#verdictOf(await this.#service.ask({ path: this.#path, headers, signal: abort.signal }));
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      throw unavailable(`cannot be asked: ${error.message}`, error);
    } finally {
      clearTimeout(timer);
      question.onLeave(null);
    }
  }

  #headersFor({ method, hop, requestId, trustedHeaders }: ForwardAuthQuestion): string[] {
    const { rawHeaders, client, target } = hop;
    const named = namedInConnection(rawHeaders);
    const headers: string[] = [];
    for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
      const name = (rawHeaders[i] ?? "").toLowerCase();
      if (!this.#config.copyHeaders.includes(name) || isOfTheHop(name) || named.has(name)) continue;
      if (trustedHeaders.has(headerAlias(name)) && !client.isPeerTrusted) continue;
      headers.push(name, rawHeaders[i + 1] ?? "");
    }
    const uri = target.rawPath;
    headers.push(...forwardedHeaders(hop), "X-Forwarded-Method", method, "X-Forwarded-Uri", uri);
    headers.push("X-Original-Method", method, "X-Original-URI", uri, "X-Request-Id", requestId);
    return headers;
  }

  #verdictOf(answer: ServiceAnswer): ServiceVerdict {
    const { status, headers } = answer;
    if (status < 200 || status > 299) throw refusalBy(answer);
    const { userHeader, tierHeader } = this.#config;
    const user = textOf(headers, userHeader);
    const tier = textOf(headers, tierHeader);
    return {
      user: user !== null && isUsableUser(user) ? user : null,
      tier: tier !== null && isUsableIdentity(tier) ? tier : null,
    };
  }
}

function textOf(headers: ServiceAnswer["headers"], name: string | null): string | null {
  const lines = name === null ? undefined : headers[name];
  return lines === undefined ? null : fromHeader(lines.join(","));
}

/** Belongs to the client's own connection or handshake, or frames its body. */
function isOfTheHop(name: string): boolean {
  return isHopByHop(name) || name.startsWith("sec-websocket-") || NEVER_COPIED.has(name);
}

const NEVER_COPIED: ReadonlySet<string> = new Set(["host", "content-length", "expect"]);

/** A 5xx is no word about the client: who reads a close code instead of the answer shall try again. */
function refusalBy({ status, headers, body }: ServiceAnswer): Refusal {
  const isSilent = status >= 400 && body?.length === 0;
  const passed = PASSED_HEADERS.flatMap((name) => {
    const lines = headers[name];
    const isOfNoBody = (body === null || isSilent) && name.startsWith("content-");
    return lines === undefined || isOfNoBody ? [] : [[name, lines] as const];
  });
  const isSendable = passed.every(([, lines]) => lines.every((line) => isHeaderText(line)));
  const reason = `answered ${status}`;
  if (status < 200 || status > 599 || !isSendable) return unavailable(reason);
  const answer: ForeignAnswer = {
    status,
    headers: Object.fromEntries(passed),
    body: body ?? Buffer.alloc(0),
  };
  if (status >= 500) return unavailable(reason, undefined, answer);
  return new Refusal("unauthorized", {
    message: `the authentication service ${reason}`,
    answer: isSilent ? worded(answer) : answer,
  });
}

/** A refusal of which the service has said no more than the status, as clients know it from Weir. */
function worded({ status, headers }: ForeignAnswer): ForeignAnswer {
  const message = status === 401 ? "credentials are needed" : "these credentials are not let in";
  return {
    status,
    headers: {
      // RFC 9110 §15.5.2: a 401 says how to do better.
      ...(status === 401 ? { "www-authenticate": "Bearer" } : {}),
      ...headers,
      "content-type": "application/json",
    },
    body: Buffer.from(JSON.stringify({ error: "unauthorized", message })),
  };
}

/** What is wrong with the service is for the log: a client could only learn what stands behind Weir. */
function unavailable(reason: string, cause?: unknown, answer?: ForeignAnswer): Refusal {
  return new Refusal("auth_unavailable", {
    reason: `the authentication service ${reason}`,
    cause,
    ...(answer === undefined ? {} : { answer }),
  });
}
