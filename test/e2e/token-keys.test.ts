// The keys that tokens are verified with: a file that changes, a JWKS that is rotated or gone, and reloads that
// would leave Weir without one.
import { rename, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { once } from "node:events";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

import { onCleanup, temporaryFolder } from "../support/cleanup.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { ownHost } from "../support/own-host.ts";
import { openRaw, upgradeRequest } from "../support/raw-client.ts";
import { refusalOf } from "../support/refusal.ts";
import { spawnWeir } from "../support/spawn-weir.ts";
import { reloadInFrontOf, startInFrontOf } from "../support/start-in-front.ts";
import { ecKeys, edKeys, jwkOf, type KeyPair, rsaKeys, signToken } from "../support/tokens.ts";

function tokenOf({ privateKey }: KeyPair, algorithm: "EdDSA" | "RS256" | "ES256", kid?: string): string {
  return signToken(
    { sub: "ann" },
    { algorithm, key: privateKey, ...(kid === undefined ? {} : { header: { kid } }) },
  );
}

const showing = (token: string) => ({ lines: [`Authorization: Bearer ${token}`] });

/** 101, or the CODE of the refusal. */
async function outcome(url: string, token: string): Promise<string> {
  return openRaw(url, showing(token)).then(
    () => "101",
    (error: Error) => /"error":"(\w+)"/.exec(error.message)?.[1] ?? error.message,
  );
}

describe("a key file", () => {
  test("that changes is read anew, without a reload being asked for", async () => {
    const [before, after] = [edKeys(), rsaKeys()];
    const folder = await temporaryFolder();
    const file = join(folder, "jwt.pem");
    await writeFile(file, before.publicPem);
    const backend = await startEchoBackend();
    const config = {
      threads: 2,
      listeners: ["127.0.0.1:0"],
      admin: "off",
      reload: { settle: "10ms" },
      identity: { jwt: { publicKey: file } },
      pools: { chat: { healthCheck: "off", backends: [backend.url] } },
    };
    const weir = await spawnWeir(JSON.stringify(config));
    expect(await outcome(weir.url, tokenOf(before, "EdDSA"))).toBe("101");
    expect(await outcome(weir.url, tokenOf(after, "RS256"))).toBe("unauthorized");
    await writeFile(`${file}.new`, after.publicPem);
    await rename(`${file}.new`, file);
    // Then each thread has it.
    await weir.untilPrinted(/configuration reloaded/);
    expect(await outcome(weir.url, tokenOf(after, "RS256"))).toBe("101");
    expect(await outcome(weir.url, tokenOf(before, "EdDSA"))).toBe("unauthorized");
  });

  test("that a reload cannot use changes nothing", async () => {
    const keys = edKeys();
    const folder = await temporaryFolder();
    const file = join(folder, "jwt.pem");
    await writeFile(file, keys.publicPem);
    const backend = await startEchoBackend();
    const config = { identity: { jwt: { publicKey: file } } };
    const weir = await startInFrontOf(backend.url, { config });
    const { connection } = await openRaw(weir.url, showing(tokenOf(keys, "EdDSA")));
    const broken = join(folder, "broken.pem");
    await writeFile(broken, "-----BEGIN PUBLIC KEY-----\nnonsense\n-----END PUBLIC KEY-----\n");
    for (const [jwt, message] of [
      [{ publicKey: broken }, /broken\.pem holds no public key/],
      [{ publicKey: join(folder, "missing.pem") }, /publicKey: cannot be read: no such file/],
      [{ publicKey: file, algorithms: ["RS256"] }, /algorithms\[0\]: RS256 does not fit the key/],
    ] as const) {
      const reload = reloadInFrontOf(weir, backend.url, { config: { identity: { jwt } } });
      await expect(reload).rejects.toThrow(message);
      expect(await outcome(weir.url, tokenOf(keys, "EdDSA"))).toBe("101");
    }
    await connection.sendText("who");
    expect(await connection.nextText()).toBe("echo");
  });
});

interface KeyServer {
  readonly url: string;
  readonly requests: number;
  keys: unknown[];
  close(): Promise<void>;
}

async function startKeyServer(keys: unknown[]): Promise<KeyServer> {
  const server = createServer((_request, response) => {
    state.requests += 1;
    response.end(JSON.stringify({ keys: state.keys }));
  });
  server.listen(0, ownHost);
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  const state = { url: `http://${ownHost}:${port}/jwks?secret=hush`, requests: 0, keys, close };
  onCleanup("the key server", close);
  return state;
}

describe("a JWKS URL", () => {
  const [old, young, shared] = [rsaKeys(), ecKeys(), edKeys()];

  test("is fetched when the first token comes, for a key that is not there, and else kept, over reloads too", async () => {
    const server = await startKeyServer([jwkOf(old, { kid: "old" }), jwkOf(shared)]);
    const backend = await startEchoBackend();
    const config = { identity: { jwt: { jwksUrl: server.url } } };
    const weir = await startInFrontOf(backend.url, { config });
    expect(server.requests).toBe(0);
    expect(await outcome(weir.url, tokenOf(old, "RS256", "old"))).toBe("101");
    expect(await outcome(weir.url, tokenOf(shared, "EdDSA"))).toBe("101");
    expect(server.requests).toBe(1);
    expect(await outcome(weir.url, tokenOf(young, "ES256", "young"))).toBe("unauthorized");
    server.keys.push(jwkOf(young, { kid: "young" }));
    expect(await outcome(weir.url, tokenOf(young, "ES256", "young"))).toBe("101");
    expect(server.requests).toBe(3);
    expect(await outcome(weir.url, signToken({}, { key: old.publicPem, header: { kid: "old" } }))).toBe(
      "unauthorized",
    );
    await reloadInFrontOf(weir, backend.url, { config: { ...config, log: { level: "debug" } } });
    expect(await outcome(weir.url, tokenOf(old, "RS256", "old"))).toBe("101");
    expect(server.requests).toBe(3);
  });

  test("that does not answer refuses tokens with 503 auth_unavailable, until it does", async () => {
    const server = await startKeyServer([jwkOf(old)]);
    await server.close();
    const backend = await startEchoBackend();
    const routes = [{ match: { path: "/optional" }, pool: "chat", auth: "optional" }, { pool: "chat" }];
    const weir = await startInFrontOf(backend.url, {
      config: { routes, identity: { jwt: { jwksUrl: server.url } } },
    });
    const upgrade = upgradeRequest(showing(tokenOf(old, "RS256")));
    const refusal = await refusalOf(weir.url, upgrade);
    expect(refusal).toMatchObject({ status: 503, code: "auth_unavailable" });
    expect(refusal.head.header("retry-after")).toMatch(/^\d+$/);
    expect(refusal.head.header("www-authenticate")).toBeUndefined();
    expect(await refusalOf(weir.url, upgradeRequest())).toMatchObject({ status: 401 });
    await openRaw(`${weir.url}/optional`);
    const { fields } = await weir.log.entry("the URL", ({ message }) =>
      message.startsWith("cannot fetch the keys"),
    );
    expect(fields).toMatchObject({ origin: new URL(server.url).origin, reason: "ECONNREFUSED" });
    expect(JSON.stringify(weir.log.entries)).not.toContain("hush");
  });
});
