// What a request must show of who its client is, by its route, and what of that goes on to the backend.

import type { IncomingMessage } from "node:http";
import type { Config, RouteConfig } from "../../config/schema.ts";
import type { ReadFile } from "../../config/tls-files.ts";
import type { TokenSource } from "../../config/schema-identity.ts";
import { Refusal } from "../../errors.ts";
import type { ForwardedHop } from "../backend-headers.ts";
import { trustedHeaders } from "../identity-sources.ts";
import type { CredentialServices } from "./credential-services.ts";
import { ForwardAuth, type ServiceVerdict } from "./forward-auth.ts";
import { findToken, type ForwardedHead, TOKEN_PROTOCOL, withoutTokens } from "./token-places.ts";
import { badCredential, TokenVerifier, type VerifiedToken } from "./token-verifier.ts";

/** What credentials have proven of a client: a token, and whom forward auth takes it for. */
export interface Proof extends ServiceVerdict {
  /** Null without a token. */
  readonly token: VerifiedToken | null;
}

/** A proof, and what of the request goes on to the backend. */
export interface Passport extends Proof, ForwardedHead {
  /** What the client is told where the backend selects no subprotocol; null where that is all there is to say. */
  readonly ownProtocol: string | null;
}

/** What can be said of a request without asking anybody. */
interface Foreseen extends Proof {
  /** What would be asked, and for what. */
  readonly unasked: readonly string[];
}

/** A request, and the hop that it came by. */
export interface ShownRequest extends Omit<ForwardedHop, "rawHeaders"> {
  readonly request: IncomingMessage;
  readonly route: RouteConfig;
  readonly requestId: string;
  /** Calls back when the client leaves; null takes that back. */
  readonly onLeave: (callback: (() => void) | null) => void;
}

const NOBODY: ServiceVerdict = { user: null, tier: null };

export class Credentials {
  readonly #places: readonly TokenSource[];
  /** Null where there are no tokens. */
  readonly #tokens: TokenVerifier | null;
  /** Null where nobody is asked. */
  readonly #forwardAuth: ForwardAuth | null;
  readonly #trustedHeaders: ReadonlySet<string>;

  /** Throws where a key cannot be read or used. */
  constructor(
    config: Pick<Config, "identity" | "clientIpHeader">,
    services: CredentialServices,
    readFile: ReadFile,
  ) {
    const { jwt, forwardAuth } = config.identity;
    this.#places = jwt?.from ?? [];
    this.#tokens =
      jwt === null
        ? null
        : new TokenVerifier(jwt, jwt.jwksUrl === null ? null : services.keysOf(jwt.jwksUrl), readFile);
    this.#forwardAuth =
      forwardAuth === null
        ? null
        : new ForwardAuth(forwardAuth, services.authServiceAt(new URL(forwardAuth.url).origin));
    this.#trustedHeaders = trustedHeaders(config);
  }

  /** Whether a client's token may be among its subprotocols. */
  get areInProtocols(): boolean {
    return this.#places.some(({ kind }) => kind === "subprotocol");
  }

  /** Throws Refusal `unauthorized`, `auth_unavailable`, or `client_gone`. */
  async check(shown: ShownRequest): Promise<Passport> {
    const { request, target, route } = shown;
    const { rawHeaders } = request;
    if (route.auth === "off") return { token: null, ...NOBODY, rawHeaders, target, ownProtocol: null };
    const token = this.#tokens === null ? null : await this.#checkToken(this.#tokens, shown);
    const forwarded = withoutTokens(this.#places, { rawHeaders, target });
    const verdict =
      this.#forwardAuth === null ? NOBODY : await this.#ask(this.#forwardAuth, shown, forwarded);
    const ownProtocol = forwarded.rawHeaders === rawHeaders ? null : TOKEN_PROTOCOL;
    return { token, ...verdict, ...forwarded, ownProtocol };
  }

  /**
   * What `check` would find out, as far as nobody else has to be asked for it. Throws Refusal as that does.
   * `unasked` says what is left.
   */
  async foresee(shown: Pick<ShownRequest, "request" | "route">): Promise<Foreseen> {
    const { request, route } = shown;
    if (route.auth === "off") return { token: null, ...NOBODY, unasked: [] };
    const asksService =
      this.#forwardAuth !== null &&
      (route.auth !== "optional" || this.#forwardAuth.hasCredentials(request.rawHeaders));
    const asksForKey =
      this.#tokens?.isSelfContained === false && findToken(this.#places, request).kind === "token";
    const token = this.#tokens === null || asksForKey ? null : await this.#checkToken(this.#tokens, shown);
    const unasked = [
      ...(asksForKey ? ["identity.jwt.jwksUrl, for the key of the token; it may name user and tier"] : []),
      ...(asksService
        ? ["identity.forwardAuth, whether it lets the client in; it may name user and tier"]
        : []),
    ];
    return { token, ...NOBODY, unasked };
  }

  /** A token that is there is looked at in any case: it may be the client's mistake, or an attempt. */
  async #checkToken(
    tokens: TokenVerifier,
    { request, route }: Pick<ShownRequest, "request" | "route">,
  ): Promise<VerifiedToken | null> {
    const search = findToken(this.#places, request);
    if (search.kind === "unclear") throw badCredential(search.message);
    if (search.kind === "token") return tokens.verify(search.token);
    if (route.auth === "optional") return null;
    throw new Refusal("unauthorized", { message: "a token is needed", challenge: "Bearer" });
  }

  /** Where the route does not insist, the service is asked about those who show something. */
  async #ask(service: ForwardAuth, shown: ShownRequest, forwarded: ForwardedHead): Promise<ServiceVerdict> {
    const { request, route, client, isSecure, localPort, requestId, onLeave } = shown;
    const { rawHeaders } = request;
    if (route.auth === "optional" && !service.hasCredentials(rawHeaders)) return NOBODY;
    return service.ask({
      method: request.method ?? "GET",
      hop: { rawHeaders, client, target: forwarded.target, isSecure, localPort },
      requestId,
      trustedHeaders: this.#trustedHeaders,
      onLeave,
    });
  }
}
