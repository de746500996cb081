// The header lines of a backend's answer as the client gets them.

import { isHopByHop, namedInConnection } from "./hop-by-hop.ts";

/**
 * Name, value, name, value …: the backend's own lines in their order and case, without those of its hop.
 * What becomes of the client's hop, the caller adds.
 *
 * @param setCookie value of a `Set-Cookie` line of our own; null for none
 */
export function answerHeaders(rawHeaders: readonly string[], setCookie: string | null): string[] {
  const headers: string[] = [];
  const named = namedInConnection(rawHeaders);
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? "";
    if (!isHopByHop(name) && !named.has(name.toLowerCase())) headers.push(name, rawHeaders[i + 1] ?? "");
  }
  if (setCookie !== null) headers.push("Set-Cookie", setCookie);
  return headers;
}
