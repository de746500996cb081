// Keys and tokens for tests, made without the library that Weir verifies them with: its mistakes must not
// cancel out.
import { createHmac, generateKeyPairSync, type KeyObject, sign as signBytes } from "node:crypto";

export type Claims = Readonly<Record<string, unknown>>;

/** RFC 7518's names. */
type Algorithm =
  | "HS256"
  | "HS384"
  | "HS512"
  | "RS256"
  | "RS384"
  | "RS512"
  | "PS256"
  | "PS384"
  | "PS512"
  | "ES256"
  | "ES384"
  | "ES512"
  | "EdDSA"
  | "Ed25519";

export interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** PEM. */
  readonly publicPem: string;
}

export const DEFAULT_SECRET = "a secret of at least thirty-two bytes";

const rsaPadding = { padding: 1 } as const;
const pssPadding = { padding: 6, saltLength: -1 } as const;

export function rsaKeys(modulusLength = 2048): KeyPair {
  return withPem(generateKeyPairSync("rsa", { modulusLength }));
}

export function ecKeys(namedCurve: "P-256" | "P-384" | "P-521" | "secp256k1" = "P-256"): KeyPair {
  return withPem(generateKeyPairSync("ec", { namedCurve }));
}

export function edKeys(): KeyPair {
  return withPem(generateKeyPairSync("ed25519"));
}

function withPem(pair: { readonly privateKey: KeyObject; readonly publicKey: KeyObject }): KeyPair {
  return { ...pair, publicPem: pair.publicKey.export({ type: "spki", format: "pem" }) };
}

/** As a JWKS has it. */
export function jwkOf({ publicKey }: KeyPair, more: Claims = {}): Claims {
  return { ...publicKey.export({ format: "jwk" }), ...more };
}

interface TokenOptions {
  readonly algorithm?: Algorithm;
  readonly key?: KeyObject | string | Buffer;
  /** Further header parameters, or other values of the usual ones. */
  readonly header?: Claims;
}

/** A signed token; with the default secret unless said otherwise. */
export function signToken(claims: Claims, options: TokenOptions = {}): string {
  const { algorithm = "HS256", key = DEFAULT_SECRET, header = {} } = options;
  const input = unsigned(claims, { alg: algorithm, typ: "JWT", ...header });
  return `${input}.${signature(input, algorithm, key).toString("base64url")}`;
}

/** Header and claims without a signature. */
export function unsigned(claims: Claims, header: Claims): string {
  return [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
}

/** Seconds since the epoch, so many from now. */
export function inSeconds(seconds: number): number {
  return Math.floor(Date.now() / 1_000) + seconds;
}

function signature(input: string, algorithm: Algorithm, key: KeyObject | string | Buffer): Buffer {
  const hash = `sha${algorithm.slice(2)}`;
  const bytes = Buffer.from(input);
  if (algorithm.startsWith("HS")) return createHmac(hash, key).update(bytes).digest();
  const privateKey = key as KeyObject;
  if (algorithm.startsWith("Ed")) return signBytes(null, bytes, privateKey);
  if (algorithm.startsWith("ES"))
    return signBytes(hash, bytes, { key: privateKey, dsaEncoding: "ieee-p1363" });
  return signBytes(hash, bytes, {
    key: privateKey,
    ...(algorithm.startsWith("PS") ? pssPadding : rsaPadding),
  });
}
