// The header lines of a backend's answer as the client gets them.

import { isHopByHop, namedInConnection } from "./hop-by-hop.ts";

interface Answer {
  readonly statusCode?: number | undefined;
  readonly rawHeaders: readonly string[];
}

/** Their body is never there (RFC 9112 §6.3), whatever a length says: of a 304 it is the page's. */
const BODILESS: ReadonlySet<number | undefined> = new Set([101, 204, 304]);

/**
 * Name, value, name, value …: the backend's own lines in their order and case, without those of its hop.
 * What becomes of the client's hop, the caller adds.
 *
 * @param setCookie value of a `Set-Cookie` line of our own; null for none
 */
export function answerHeaders({ statusCode, rawHeaders }: Answer, setCookie: string | null): string[] {
  const isBodiless = BODILESS.has(statusCode);
  const headers: string[] = [];
  const named = namedInConnection(rawHeaders);
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? "";
    const lower = name.toLowerCase();
    if (isHopByHop(lower) || named.has(lower) || (isBodiless && lower === "content-length")) continue;
    headers.push(name, rawHeaders[i + 1] ?? "");
  }
  if (setCookie !== null) headers.push("Set-Cookie", setCookie);
  return headers;
}
