// What Node's parser lets pass in the head of a request, and Weir does not: what two servers could read
// differently, or one of them not whole.

import type { IncomingMessage } from "node:http";
import { Refusal } from "../errors.ts";
import { joinedHeader } from "../ws/handshake.ts";

/** Far more than any client sends; each costs all who look through them. */
const MAX_HEADER_LINES = 256;

/** Throws Refusal `head_too_large` or `bad_request`. */
export function checkHead({ rawHeaders, httpVersion }: IncomingMessage): void {
  if (rawHeaders.length / 2 > MAX_HEADER_LINES) {
    const message = `the request head has more than ${MAX_HEADER_LINES} lines`;
    throw new Refusal("head_too_large", { message });
  }
  // RFC 9112 §6.1: HTTP/1.0 does not know it, so a server in front may have read another body.
  const encoding = joinedHeader(rawHeaders, "transfer-encoding");
  if (httpVersion === "1.0" && encoding !== undefined) {
    throw new Refusal("bad_request", { message: "a transfer-encoding needs HTTP/1.1" });
  }
  // Only chunks are taken off and made anew: what else a body is wrapped in would go on without a word of it.
  // An encoding that does not end with chunks, the parser refuses by itself.
  if (encoding !== undefined && /,\s*chunked$/i.test(encoding)) {
    throw new Refusal("bad_request", { message: "the transfer-encoding must be chunked" });
  }
}
