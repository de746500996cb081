// The sources of user and tier, in their order, as one configuration names them. Finds what a request
// says of its client, and decides what of that is believed.

import type { IncomingMessage } from "node:http";
import type { Config } from "../config/schema.ts";
import type { IdentitySource } from "../config/schema-identity.ts";
import { joinedHeader } from "../ws/handshake.ts";
import { certificateField } from "./client-certificate.ts";
import { cookieValue } from "./cookies.ts";
import type { Proof } from "./credentials/credentials.ts";
import type { VerifiedToken } from "./credentials/token-verifier.ts";
import { headerAlias } from "./header-alias.ts";
import { fromBytes, fromHeader, isUsableIdentity, isUsableUser } from "./identity-value.ts";
import { queryOf } from "./routes.ts";

/** Null where no source yields one: then it is the address that counts, and the default tier. */
interface FoundIdentity {
  readonly user: string | null;
  readonly tier: string | null;
  /** Where they stood. */
  readonly userSource: NamedSource | null;
  readonly tierSource: NamedSource | null;
}

/** A source as people call it: `header X-User`. */
export interface NamedSource {
  readonly kind: string;
  readonly name: string;
}

/** A source that the request itself answers, or the token or certificate that it has shown. */
interface RequestSource extends IdentitySource {
  readonly kind: "jwt" | "header" | "certificate" | "cookie" | "query";
}

const NOTHING: FoundIdentity = { user: null, tier: null, userSource: null, tierSource: null };

const FORWARD_AUTH: NamedSource = { kind: "forwardAuth", name: "" };

export class IdentitySources {
  readonly #user: readonly RequestSource[];
  readonly #tier: readonly RequestSource[];
  readonly #tiers: ReadonlySet<string>;

  constructor({ identity, tiers }: Pick<Config, "identity" | "tiers">) {
    const ip = identity.user.findIndex(({ kind }) => kind === "ip");
    // An address is always there: what follows `ip` is never asked.
    const user = ip === -1 ? identity.user : identity.user.slice(0, ip);
    this.#user = user.filter(isInRequest);
    this.#tier = identity.tier.filter(isInRequest);
    this.#tiers = new Set(Object.keys(tiers));
  }

  /**
   * The first usable value of each list, unless forward auth has named one. A tier that does not exist is none,
   * and ends the search: who says `platinum` where there is no such tier must not get what a weaker source says.
   *
   * @param proof what its credentials have proven
   */
  find(request: IncomingMessage, isPeerTrusted: boolean, proof: Proof): FoundIdentity {
    const isNamed = proof.user !== null || proof.tier !== null;
    if (this.#user.length === 0 && this.#tier.length === 0 && !isNamed) return NOTHING;
    const clues = new Clues(request, isPeerTrusted, proof.token);
    const user = named(proof.user) ?? firstOf(this.#user, clues, isUsableUser);
    const tier = named(proof.tier) ?? firstOf(this.#tier, clues, isUsableIdentity);
    const hasTier = tier !== null && this.#tiers.has(tier.value);
    return {
      user: user?.value ?? null,
      tier: hasTier ? tier.value : null,
      userSource: user?.source ?? null,
      tierSource: hasTier ? tier.source : null,
    };
  }
}

/**
 * The header lines that are believed from trusted peers only and never passed on from others: the
 * client's address and what `identity` names, the names of forward auth's own answer included, since
 * a backend that reads them there would believe anyone. By `headerAlias`.
 */
export function trustedHeaders({
  clientIpHeader,
  identity,
}: Pick<Config, "clientIpHeader" | "identity">): ReadonlySet<string> {
  const { user, tier, forwardAuth } = identity;
  const named = [...user, ...tier].filter(({ kind }) => kind === "header").map(({ name }) => name);
  const answered = [forwardAuth?.userHeader, forwardAuth?.tierHeader].filter(
    (name) => typeof name === "string",
  );
  const names = ["forwarded", clientIpHeader, ...named, ...answered];
  return new Set(names.map((name) => headerAlias(name.toLowerCase())));
}

function isInRequest(source: IdentitySource): source is RequestSource {
  const { kind } = source;
  return kind !== "ip";
}

interface Found {
  readonly value: string;
  readonly source: NamedSource;
}

/** What forward auth has said. */
function named(value: string | null): Found | null {
  return value === null ? null : { value, source: FORWARD_AUTH };
}

function firstOf(
  sources: readonly RequestSource[],
  clues: Clues,
  isUsable: (value: string) => boolean,
): Found | null {
  for (const source of sources) {
    const value = clues.read(source);
    if (value !== null && isUsable(value)) return { value, source };
  }
  return null;
}

/** One request, read as far as sources ask for it. */
class Clues {
  readonly #request: IncomingMessage;
  readonly #isPeerTrusted: boolean;
  readonly #token: VerifiedToken | null;
  #query: URLSearchParams | null = null;
  #cookies: string | null = null;

  constructor(request: IncomingMessage, isPeerTrusted: boolean, token: VerifiedToken | null) {
    this.#request = request;
    this.#isPeerTrusted = isPeerTrusted;
    this.#token = token;
  }

  /** What stands there, decoded; null where it is not there or not believed. */
  read({ kind, name }: RequestSource): string | null {
    switch (kind) {
      case "jwt":
        return this.#claim(name);
      case "header":
        return this.#isPeerTrusted ? this.#header(name) : null;
      case "cookie":
        return this.#cookie(name);
      case "certificate":
        return certificateField(this.#request.socket, name);
      case "query":
        return this.#parameter(name);
      default:
        return kind satisfies never;
    }
  }

  /**
   * Text or a whole number; what else a claim may be names nobody. Beyond the safe integers, numbers that the
   * token tells apart are read as one (RFC 8259 §6), and one user would be another.
   */
  #claim(name: string): string | null {
    const claims = this.#token?.claims ?? {};
    const value = Object.hasOwn(claims, name) ? claims[name] : null;
    if (Number.isSafeInteger(value)) return String(value);
    return typeof value === "string" ? value : null;
  }

  #header(name: string): string | null {
    const value = joinedHeader(this.#request.rawHeaders, name);
    return value === undefined ? null : fromHeader(value);
  }

  /** Of several the first, as servers usually read them. */
  #cookie(name: string): string | null {
    this.#cookies ??= fromBytes(this.#request.headers.cookie ?? "");
    const value = cookieValue(this.#cookies, name);
    return value === null ? null : copyOf(value);
  }

  /** Of several the first, as `URLSearchParams.get` reads them; an escape that is no UTF-8 gives U+FFFD. */
  #parameter(name: string): string | null {
    this.#query ??= new URLSearchParams(queryOf(this.#request.url ?? ""));
    return this.#query.get(name);
  }
}

/** A piece of a string keeps all of it in memory; a user is kept for as long as its connection. */
function copyOf(value: string): string {
  return Buffer.from(value).toString();
}
