// How a backend is asked whether it is well: `pools.NAME.healthCheck`.

import { z } from "zod";
import { headerValue } from "./schema-route-values.ts";
import { duration, headerName, integer, isNot, parsed, text, urlPath } from "./schema-values.ts";
import { describeValue, UnitError } from "./units.ts";

/** Fields that do not belong to `type` hold their defaults. */
export interface HealthCheckConfig {
  readonly type: "tcp" | "http" | "websocket";
  /** Milliseconds. */
  readonly interval: number;
  /** Milliseconds. */
  readonly timeout: number;
  readonly healthyAfter: number;
  readonly unhealthyAfter: number;
  /** http and websocket. */
  readonly path: string;
  /** http; null: the backend's own. */
  readonly port: number | null;
  /** http and websocket; names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** http; statuses, both ends included. */
  readonly expect: readonly { readonly min: number; readonly max: number }[];
  /** websocket. */
  readonly subprotocols: readonly string[];
}

/** Keys that only some types understand. */
const KEYS_OF_TYPE = {
  path: ["http", "websocket"],
  headers: ["http", "websocket"],
  port: ["http"],
  expect: ["http"],
  subprotocols: ["websocket"],
} as const satisfies Record<string, readonly HealthCheckConfig["type"][]>;

const notStatuses = isNot("a status or a range like 200-399");

const statusText = parsed(parseStatusRanges, notStatuses, "statuses");

const statusRanges = z
  .union([z.int().transform(String).pipe(statusText), statusText], {
    error: ({ input }) => notStatuses(input),
  })
  .meta({ title: "statuses" });

const fields = z.strictObject({
  type: z
    .enum(["tcp", "http", "websocket", "off"])
    .prefault("tcp")
    .describe(
      "tcp: a connect (with wss: and the TLS handshake); http: a GET request, redirects not followed; websocket: a whole opening handshake with ping and pong.",
    ),
  interval: duration({ min: "100ms" })
    .prefault("5s")
    .describe(
      "From the beginning of one check to that of the next, at most: up to a tenth less, so that checks do not come in lockstep.",
    ),
  timeout: duration().prefault("2s").describe("A check that takes longer has failed."),
  healthyAfter: integer(1, 1000)
    .prefault(2)
    .describe("Checks in a row that must pass before a backend that was down is up."),
  unhealthyAfter: integer(1, 1000).prefault(3).describe("Checks in a row that must fail before it is down."),
  path: urlPath()
    .optional()
    .describe(
      "http and websocket: path of the request, below the path of the backend's URL (with `port`: as it is). Left out: /.",
    ),
  headers: z
    .record(headerName(), headerValue)
    .optional()
    .describe(
      "http and websocket: further headers of the request; also in place of its own Host and User-Agent (weir-health-check/VERSION).",
    ),
  port: integer(1, 65_535)
    .optional()
    .describe("http: another port than the backend's own, with TLS as the backend has it."),
  expect: statusRanges
    .optional()
    .describe('http: statuses that pass, e.g. 200 or "200-299, 401". Left out: 200-399.'),
  subprotocols: z
    .array(text("subprotocol"))
    .optional()
    .describe("websocket: subprotocols to offer; the backend must take one of them."),
});

/** Null where `type` is off. */
export const healthCheck = z
  .union(
    [
      z
        .enum(["tcp", "http", "websocket"])
        .transform((type): z.input<typeof fields> => ({ type }))
        .pipe(fields),
      fields,
    ],
    {
      error: ({ input }) =>
        `${describeValue(input)} is not a health check: write tcp, http, websocket or a mapping with type`,
    },
  )
  .transform((check, context): HealthCheckConfig | null => {
    const { type } = check;
    if (type === "off") return null;
    for (const [key, types] of Object.entries(KEYS_OF_TYPE)) {
      if (Object.hasOwn(check, key) && !types.some((one) => one === type)) {
        const message = `belongs to type ${types.join(" and ")} only, not to ${type}`;
        context.addIssue({ code: "custom", message, path: [key], input: check });
      }
    }
    return {
      ...check,
      type,
      path: check.path ?? "/",
      headers: check.headers ?? {},
      port: check.port ?? null,
      expect: check.expect ?? [{ min: 200, max: 399 }],
      subprotocols: check.subprotocols ?? [],
    };
  });

function parseStatusRanges(text: string): HealthCheckConfig["expect"] {
  return text.split(",").map((part) => {
    const [, first, last = first] = /^\s*([1-5]\d\d)\s*(?:-\s*([1-5]\d\d)\s*)?$/.exec(part) ?? [];
    const [min, max] = [Number(first), Number(last)];
    if (!(min <= max)) throw new UnitError(notStatuses(text));
    return { min, max };
  });
}
