// Which upgrade goes to which pool, and under what rules: the `routes` section.

import { z } from "zod";
import type { OnExceed, Rate } from "./schema-limits.ts";
import {
  closeCode,
  editableHeader,
  headerValue,
  hostPattern,
  noticeText,
  originPattern,
  pathPrefix,
} from "./schema-route-values.ts";
import {
  blocks,
  NAME,
  offOr,
  rateFields,
  rateLimit,
  rateOr,
  text,
  pathPattern,
  withBurst,
} from "./schema-values.ts";

/** Why Weir ended a connection whose client can still be told; `closeCodes` maps these. */
type CloseReasonLabel = (typeof CLOSE_REASON_LABELS)[number];

const CLOSE_REASON_LABELS = [
  "draining",
  "backend_draining",
  "backend_lost",
  "client_lost",
  "idle",
  "age",
  "rate",
  "abuse",
  "control_flood",
  "too_big",
  "protocol_error",
  "backend_protocol_error",
  "client_dead",
  "slow_consumer",
  "replaced",
  "admin",
  "token_expired",
] as const;

interface RouteMatch {
  /** Lower case, no port; `*` stands for one label. */
  readonly host: string | null;
  /** Begins with `/`; `*` stands for any characters. */
  readonly path: string | null;
}

interface RouteMessagesConfig extends Rate {
  /** The route's own, else `limits.onExceed`. */
  readonly onExceed: OnExceed;
}

export interface NoticesConfig {
  /** Text message to a client whose message was dropped; `{{retryAfterMs}}` is filled in. */
  readonly limited: string | null;
  /** Text message to a client at a drain; `{{graceSeconds}}` is filled in. */
  readonly draining: string | null;
  /** Subprotocols whose connections get notices besides those without one; empty: only those without. */
  readonly subprotocols: readonly string[];
}

export interface RouteConfig {
  /** `${host ?? "*"}${path ?? "/*"}`, with `#2`, `#3` … for repetitions; names the route in logs and over reloads. */
  readonly id: string;
  readonly match: RouteMatch;
  readonly pool: string;
  /** Lower case origins with `*` for one label, or `self`; null allows any. */
  readonly origins: readonly string[] | null;
  readonly auth: "required" | "optional" | "off";
  readonly messages: RouteMessagesConfig | null;
  readonly notices: NoticesConfig | null;
  /** Plain HTTP requests per second of one user. */
  readonly requests: Rate | null;
  readonly http: "proxy" | "reject";
  readonly hostHeader: "preserve" | "backend";
  /** Begins with `/`, no trailing slash. */
  readonly stripPrefix: string | null;
  /** Names in lower case. */
  readonly headers: { readonly set: Readonly<Record<string, string>>; readonly remove: readonly string[] };
  readonly closeCodes: Readonly<Partial<Record<CloseReasonLabel, number | "none">>>;
  /** Canonical CIDRs; empty allows everyone. */
  readonly allow: readonly string[];
  /** Canonical CIDRs. */
  readonly deny: readonly string[];
}

/** These ends find no client to tell, or one that does not read. */
const UNTOLD = ["client_lost", "client_dead", "slow_consumer"] as const;

const closeCodes = z.partialRecord(z.enum(CLOSE_REASON_LABELS), closeCode).superRefine((codes, context) => {
  for (const label of UNTOLD) {
    if (codes[label] === undefined) continue;
    const message = "the client is gone or does not read then, and gets no code";
    context.addIssue({ code: "custom", path: [label], message, input: codes });
  }
});

const routeMessages = rateOr(
  z
    .strictObject({
      ...rateFields(),
      onExceed: z
        .enum(["delay", "drop", "close", "log"])
        .optional()
        .describe("What happens to a message above it. Left out: `limits.onExceed`."),
    })
    .transform(withBurst),
).transform((messages): Rate & { readonly onExceed?: OnExceed | undefined } => messages);

const match = z.strictObject({
  host: hostPattern
    .optional()
    .describe(
      'Host of the request, without port and a dot at its end, any case; * is one label, e.g. "*.example.com". Left out: any.',
    ),
  path: pathPattern()
    .optional()
    .describe("Path of the request, decoded; * is any characters, and /play/* is /play too. Left out: any."),
});

const notices = z.strictObject({
  limited: offOr(noticeText("retryAfterMs"))
    .prefault("off")
    .describe(
      "Text message to a client whose message was dropped, at most one a second; {{retryAfterMs}} is filled in.",
    ),
  draining: offOr(noticeText("graceSeconds"))
    .prefault("off")
    .describe("Text message to each client when Weir shuts down; {{graceSeconds}} is filled in."),
  subprotocols: z
    .array(text("subprotocol"))
    .prefault([])
    .describe("Subprotocols whose connections get notices too; connections without one always do."),
});

const headers = z.strictObject({
  set: z
    .record(editableHeader, headerValue)
    .prefault({})
    .describe("Headers that are set, by name, replacing what the client sent."),
  remove: z.array(editableHeader).prefault([]).describe("Headers that are taken out."),
});

const route = z.strictObject({
  match: match.prefault({}).describe("What the route takes; left out: everything."),
  pool: NAME.describe("Name of the pool that serves it."),
  origins: offOr(z.array(originPattern))
    .optional()
    .describe(
      'Origins that may open WebSockets, e.g. "https://example.com", "https://*.example.com" (* is one label), self (the request\'s own host). Left out: any. Requests without an Origin header pass.',
    ),
  auth: z
    .enum(["required", "optional", "off"])
    .optional()
    .describe(
      "Whether clients must show credentials: required and optional refuse a bad one, off looks at none. Left out: required with `identity.jwt` or `identity.forwardAuth`, else off.",
    ),
  messages: offOr(routeMessages)
    .prefault("off")
    .describe(
      "Messages per second of one user on this route, on top of the tier's own. Example: { rate: 20/s, burst: 40, onExceed: drop }.",
    ),
  notices: offOr(notices)
    .prefault("off")
    .describe(
      "Weir's own text messages to clients. Off for protocols that do not expect foreign text: it breaks graphql-ws, Socket.IO and SignalR clients.",
    ),
  requests: offOr(rateLimit())
    .prefault("off")
    .describe("Plain HTTP requests per second of one user. Example: { rate: 50/s, burst: 100 }."),
  http: z
    .enum(["proxy", "reject"])
    .prefault("proxy")
    .describe("Plain HTTP requests: pass them to the pool, or answer 426."),
  hostHeader: z
    .enum(["preserve", "backend"])
    .prefault("preserve")
    .describe(
      "Host header towards the backend: the client's, or the backend's own, for servers that pick a site by name.",
    ),
  stripPrefix: offOr(pathPrefix)
    .prefault("off")
    .describe("Prefix that is taken off the path on the way to the backend, e.g. /chat."),
  headers: headers.prefault({}).describe("Changes of the request's headers on the way to the backend."),
  closeCodes: closeCodes
    .prefault({})
    .describe(
      "Close codes that clients get instead of Weir's own, by reason, e.g. { backend_lost: 1012, token_expired: 4401, draining: none }; none cuts without a Close.",
    ),
  allow: blocks().prefault([]).describe("Only clients from these CIDRs are let in; empty lets everyone in."),
  deny: blocks().prefault([]).describe("Clients from these CIDRs are refused, even where `allow` has them."),
});

export type ParsedRoute = z.output<typeof route>;

/** Defaults that depend on other keys are filled in by resolve.ts. */
export const routesSchema = z
  .array(route)
  .min(1, { error: "is empty: leave it out, or name a route" })
  .describe(
    "Which request goes to which pool; the first match wins, and without one it is 404. Left out with exactly one pool: everything goes there.",
  );
