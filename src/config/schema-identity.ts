// Who a client is: the `identity` section, sources of user and tier, credentials.

import { z } from "zod";
import { duration, filePath, headerName, httpUrl, offOr, onOff, text } from "./schema-values.ts";
import { describeValue } from "./units.ts";

/** One place to look for the user or the tier; the first that yields a value wins. */
export interface IdentitySource {
  readonly kind: "jwt" | "header" | "certificate" | "cookie" | "query" | "ip";
  /** Claim, header (lower case), certificate field, cookie or query parameter; empty for `ip`. */
  readonly name: string;
}

/** One place to look for the token. */
export interface TokenSource {
  readonly kind: "bearer" | "query" | "cookie" | "subprotocol";
  /** Query parameter or cookie; empty for the others. */
  readonly name: string;
}

/** Exactly one of `secret`, `publicKey` and `jwksUrl` is set. */
export interface JwtConfig {
  readonly from: readonly TokenSource[];
  readonly secret: string | null;
  /** Absolute path of a PEM file. */
  readonly publicKey: string | null;
  readonly jwksUrl: string | null;
  /** Null: those that fit the kind of key. */
  readonly algorithms: readonly string[] | null;
  readonly issuer: string | null;
  readonly audience: string | null;
  /** Milliseconds of clock difference that `exp` and `nbf` forgive. */
  readonly leeway: number;
  readonly closeOnExpiry: boolean;
}

export interface ForwardAuthConfig {
  readonly url: string;
  /** Milliseconds. */
  readonly timeout: number;
  /** Lower case. */
  readonly copyHeaders: readonly string[];
  /** Lower case. */
  readonly userHeader: string | null;
  /** Lower case. */
  readonly tierHeader: string | null;
}

export interface IdentityConfig {
  readonly user: readonly IdentitySource[];
  readonly tier: readonly IdentitySource[];
  readonly jwt: JwtConfig | null;
  readonly forwardAuth: ForwardAuthConfig | null;
}

const unsigned = onOff()
  .optional()
  .describe(
    "Must be on for `cookie` and `query`: says that you know clients can forge the value, and with it what limits and bans hang on.",
  );

const CERTIFICATE_FIELDS = ["cn", "dns", "email", "uri", "fingerprint"] as const;

const sourceKeys = z.strictObject({
  jwt: text("claim").optional().describe("Claim of the verified token, e.g. sub."),
  header: headerName()
    .optional()
    .describe("Request header; believed only from `trustedProxies`, removed from others."),
  certificate: z
    .enum(CERTIFICATE_FIELDS, {
      error: ({ input }) =>
        `${describeValue(input)} is not a field of a certificate: write ${CERTIFICATE_FIELDS.join(", ")}`,
    })
    .optional()
    .describe(
      "Field of the client's verified certificate: cn (common name of its subject), dns, email or uri (the first such name of its subjectAltName), fingerprint (SHA-256 of all of it). Needs `clientCa` on the listener.",
    ),
  cookie: text("cookie name").optional().describe("Cookie. Clients can forge it: needs `unsigned: true`."),
  query: text("parameter")
    .optional()
    .describe("Query parameter. Clients can forge it: needs `unsigned: true`."),
  unsigned,
});

const KINDS = ["jwt", "header", "certificate", "cookie", "query"] as const;

const keyedSource = sourceKeys.transform((keys, context): IdentitySource => {
  const kinds = KINDS.filter((kind) => keys[kind] !== undefined);
  const [kind] = kinds;
  if (kind === undefined || kinds.length > 1) {
    context.addIssue({ code: "custom", message: `needs exactly one of ${KINDS.join(", ")}`, input: keys });
    return z.NEVER;
  }
  const isForgeable = kind === "cookie" || kind === "query";
  if (isForgeable && keys.unsigned !== true) {
    const message = `clients can forge a ${kind === "cookie" ? "cookie" : "query parameter"}: add unsigned: true if that is acceptable`;
    context.addIssue({ code: "custom", message, input: keys, path: [kind] });
    return z.NEVER;
  }
  if (!isForgeable && keys.unsigned !== undefined) {
    context.addIssue({
      code: "custom",
      message: "belongs to cookie and query only",
      path: ["unsigned"],
      input: keys,
    });
  }
  return { kind, name: keys[kind] ?? "" };
});

const ipSource = z.literal("ip").transform((): IdentitySource => ({ kind: "ip", name: "" }));

const userSources = z
  .array(
    z.union([ipSource, keyedSource], {
      error: ({ input }) =>
        `${describeValue(input)} is not a source: write ip or a mapping like { header: x-user-id }`,
    }),
  )
  .min(1, { error: "names no source, e.g. [ip]" });

const tierSources = z.array(keyedSource);

const tokenSource = z.union(
  [
    z.enum(["bearer", "subprotocol"]).transform((kind): TokenSource => ({ kind, name: "" })),
    z
      .strictObject({
        query: text("parameter").describe(
          "Query parameter that holds the token; removed on the way to the backend.",
        ),
      })
      .transform(({ query }): TokenSource => ({ kind: "query", name: query })),
    z
      .strictObject({ cookie: text("cookie name").describe("Cookie that holds the token.") })
      .transform(({ cookie }): TokenSource => ({ kind: "cookie", name: cookie })),
  ],
  {
    error: ({ input }) =>
      `${describeValue(input)} is not a place for a token: write bearer, subprotocol, { query: NAME } or { cookie: NAME }`,
  },
);

const ALGORITHMS = [
  "HS256",
  "HS384",
  "HS512",
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
] as const;

const jwt = z.strictObject({
  from: z
    .array(tokenSource)
    .min(1, { error: "names no place for the token, e.g. [bearer]" })
    .prefault(["bearer"])
    .describe(
      "Where the token may be: bearer (the Authorization header), { query: NAME }, { cookie: NAME }, subprotocol. Tokens in queries end up in logs of other machines.",
    ),
  secret: text("secret", 65_536)
    .optional()
    .describe(
      'Shared secret of the HS algorithms; keep it out of the file: "${JWT_SECRET}" or "${file:/run/secrets/jwt}".',
    ),
  publicKey: filePath()
    .optional()
    .describe("PEM file of the public key of the RS, PS, ES and EdDSA algorithms."),
  jwksUrl: httpUrl
    .optional()
    .describe("URL of a JWKS; keys are cached, and fetched again when an unknown one is used."),
  algorithms: z
    .array(z.enum(ALGORITHMS))
    .min(1, { error: "allows no algorithm" })
    .optional()
    .describe("Allowed algorithms. Left out: those that fit the kind of key; HS and the others never mix."),
  issuer: text("issuer").optional().describe("Required value of the iss claim. Left out: any."),
  audience: text("audience").optional().describe("Required value of the aud claim. Left out: any."),
  leeway: duration({}).prefault("0s").describe("Clock difference that exp and nbf forgive."),
  closeOnExpiry: onOff().prefault("off").describe("Close a connection with 3000 when its token expires."),
});

/** Of the client's own connection or handshake, or framing its body: the question has its own. */
const NOT_COPIED =
  /^(?:connection|content-length|expect|host|keep-alive|proxy-.*|sec-websocket-.*|te|trailer|transfer-encoding|upgrade)$/;

/** Weir's own in the question, also where a service cannot tell `_` or `.` from `-`: a client's line beside it could win. */
const SET_BY_WEIR =
  /^x[^a-z\d](?:forwarded[^a-z\d](?:for|proto|host|port|method|uri)|original[^a-z\d](?:method|uri)|request[^a-z\d]id)$/;

const copiedHeader = headerName()
  .refine((name) => !NOT_COPIED.test(name), {
    error: ({ input }) =>
      `${describeValue(input)} belongs to the client's own connection and cannot be copied`,
  })
  .refine((name) => !SET_BY_WEIR.test(name), {
    error: ({ input }) =>
      `${describeValue(input)} is sent by Weir itself, with what it knows of the request: a client's own cannot be copied`,
  });

const forwardAuth = z.strictObject({
  url: httpUrl.describe(
    "Service that is asked about each upgrade and plain request; 2xx lets it in, another status is the client's answer.",
  ),
  timeout: duration().prefault("2s").describe("How long the service may take; after that the answer is 503."),
  copyHeaders: z
    .array(copiedHeader)
    .prefault(["authorization", "cookie"])
    .describe("Request headers that the service is sent."),
  userHeader: offOr(headerName()).prefault("off").describe("Header of the answer that names the user."),
  tierHeader: offOr(headerName()).prefault("off").describe("Header of the answer that names the tier."),
});

/** Defaults that depend on other keys are filled in by resolve.ts. */
export const identitySchema = z
  .strictObject({
    user: userSources
      .optional()
      .describe(
        "Sources of the user, tried in order: { jwt: CLAIM }, { header: NAME }, { certificate: cn }, { cookie: NAME, unsigned: true }, { query: NAME, unsigned: true }, ip. Left out: [{ jwt: sub }, ip] with `jwt`, else [ip].",
      ),
    tier: tierSources
      .prefault([])
      .describe(
        "Sources of the tier, the same without ip. None, or a tier that does not exist: the default tier.",
      ),
    jwt: offOr(jwt)
      .prefault("off")
      .describe(
        "Tokens (JWT) that clients identify themselves with. Exactly one of `secret`, `publicKey` and `jwksUrl`.",
      ),
    forwardAuth: offOr(forwardAuth)
      .prefault("off")
      .describe(
        "Ask another service whether an upgrade or a plain request may in. Costs a request for each.",
      ),
  })
  .describe("Who a client is: what limits per user and affinity hang on.");

export type ParsedIdentity = z.output<typeof identitySchema>;
