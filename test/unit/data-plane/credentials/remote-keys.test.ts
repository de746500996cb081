// When the keys of a JWKS URL are fetched, how long they serve, and what a token that fits none of them costs.
import { beforeEach, describe, expect, test } from "vitest";

import type { JwtConfig } from "../../../../src/config/schema-identity.ts";
import { RemoteKeys } from "../../../../src/data-plane/credentials/remote-keys.ts";
import { TokenVerifier } from "../../../../src/data-plane/credentials/token-verifier.ts";
import { Refusal } from "../../../../src/errors.ts";
import { DEFAULT_SECRET, ecKeys, edKeys, jwkOf, rsaKeys, signToken } from "../../../support/tokens.ts";

const MINUTE_MS = 60_000;
const config: JwtConfig = {
  from: [],
  secret: null,
  publicKey: null,
  jwksUrl: "https://issuer/jwks",
  algorithms: null,
  issuer: null,
  audience: null,
  leeway: 0,
  closeOnExpiry: false,
};

const old = rsaKeys();
const young = ecKeys();
const published = { keys: [jwkOf(old, { kid: "old", use: "sig" })] };
const rotated = { keys: [...published.keys, jwkOf(young, { kid: "young" })] };
const oldToken = signToken(
  { sub: "ann" },
  { algorithm: "RS256", key: old.privateKey, header: { kid: "old" } },
);
const youngToken = signToken(
  { sub: "ann" },
  { algorithm: "ES256", key: young.privateKey, header: { kid: "young" } },
);

const UNAVAILABLE = "auth_unavailable: the keys that tokens are verified with cannot be had";
const UNKNOWN = "unauthorized: the token is signed with an unknown key";

let nowMs: number;
let fetches: number;
/** What the URL answers; an error where it does not. */
let answer: unknown;
let health: (string | null)[];
let verifier: TokenVerifier;

beforeEach(() => {
  nowMs = 0;
  fetches = 0;
  answer = published;
  health = [];
  const keys = new RemoteKeys({
    fetch: async () => {
      fetches += 1;
      await new Promise((resolve) => setImmediate(resolve));
      if (answer instanceof Error) throw answer;
      return typeof answer === "string" ? answer : JSON.stringify(answer);
    },
    now: () => nowMs,
    onHealth: (failure) => health.push(failure?.message ?? null),
  });
  verifier = new TokenVerifier(config, keys);
});

async function outcome(token: string): Promise<unknown> {
  try {
    return (await verifier.verify(token)).claims["sub"];
  } catch (error) {
    if (error instanceof Refusal) return `${error.code}: ${error.reason}`;
    throw error;
  }
}

/** Until the fetch that a verification has begun beside itself is over. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

test("keys are fetched once, by whoever needs them first, and then kept", async () => {
  expect(await Promise.all(Array.from({ length: 50 }, () => outcome(oldToken)))).toEqual(
    Array(50).fill("ann"),
  );
  nowMs += 9 * MINUTE_MS;
  expect(await outcome(oldToken)).toBe("ann");
  expect(fetches).toBe(1);
});

describe("rotation", () => {
  test("a token with a new key has the keys fetched again, and is waited for", async () => {
    expect(await outcome(oldToken)).toBe("ann");
    answer = rotated;
    nowMs += MINUTE_MS;
    expect(await outcome(youngToken)).toBe("ann");
    expect(await outcome(oldToken)).toBe("ann");
    expect(fetches).toBe(2);
  });

  test("is seen in the moment after the first fetch, and so is one right after it", async () => {
    expect(await outcome(oldToken)).toBe("ann");
    answer = rotated;
    expect(await outcome(youngToken)).toBe("ann");
    const youngest = ecKeys();
    answer = { keys: [jwkOf(youngest, { kid: "youngest" })] };
    const token = signToken(
      { sub: "ann" },
      { algorithm: "ES256", key: youngest.privateKey, header: { kid: "youngest" } },
    );
    expect(await outcome(token)).toBe("ann");
    expect(await outcome(oldToken)).toBe(UNKNOWN);
  });

  test("a token with an unknown key that has the first keys fetched has them fetched once", async () => {
    expect(await outcome(youngToken)).toBe(UNKNOWN);
    expect(fetches).toBe(1);
  });

  test("tokens with invented keys have them fetched five times, then once in half a minute at most", async () => {
    expect(await outcome(oldToken)).toBe("ann");
    const fetchesAt: number[] = [];
    for (let second = 1; second <= 120; second += 1) {
      const before = fetches;
      nowMs += 1_000;
      const token = signToken(
        {},
        { algorithm: "RS256", key: old.privateKey, header: { kid: `made up ${second}` } },
      );
      expect(await outcome(token)).toBe(UNKNOWN);
      if (fetches > before) fetchesAt.push(second);
    }
    expect(fetchesAt).toEqual([1, 2, 3, 4, 5, 31, 61, 91]);
  });

  test("a key that was taken away serves no longer than until the next fetch", async () => {
    expect(await outcome(oldToken)).toBe("ann");
    answer = { keys: [jwkOf(young, { kid: "young" })] };
    nowMs += 11 * MINUTE_MS;
    expect(await outcome(oldToken)).toBe("ann");
    await settled();
    expect(fetches).toBe(2);
    expect(await outcome(oldToken)).toBe(UNKNOWN);
  });
});

describe("a URL that does not answer", () => {
  test("refuses tokens as unavailable, and is asked again after a second", async () => {
    answer = new Error("ECONNREFUSED");
    expect(await outcome(oldToken)).toBe(UNAVAILABLE);
    expect(await outcome(oldToken)).toBe(UNAVAILABLE);
    expect(fetches).toBe(1);
    answer = published;
    nowMs += 1_000;
    expect(await outcome(oldToken)).toBe("ann");
    expect(health).toEqual(["ECONNREFUSED", null]);
  });

  test("is asked once a second for keys that are not there, and for one more as soon as it answers", async () => {
    expect(await outcome(oldToken)).toBe("ann");
    answer = new Error("down");
    for (let time = 0; time < 50; time += 1) {
      nowMs += 100;
      expect(await outcome(youngToken)).toBe(UNKNOWN);
    }
    // The first one, and five in five seconds.
    expect(fetches).toBe(6);
    answer = rotated;
    nowMs += 1_000;
    expect(await outcome(youngToken)).toBe("ann");
  });

  test("leaves the keys that are there in use for an hour, and not longer", async () => {
    expect(await outcome(oldToken)).toBe("ann");
    answer = new Error("down");
    for (let minute = 1; minute < 60; minute += 1) {
      nowMs += MINUTE_MS;
      expect(await outcome(oldToken)).toBe("ann");
      await settled();
    }
    nowMs += MINUTE_MS;
    expect(await outcome(oldToken)).toBe(UNAVAILABLE);
    expect(health).toEqual(["down"]);
  });

  test.each([
    ["no JSON", "<html>"],
    ["JSON that is no key set", "[]"],
    ["keys that are no list", { keys: {} }],
    ["keys that are text", { keys: ["a"] }],
  ])("is one that answers %s", async (_, wrong) => {
    answer = wrong;
    expect(await outcome(oldToken)).toBe(UNAVAILABLE);
    expect(health).toHaveLength(1);
    expect(health.join()).not.toContain("html");
  });
});

describe("a set of keys", () => {
  test("is tried through where a token names none of them", async () => {
    const others = [rsaKeys(), rsaKeys(), old];
    answer = { keys: others.map((keys) => jwkOf(keys)) };
    const sign = (key = old) => signToken({ sub: "ann" }, { algorithm: "RS256", key: key.privateKey });
    expect(await outcome(sign())).toBe("ann");
    expect(await outcome(sign(rsaKeys()))).toBe("unauthorized: the signature of the token is wrong");
  });

  test("never verifies an HS token: neither with a published key nor with a shared one in it", async () => {
    const k = Buffer.from(DEFAULT_SECRET).toString("base64url");
    answer = { keys: [...published.keys, { kty: "oct", k, kid: "shared", alg: "HS256" }] };
    const header = { kid: "shared" };
    const NOT_ALLOWED = "unauthorized: the algorithm of the token is not allowed";
    expect(await outcome(signToken({ sub: "ann" }, { header }))).toBe(NOT_ALLOWED);
    expect(await outcome(signToken({ sub: "ann" }, { key: old.publicPem, header: { kid: "old" } }))).toBe(
      NOT_ALLOWED,
    );
  });

  test("passes over keys that are for something else", async () => {
    answer = { keys: [jwkOf(old, { kid: "old", use: "enc" })] };
    expect(await outcome(oldToken)).toBe(UNKNOWN);
    answer = { keys: [jwkOf(old, { kid: "old", alg: "PS256" })] };
    nowMs += MINUTE_MS;
    expect(await outcome(oldToken)).toBe(UNKNOWN);
  });

  test("that holds one broken key still has the others", async () => {
    const ed = edKeys();
    answer = { keys: [{ kty: "RSA", kid: "old", n: "!", e: "!" }, jwkOf(ed, { kid: "ed" })] };
    const token = signToken(
      { sub: "ann" },
      { algorithm: "EdDSA", key: ed.privateKey, header: { kid: "ed" } },
    );
    expect(await outcome(token)).toBe("ann");
    expect(await outcome(oldToken)).toBe("auth_unavailable: the key of the token cannot be used");
  });
});
