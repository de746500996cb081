// Which pages may open WebSockets on a route: a browser lets any page try, sends the user's cookies along,
// and says in `Origin` what page it is. Clients that are no browsers send none, or any; they gain nothing.

import type { RouteConfig } from "../config/schema.ts";
import { hostMatcher } from "./routes.ts";

/** Null for an origin that no page of a site has: `null`, several of them, or no origin at all. */
interface Origin {
  /** With its colon. */
  readonly scheme: string;
  readonly host: string;
  /** Empty for the scheme's usual one. */
  readonly port: string;
}

type OriginMatcher = (origin: Origin, authority: string) => boolean;

const USUAL_PORTS: Readonly<Record<string, string>> = {
  "http:": "80",
  "https:": "443",
  "ws:": "80",
  "wss:": "443",
};

export class Origins {
  /** By id of the route; without an entry, any origin is allowed. */
  readonly #byRoute: ReadonlyMap<string, readonly OriginMatcher[]>;

  constructor(routes: readonly RouteConfig[]) {
    this.#byRoute = new Map(
      routes.flatMap(({ id, origins }) =>
        origins === null ? [] : [[id, origins.map((pattern) => originMatcher(pattern))] as const],
      ),
    );
  }

  /**
   * Whether an upgrade may go on.
   *
   * @param origin its `Origin`, several lines joined by a comma; undefined where it has none, which passes
   * @param authority host and port that it was sent to
   */
  allow(route: string, origin: string | undefined, authority: string): boolean {
    const matchers = this.#byRoute.get(route);
    if (matchers === undefined || origin === undefined) return true;
    const parsed = parseOrigin(origin);
    return parsed !== null && matchers.some((matches) => matches(parsed, authority));
  }
}

/** Whether this is what a browser would send for a page of a site: worth proposing to an operator. */
export function isSiteOrigin(origin: string): boolean {
  return parseOrigin(origin) !== null && URL.parse(origin)?.origin === origin;
}

function originMatcher(pattern: string): OriginMatcher {
  if (pattern === "self") return isSelf;
  const wanted = parseOrigin(pattern);
  if (wanted === null) return () => false;
  const matchesHost = hostMatcher(wanted.host);
  return ({ scheme, host, port }) =>
    scheme === wanted.scheme && port === wanted.port && matchesHost(bracketless(host));
}

/**
 * A page of the host by either scheme: whether the client came by TLS is often known only to a proxy in front.
 * A port that the origin's scheme has anyway may be there or not. Apps have origins of their own schemes, with
 * hosts like `localhost` that are no names in the network.
 */
function isSelf(origin: Origin, authority: string): boolean {
  if (origin.scheme !== "http:" && origin.scheme !== "https:") return false;
  const own = parseOrigin(`${origin.scheme}//${authority}`);
  return own !== null && own.host === origin.host && own.port === origin.port;
}

/** Visible ASCII without what ends a host, which a backslash does in browsers. They send other names as `xn--…`. */
const ORIGIN = /^([a-z][a-z0-9+.-]*:)\/\/(\[[0-9a-f:.]+\]|[\w\-.~!$&'()*+;=]+)(?::(\d+))?$/i;

function parseOrigin(text: string): Origin | null {
  const match = ORIGIN.exec(text);
  if (match === null) return null;
  const [, scheme = "", host = "", port = ""] = match;
  const lower = scheme.toLowerCase();
  return {
    scheme: lower,
    host: host.toLowerCase(),
    port: port === USUAL_PORTS[lower] ? "" : port,
  };
}

/** As `hostMatcher` compares hosts. */
function bracketless(host: string): string {
  return host.replace(/^\[(.*)\]$/, "$1");
}
