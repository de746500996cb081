// What a request must show of who its client is, by its route, and what of that goes on to the backend.

import type { IncomingMessage } from "node:http";
import type { Config } from "../../config/schema.ts";
import type { TokenSource } from "../../config/schema-identity.ts";
import type { RouteConfig } from "../../config/schema.ts";
import { Refusal } from "../../errors.ts";
import type { RequestTarget } from "../routes.ts";
import type { KeySets } from "./key-sets.ts";
import { findToken, type ForwardedHead, TOKEN_PROTOCOL, withoutTokens } from "./token-places.ts";
import { badCredential, TokenVerifier, type VerifiedToken } from "./token-verifier.ts";

/** What credentials have proven of a client, and what of its request goes on to the backend. */
export interface Passport extends ForwardedHead {
  /** Null without a token. */
  readonly token: VerifiedToken | null;
  /** What the client is told where the backend selects no subprotocol; null where that is all there is to say. */
  readonly ownProtocol: string | null;
}

interface ShownRequest {
  readonly request: IncomingMessage;
  readonly target: RequestTarget;
  readonly route: RouteConfig;
}

export class Credentials {
  readonly #places: readonly TokenSource[];
  /** Null where there are no tokens. */
  readonly #tokens: TokenVerifier | null;

  /** Throws where a key cannot be read or used. */
  constructor({ identity }: Pick<Config, "identity">, keySets: KeySets) {
    const { jwt } = identity;
    this.#places = jwt?.from ?? [];
    this.#tokens =
      jwt === null ? null : new TokenVerifier(jwt, jwt.jwksUrl === null ? null : keySets.of(jwt.jwksUrl));
  }

  /** Whether a client's token may be among its subprotocols. */
  get areInProtocols(): boolean {
    return this.#places.some(({ kind }) => kind === "subprotocol");
  }

  /** Throws Refusal `unauthorized`, or `auth_unavailable`. */
  async check(shown: ShownRequest): Promise<Passport> {
    const { request, target, route } = shown;
    const { rawHeaders } = request;
    if (this.#tokens === null || route.auth === "off") {
      return { token: null, rawHeaders, target, ownProtocol: null };
    }
    const token = await this.#checkToken(this.#tokens, shown);
    const forwarded = withoutTokens(this.#places, { rawHeaders, target });
    const ownProtocol = forwarded.rawHeaders === rawHeaders ? null : TOKEN_PROTOCOL;
    return { token, ...forwarded, ownProtocol };
  }

  /** A token that is there is looked at in any case: it may be the client's mistake, or an attempt. */
  async #checkToken(tokens: TokenVerifier, { request, route }: ShownRequest): Promise<VerifiedToken | null> {
    const search = findToken(this.#places, request);
    if (search.kind === "unclear") throw badCredential(search.message);
    if (search.kind === "token") return tokens.verify(search.token);
    if (route.auth === "optional") return null;
    throw new Refusal("unauthorized", { message: "a token is needed", challenge: "Bearer" });
  }
}
