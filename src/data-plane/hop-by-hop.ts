// The header lines that belong to one hop and are never passed on as they are.

/** RFC 9110 §7.6.1, and the ones that proxies use by custom. */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** What `Connection` may not take away: it would make the other end see another message or handshake. */
const KEPT = /^(?:host|content-length|sec-websocket-.*)$/;

const NOTHING: ReadonlySet<string> = new Set();

export function isHopByHop(name: string): boolean {
  return HOP_BY_HOP.has(name.toLowerCase());
}

/** The further header lines, in lower case, that `Connection` declares to be for this hop only. */
export function namedInConnection(rawHeaders: readonly string[]): ReadonlySet<string> {
  let named: Set<string> | null = null;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.toLowerCase() !== "connection") continue;
    for (const token of rawHeaders[i + 1]?.toLowerCase().split(",") ?? []) {
      const name = token.trim();
      // `Connection: Upgrade` and the like, the usual case, name nothing that is not removed anyway.
      if (name === "" || name === "close" || HOP_BY_HOP.has(name) || KEPT.test(name)) continue;
      named = (named ?? new Set()).add(name);
    }
  }
  return named ?? NOTHING;
}
