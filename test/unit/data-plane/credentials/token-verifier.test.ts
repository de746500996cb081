// Which tokens are believed: every algorithm with every kind of key, the attacks on that choice, times, whom a
// token is from and for, and garbage.
import { writeFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";

import type { JwtConfig } from "../../../../src/config/schema-identity.ts";
import { RemoteKeys } from "../../../../src/data-plane/credentials/remote-keys.ts";
import { TokenVerifier } from "../../../../src/data-plane/credentials/token-verifier.ts";
import { Refusal } from "../../../../src/errors.ts";
import {
  type Claims,
  DEFAULT_SECRET,
  ecKeys,
  edKeys,
  inSeconds,
  jwkOf,
  type KeyPair,
  rsaKeys,
  signToken,
  unsigned,
} from "../../../support/tokens.ts";

const folder = mkdtempSync(join(tmpdir(), "weir-tokens-"));
afterAll(() => rmSync(folder, { recursive: true }));

const base: JwtConfig = {
  from: [{ kind: "bearer", name: "" }],
  secret: null,
  publicKey: null,
  jwksUrl: null,
  algorithms: null,
  issuer: null,
  audience: null,
  leeway: 0,
  closeOnExpiry: false,
};

function bySecret(config: Partial<JwtConfig> = {}): TokenVerifier {
  return new TokenVerifier({ ...base, secret: DEFAULT_SECRET, ...config }, null);
}

let files = 0;
function byPem(pem: string, config: Partial<JwtConfig> = {}): TokenVerifier {
  const publicKey = join(folder, `${files++}.pem`);
  writeFileSync(publicKey, pem);
  return new TokenVerifier({ ...base, publicKey, ...config }, null);
}

/** What a token comes to: its subject, or why it is refused. */
async function outcome(verifier: TokenVerifier, token: string): Promise<unknown> {
  try {
    return (await verifier.verify(token)).claims["sub"];
  } catch (error) {
    if (!(error instanceof Refusal) || error.code !== "unauthorized") throw error;
    if (error.challenge !== 'Bearer error="invalid_token"') throw error;
    return error.message;
  }
}

const ann = { sub: "ann" };
const rsa = rsaKeys();
const p256 = ecKeys("P-256");
const p384 = ecKeys("P-384");
const p521 = ecKeys("P-521");
const ed = edKeys();

const NOT_ALLOWED = "the algorithm of the token is not allowed";
const WRONG = "the signature of the token is wrong";
const MALFORMED = "the token is malformed";

describe("each algorithm", () => {
  test.each(["HS256", "HS384", "HS512"] as const)("%s is verified with the secret", async (algorithm) => {
    expect(await outcome(bySecret(), signToken(ann, { algorithm }))).toBe("ann");
    expect(await outcome(bySecret(), signToken(ann, { algorithm, key: "another" }))).toBe(WRONG);
  });

  test.each([
    ...(["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] as const).map((one) => [one, rsa] as const),
    ["ES256", p256],
    ["ES384", p384],
    ["ES512", p521],
    ["EdDSA", ed],
    ["Ed25519", ed],
  ] as const)("%s is verified with its public key", async (algorithm, keys) => {
    const token = signToken(ann, { algorithm, key: keys.privateKey });
    expect(await outcome(byPem(keys.publicPem), token)).toBe("ann");
    const [header, claims, signature = ""] = token.split(".");
    const flipped = Buffer.from(signature, "base64url");
    flipped[9] = (flipped[9] ?? 0) ^ 1;
    expect(await outcome(byPem(keys.publicPem), `${header}.${claims}.${flipped.toString("base64url")}`)).toBe(
      WRONG,
    );
    expect(
      await outcome(
        byPem(keys.publicPem),
        `${header}.${unsigned({ sub: "eve" }, {}).split(".")[1]}.${signature}`,
      ),
    ).toBe(WRONG);
  });
});

describe("a key allows the algorithms of its kind only", () => {
  const pem = rsa.publicPem;
  const publicKeys: [string, KeyPair][] = [
    ["RSA", rsa],
    ["EC", p256],
    ["Ed25519", ed],
  ];
  test.each(publicKeys)("an HS token signed with the published %s key is refused", async (_, keys) => {
    const der = keys.publicKey.export({ type: "spki", format: "der" });
    for (const key of [keys.publicPem, keys.publicPem.trim(), der]) {
      for (const algorithm of ["HS256", "HS384", "HS512"] as const) {
        expect(await outcome(byPem(keys.publicPem), signToken(ann, { algorithm, key }))).toBe(NOT_ALLOWED);
      }
    }
  });

  test.each(["none", "None", "NONE", "", "HS1", "dir", "A256GCM"])("alg %j is refused", async (alg) => {
    const bare = `${unsigned(ann, { alg })}.`;
    for (const verifier of [bySecret(), byPem(pem)]) {
      expect([NOT_ALLOWED, MALFORMED]).toContain(await outcome(verifier, bare));
      expect([NOT_ALLOWED, MALFORMED]).toContain(
        await outcome(verifier, signToken(ann, { header: { alg } })),
      );
    }
  });

  test("a token of another kind of key is refused", async () => {
    const tokens = [
      signToken(ann, { algorithm: "RS256", key: rsa.privateKey }),
      signToken(ann, { algorithm: "ES256", key: p256.privateKey }),
      signToken(ann, { algorithm: "ES384", key: p384.privateKey }),
      signToken(ann, { algorithm: "EdDSA", key: ed.privateKey }),
    ];
    const verifiers = [byPem(pem), byPem(p256.publicPem), byPem(p384.publicPem), byPem(ed.publicPem)];
    for (const [own, verifier] of verifiers.entries()) {
      const outcomes = await Promise.all(tokens.map((token) => outcome(verifier, token)));
      expect(outcomes).toEqual(tokens.map((_, i) => (i === own ? "ann" : NOT_ALLOWED)));
    }
    for (const token of tokens) expect(await outcome(bySecret(), token)).toBe(NOT_ALLOWED);
  });

  test("a key or a URL of one in the token's own header is not used", async () => {
    const eve = rsaKeys();
    const jwk = eve.publicKey.export({ format: "jwk" });
    for (const header of [
      { jwk },
      { jku: "http://127.0.0.1:9/jwks" },
      { x5u: "http://127.0.0.1:9/" },
      { kid: "/dev/null" },
    ]) {
      const token = signToken(ann, { algorithm: "RS256", key: eve.privateKey, header });
      expect(await outcome(byPem(pem), token)).toBe(WRONG);
    }
  });

  test("a header that is critical and unknown is refused", async () => {
    const header = { crit: ["exp2"], exp2: 1 };
    expect(await outcome(bySecret(), signToken(ann, { header }))).toBe(NOT_ALLOWED);
    expect([MALFORMED, NOT_ALLOWED]).toContain(
      await outcome(bySecret(), signToken(ann, { header: { b64: false, crit: ["b64"] } })),
    );
  });

  test("`algorithms` narrows them further", async () => {
    const narrow = byPem(pem, { algorithms: ["PS256"] });
    expect(await outcome(narrow, signToken(ann, { algorithm: "PS256", key: rsa.privateKey }))).toBe("ann");
    expect(await outcome(narrow, signToken(ann, { algorithm: "RS256", key: rsa.privateKey }))).toBe(
      NOT_ALLOWED,
    );
    const edOnly = byPem(ed.publicPem, { algorithms: ["EdDSA"] });
    expect(await outcome(edOnly, signToken(ann, { algorithm: "Ed25519", key: ed.privateKey }))).toBe("ann");
  });

  test("where `algorithms` leaves none there is no verifier", () => {
    expect(() => byPem(p256.publicPem, { algorithms: ["RS256", "HS256"] })).toThrow(/none that fits the key/);
    expect(() => bySecret({ algorithms: ["RS256"] })).toThrow(/none that fits the key/);
  });

  test("nor where the file is missing or holds no key", () => {
    expect(() => byPem("no key")).toThrow(/publicKey: .*\.pem: holds no public key/);
    const missing = { ...base, publicKey: join(folder, "missing.pem") };
    expect(() => new TokenVerifier(missing, null)).toThrow(/publicKey: .*missing\.pem: ENOENT/);
  });
});

describe("a set of keys without names", () => {
  test("is tried through, as far as 32 of a kind: the last of them counts, one more does not", async () => {
    const pairs = Array.from({ length: 33 }, () => ecKeys());
    // Another kind of key is not tried, and does not count.
    const keys = [jwkOf(rsa), ...pairs.map((pair) => jwkOf(pair))];
    const fetch = () => Promise.resolve(JSON.stringify({ keys }));
    const remote = new RemoteKeys({ fetch, now: () => 0, onHealth: () => {} });
    const verifier = new TokenVerifier({ ...base, jwksUrl: "http://keys" }, remote);
    const outcomes = pairs.map(({ privateKey }) =>
      outcome(verifier, signToken(ann, { algorithm: "ES256", key: privateKey })),
    );
    expect(await Promise.all(outcomes)).toEqual([...Array.from({ length: 32 }, () => "ann"), WRONG]);
  });
});

describe("times", () => {
  const rows: [what: string, claims: Claims, leeway: number, expected: string][] = [
    ["no end", {}, 0, "ann"],
    ["an end to come", { exp: inSeconds(3_600) }, 0, "ann"],
    ["an end in fractions", { exp: inSeconds(3_600) + 0.5 }, 0, "ann"],
    ["an end that was", { exp: inSeconds(-1) }, 0, "the token has expired"],
    ["an end long ago", { exp: 1 }, 0, "the token has expired"],
    ["an end within the leeway", { exp: inSeconds(-30) }, 60_000, "ann"],
    ["an end before the leeway", { exp: inSeconds(-90) }, 60_000, "the token has expired"],
    ["a beginning that was", { nbf: inSeconds(-1) }, 0, "ann"],
    ["a beginning to come", { nbf: inSeconds(600) }, 0, "the token is not valid yet"],
    ["a beginning within the leeway", { nbf: inSeconds(30) }, 60_000, "ann"],
    ["an end that is text", { exp: "never" }, 0, "the token has a claim that is malformed"],
    ["an end that is null", { exp: null }, 0, "the token has a claim that is malformed"],
    ["a beginning that is a list", { nbf: [0] }, 0, "the token has a claim that is malformed"],
  ];
  test.each(rows)("%s", async (_, claims, leeway, expected) => {
    expect(await outcome(bySecret({ leeway }), signToken({ ...ann, ...claims }))).toBe(expected);
  });

  test("the end is told in milliseconds, where there is one", async () => {
    const exp = inSeconds(60);
    expect(await bySecret().verify(signToken({ ...ann, exp }))).toMatchObject({ expiresAtMs: exp * 1_000 });
    expect(await bySecret().verify(signToken(ann))).toMatchObject({ expiresAtMs: null });
  });
});

describe("issuer and audience", () => {
  const config = { issuer: "https://issuer", audience: "chat" };
  const right = { ...ann, iss: "https://issuer", aud: "chat" };
  const rows: [what: string, claims: Claims, expected: string][] = [
    ["both right", right, "ann"],
    ["one audience of several", { ...right, aud: ["mail", "chat"] }, "ann"],
    ["no issuer", { ...right, iss: undefined }, "the token is from another issuer"],
    ["another issuer", { ...right, iss: "https://issuer/" }, "the token is from another issuer"],
    ["a list of issuers", { ...right, iss: ["https://issuer"] }, "the token is from another issuer"],
    ["no audience", { ...right, aud: undefined }, "the token is for another audience"],
    ["another audience", { ...right, aud: "chat2" }, "the token is for another audience"],
    ["an audience that is a mapping", { ...right, aud: { chat: 1 } }, "the token is for another audience"],
  ];
  test.each(rows)("%s", async (_, claims, expected) => {
    expect(await outcome(bySecret(config), signToken(claims))).toBe(expected);
  });
});

describe("garbage", () => {
  test.each([
    "",
    ".",
    "..",
    "a.b.c",
    "a.b",
    "a.b.c.d",
    "a.b.c.d.e",
    "null",
    "{}",
    "%00",
    "é.é.é",
    "x".repeat(10_000),
  ])("%j is malformed", async (token) => expect(await outcome(bySecret(), token)).toBe(MALFORMED));

  test.each([
    ["a list for claims", unsigned([] as never, { alg: "HS256" })],
    [
      "text for claims",
      `${unsigned({}, { alg: "HS256" }).split(".")[0]}.${Buffer.from('"a"').toString("base64url")}`,
    ],
    ["a list for a header", unsigned(ann, [] as never)],
    ["no algorithm", unsigned(ann, {})],
    ["a number for one", unsigned(ann, { alg: 5 })],
    ["a mapping for one", unsigned(ann, { alg: { toString: "HS256" } })],
  ])("%s is refused", async (_, input) => {
    expect([MALFORMED, NOT_ALLOWED, WRONG]).toContain(await outcome(bySecret(), `${input}.AAAA`));
  });

  test("a signature is believed in one spelling only", async () => {
    const valid = signToken({ ...ann, exp: inSeconds(60) });
    const last = valid.at(-1) ?? "";
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // HS256: 256 bits in 43 letters, so that the last two bits of the last letter mean nothing.
    const sameBytes = alphabet[alphabet.indexOf(last) + 1] ?? "";
    expect(Buffer.from(`${valid.slice(0, -1)}${sameBytes}`.split(".")[2] ?? "", "base64url")).toEqual(
      Buffer.from(valid.split(".")[2] ?? "", "base64url"),
    );
    expect(await outcome(bySecret(), valid)).not.toBe(MALFORMED);
    const spellings = [`${valid.slice(0, -1)}${sameBytes}`, `${valid}=`, `${valid.slice(0, -1)}\t${last}`];
    for (const token of spellings) expect(await outcome(bySecret(), token)).toBe(MALFORMED);
  });

  test("whatever it is, it is refused as the client's fault", async () => {
    const verifiers = [bySecret(), byPem(rsa.publicPem), byPem(ed.publicPem)];
    const valid = signToken({ ...ann, exp: inSeconds(60) });
    const mutated = fc
      .tuple(fc.nat(valid.length), fc.nat(4), fc.string({ maxLength: 4, unit: "binary" }))
      .map(([at, cut, text]) => valid.slice(0, at) + text + valid.slice(at + cut));
    const header = fc.record(
      { alg: fc.constantFrom("HS256", "RS256", "EdDSA", "none", "ES512") },
      { requiredKeys: [] },
    );
    const made = fc
      .tuple(header, fc.dictionary(fc.string(), fc.jsonValue()), fc.base64String())
      .map(([head, claims, signature]) => `${unsigned(claims, head)}.${signature}`);
    await fc.assert(
      fc.asyncProperty(fc.oneof(mutated, made, fc.string({ unit: "binary" })), async (token) => {
        for (const verifier of verifiers) {
          if (token === valid) continue;
          const text = await outcome(verifier, token);
          expect(text).toMatch(/^the (?:token|signature|algorithm) /);
        }
      }),
      { numRuns: 500 },
    );
  });
});
