// Decides whether a token is to be believed: by its signature, its times, and whom it is from and for. Holds
// one configuration's key; what the claims mean is for others.

import type { errors, JWTPayload, JWTVerifyOptions } from "jose";
import { readFileSync } from "node:fs";
import type { JwtConfig } from "../../config/schema-identity.ts";
import type { ReadFile } from "../../config/tls-files.ts";
import {
  allowedOf,
  PUBLIC_KEY_ALGORITHMS,
  publicKey,
  sharedKey,
  type VerificationKey,
} from "../../config/verification-key.ts";
import { Refusal } from "../../errors.ts";
import { loadJose } from "./jose.ts";
import type { RemoteKeys } from "./remote-keys.ts";

export interface VerifiedToken {
  readonly claims: Readonly<Record<string, unknown>>;
  /** Milliseconds since the epoch, by its `exp`; null for a token without one. */
  readonly expiresAtMs: number | null;
}

type Jose = typeof import("jose");
type JoseError = InstanceType<typeof errors.JOSEError>;

/**
 * Keys of a set that are tried, of those that fit a token's algorithm, where it does not say which it was signed
 * with: a bad token costs as many verifications.
 */
const MAX_KEYS_TRIED = 32;

export class TokenVerifier {
  readonly #key: VerificationKey["key"] | RemoteKeys;
  readonly #options: JWTVerifyOptions;

  /**
   * Throws where the key cannot be read or used.
   *
   * @param remoteKeys those of `jwksUrl`; null where the key is another one
   * @param readFile the file system unless given
   */
  constructor(config: JwtConfig, remoteKeys: RemoteKeys | null, readFile: ReadFile = readFileSync) {
    const { key, algorithms: fitting } =
      remoteKeys === null
        ? localKey(config, readFile)
        : { key: remoteKeys, algorithms: PUBLIC_KEY_ALGORITHMS };
    const algorithms = allowedOf(fitting, config.algorithms);
    if (algorithms.length === 0) throw new Error("identity.jwt.algorithms has none that fits the key");
    this.#key = key;
    // The first client need not wait for it.
    void loadJose();
    this.#options = {
      algorithms,
      clockTolerance: config.leeway / 1_000,
      ...(config.issuer === null ? {} : { issuer: config.issuer }),
      ...(config.audience === null ? {} : { audience: config.audience }),
    };
  }

  /** Its key is here: to verify a token, nobody has to be asked. */
  get isSelfContained(): boolean {
    return !isRemote(this.#key);
  }

  /** Throws Refusal: `unauthorized`, or `auth_unavailable` where there is no key to be had. */
  async verify(token: string): Promise<VerifiedToken> {
    if (!token.split(".").every(isBase64Url)) throw badCredential("the token is malformed");
    const library = await loadJose();
    try {
      const claims = await this.#claimsOf(token, library);
      return { claims, expiresAtMs: claims.exp === undefined ? null : claims.exp * 1_000 };
    } catch (error) {
      if (error instanceof library.errors.JOSEError) throw badCredential(reasonFor(error), error);
      // A local key was looked at before it came here; of a set, others may have made one that is of no use.
      if (error instanceof Refusal || !isRemote(this.#key)) throw error;
      throw new Refusal("auth_unavailable", { reason: "the key of the token cannot be used", cause: error });
    }
  }

  async #claimsOf(token: string, { jwtVerify, errors }: Jose): Promise<JWTPayload> {
    const key = this.#key;
    if (!isRemote(key)) return (await jwtVerify(token, key, this.#options)).payload;
    try {
      return (await jwtVerify(token, key.keyFor, this.#options)).payload;
    } catch (error) {
      if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
      let tried = 0;
      for await (const candidate of error) {
        if (tried++ === MAX_KEYS_TRIED) break;
        try {
          return (await jwtVerify(token, candidate, this.#options)).payload;
        } catch (failure) {
          const isOfOtherKey = failure instanceof errors.JWSSignatureVerificationFailed;
          if (failure instanceof errors.JOSEError && !isOfOtherKey) throw failure;
        }
      }
      throw new errors.JWSSignatureVerificationFailed();
    }
  }
}

/** The one way to write those bytes (RFC 7515 §2, RFC 4648 §3.5): jose lets white space and stray last bits pass. */
function isBase64Url(part: string): boolean {
  return Buffer.from(part, "base64url").toString("base64url") === part;
}

function isRemote(key: VerificationKey["key"] | RemoteKeys): key is RemoteKeys {
  return "keyFor" in key;
}

/** RFC 6750 §3.1: who has shown a credential hears that it is bad; who has shown none, only what is asked for. */
export function badCredential(message: string, cause?: unknown): Refusal {
  return new Refusal("unauthorized", { message, cause, challenge: 'Bearer error="invalid_token"' });
}

function localKey({ secret, publicKey: file }: JwtConfig, readFile: ReadFile): VerificationKey {
  if (secret !== null) return sharedKey(secret);
  if (file === null) throw new Error("identity.jwt names no key");
  try {
    return publicKey(readFile(file).toString("utf8"));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`identity.jwt.publicKey: ${file}: ${reason}`, { cause });
  }
}

/** What a client may know: nothing of the key, and nothing of the token's contents. */
const REASONS: Readonly<Record<string, string>> = {
  ERR_JWT_EXPIRED: "the token has expired",
  ERR_JOSE_ALG_NOT_ALLOWED: "the algorithm of the token is not allowed",
  ERR_JOSE_NOT_SUPPORTED: "the algorithm of the token is not allowed",
  ERR_JWS_SIGNATURE_VERIFICATION_FAILED: "the signature of the token is wrong",
  ERR_JWKS_NO_MATCHING_KEY: "the token is signed with an unknown key",
};

function reasonFor(error: JoseError & { readonly claim?: string; readonly reason?: string }): string {
  if (error.code === "ERR_JWT_CLAIM_VALIDATION_FAILED") return claimReason(error.claim, error.reason);
  return REASONS[error.code] ?? "the token is malformed";
}

function claimReason(claim: string | undefined, reason: string | undefined): string {
  if (claim === "nbf" && reason === "check_failed") return "the token is not valid yet";
  if (claim === "iss") return "the token is from another issuer";
  if (claim === "aud") return "the token is for another audience";
  return "the token has a claim that is malformed";
}
