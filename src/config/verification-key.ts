// The keys that tokens are verified with, and which algorithms each kind of key allows. A public key is no
// secret: were it taken for that of an HS algorithm, anyone could sign with it. So the algorithms are derived
// from the key, and what a token says of its own algorithm only chooses among them.

import { createPublicKey, createSecretKey, type KeyObject } from "node:crypto";

export interface VerificationKey {
  readonly key: KeyObject;
  /** Those that fit the key, as tokens name them. */
  readonly algorithms: readonly string[];
}

/** What is wrong with a key, in words that read on after the name of its file. */
export class KeyError extends Error {}

const SHARED = ["HS256", "HS384", "HS512"];
const RSA = ["RS256", "RS384", "RS512"];
const RSA_PSS = ["PS256", "PS384", "PS512"];
/** By the name that Node has for the curve. */
const BY_CURVE: Readonly<Record<string, string>> = {
  prime256v1: "ES256",
  secp384r1: "ES384",
  secp521r1: "ES512",
};
/** RFC 9864 calls it by the curve, tokens of before by the family. */
const EDDSA = ["EdDSA", "Ed25519"];

/** Those of the keys that may be published, in a JWKS too. */
export const PUBLIC_KEY_ALGORITHMS: readonly string[] = [
  ...RSA,
  ...RSA_PSS,
  ...Object.values(BY_CURVE),
  ...EDDSA,
];

/** RFC 7518 §3.3 asks for it. */
const MIN_RSA_BITS = 2048;

export function sharedKey(secret: string): VerificationKey {
  return { key: createSecretKey(Buffer.from(secret)), algorithms: SHARED };
}

/** Takes a public key or a certificate in PEM. Throws KeyError. */
export function publicKey(pem: string): VerificationKey {
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem)) {
    throw new KeyError("holds a private key; Weir needs the public one, and nobody else the private one");
  }
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch (cause) {
    throw new KeyError("holds no public key in PEM format", { cause });
  }
  return { key, algorithms: algorithmsOf(key) };
}

/** Those that the configuration allows of those that fit; all of these where it does not say. */
export function allowedOf(fitting: readonly string[], configured: readonly string[] | null): string[] {
  if (configured === null) return [...fitting];
  const wanted = new Set(configured.flatMap((one) => (one === "EdDSA" ? EDDSA : [one])));
  return fitting.filter((one) => wanted.has(one));
}

function algorithmsOf({ asymmetricKeyType, asymmetricKeyDetails = {} }: KeyObject): readonly string[] {
  const { modulusLength = 0, namedCurve = "" } = asymmetricKeyDetails;
  if (asymmetricKeyType === "ed25519") return EDDSA;
  if (asymmetricKeyType === "ec") {
    const algorithm = BY_CURVE[namedCurve];
    if (algorithm === undefined) throw new KeyError(`is of the curve ${namedCurve}, which no algorithm uses`);
    return [algorithm];
  }
  if (asymmetricKeyType !== "rsa" && asymmetricKeyType !== "rsa-pss") {
    throw new KeyError(`is of the kind ${asymmetricKeyType}, which no algorithm uses`);
  }
  if (modulusLength < MIN_RSA_BITS) {
    throw new KeyError(`has ${modulusLength} bits, fewer than the ${MIN_RSA_BITS} that RSA needs`);
  }
  return asymmetricKeyType === "rsa" ? [...RSA, ...RSA_PSS] : RSA_PSS;
}
