// The kinds of value that only routes hold: host and origin patterns, header changes, notices, close codes.

import { isIPv6 } from "node:net";
import { z } from "zod";
import { AddressError, isHostName, trimSlashes } from "./addresses.ts";
import { headerName, integer, isNot, parsed, text, urlPath } from "./schema-values.ts";
import { didYouMean } from "./suggest.ts";
import { describeValue } from "./units.ts";

/** Headers that belong to the connection or to the handshake, which Weir itself writes, or answers. */
const OWN_HEADERS = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "sec-websocket-accept",
  "sec-websocket-extensions",
  "sec-websocket-key",
  "sec-websocket-protocol",
  "sec-websocket-version",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

export const editableHeader = headerName().refine((name) => !OWN_HEADERS.has(name), {
  error: ({ input }) => {
    if (input === "host") return "use hostHeader instead";
    const owner = input === "expect" ? "is answered by Weir itself" : "belongs to the handshake";
    return `${describeValue(input)} ${owner} and cannot be changed`;
  },
});

export const closeCode = z
  .union([z.literal("none"), integer(1000, 4999)], {
    error: ({ input }) => `${describeValue(input)} is not a close code: write one from 1000 to 4999, or none`,
  })
  // What is out of bounds was told so already.
  .refine((code) => code === "none" || code < 1000 || code > 4999 || isSendableCloseCode(code), {
    error: ({ input }) =>
      `${describeValue(input)} cannot be sent: 1000 to 1003, 1007 to 1014 and 3000 to 4999 can, or none`,
  });

/** Lower case. */
export const hostPattern = parsed(
  (host) => {
    if (/:\d+$/.test(host) && !host.startsWith("["))
      throw new AddressError(`${describeValue(host)} has a port; a route's host is without one`);
    if (!isHostPattern(host)) {
      throw new AddressError(
        `${describeValue(host)} is not a host: write one like "example.com" or "*.example.com" (* is one whole label)`,
      );
    }
    return host.toLowerCase();
  },
  isNot("a host"),
  "host pattern",
);

/** Lower case. */
export const originPattern = parsed(
  (origin) => {
    if (origin === "self") return origin;
    const [, host = "", port = ""] = /^[a-z][a-z0-9+.-]*:\/\/(.*?)(:\d+)?$/i.exec(origin) ?? [];
    if (host.endsWith("/") || port.endsWith("/"))
      throw new AddressError(`${describeValue(origin)} has a path; an origin ends with its host or port`);
    if (!isHostPattern(host)) {
      throw new AddressError(
        `${describeValue(origin)} is not an origin: write one like "https://example.com", "https://*.example.com" or self`,
      );
    }
    return origin.toLowerCase();
  },
  isNot("an origin"),
  "origin or self",
);

export const headerValue = z
  .string({ error: ({ input }) => `${describeValue(input)} is not text: put it in quotes` })
  .regex(/^[\t\x20-\x7e\x80-\xff]*$/, { error: "holds characters that a header cannot carry" })
  .meta({ title: "text" });

const PLACEHOLDER = /\{\{([^{}]*)\}\}/g;

/** Text with one placeholder that Weir fills in; spaces within its braces are taken out. */
export function noticeText(placeholder: string) {
  return text("text", 4096)
    .overwrite((notice) => notice.replaceAll(PLACEHOLDER, (_, name: string) => `{{${name.trim()}}}`))
    .superRefine((notice, context) => {
      for (const [whole, name = ""] of notice.matchAll(PLACEHOLDER)) {
        if (name === placeholder) continue;
        const message = `${whole} is unknown here; {{${placeholder}}} is filled in${didYouMean(name, [placeholder])}`;
        context.addIssue({ code: "custom", message, input: notice });
      }
    });
}

/** Begins with `/`, ends without one. */
export const pathPrefix = urlPath()
  .transform(trimSlashes)
  .refine((path) => path !== "", { error: "takes nothing off: write off or a prefix like /chat" });

/** RFC 6455 §7.4: codes 1004 to 1006 and 1015 never stand in a Close frame. */
function isSendableCloseCode(code: number): boolean {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

function isHostPattern(host: string): boolean {
  if (host.startsWith("[")) return host.endsWith("]") && isIPv6(host.slice(1, -1));
  const labels = host.split(".").map((label) => (label === "*" ? "any" : label));
  return isHostName(labels.join("."));
}
