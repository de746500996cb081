// Affinity by Weir's own cookie: a client is told its backend once, in words that say nothing to it, and
// comes back to it from wherever it then is.
import { describe, expect, test } from "vitest";

import { makeCertificates, openssl } from "../support/certificates.ts";
import { type EchoBackend, startEchoBackend } from "../support/echo-backend.ts";
import { ask } from "../support/http-client.ts";
import { openRaw } from "../support/raw-client.ts";
import { isMissing } from "../support/requirement.ts";
import { answer, startScriptedBackend } from "../support/scripted-backend.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { expectRefusal, openClient } from "../support/ws-client.ts";

const byCookie = { affinity: { by: "cookie" } };

/** The whole line, whose value is base64url and of one length. */
const LINE = /^weir-chat=[\w-]{16}; Path=\/; HttpOnly; SameSite=Lax$/;

/** What a browser makes of the answer's lines: what it sends back. */
function cookiesOf({ "set-cookie": lines = [] }: { readonly "set-cookie"?: string[] | undefined }): string {
  return lines.map((line) => line.split(";", 1)[0]).join("; ");
}

async function startThree(): Promise<EchoBackend[]> {
  return Promise.all(["a", "b", "c"].map((id) => startEchoBackend({ id })));
}

function inFrontOf(backends: readonly EchoBackend[], keys: Readonly<Record<string, unknown>> = {}) {
  return startInFrontOf(
    backends.map(({ id, url }) => ({ id, url })),
    { pool: { ...byCookie, ...keys } },
  );
}

/** The backend that a plain request reaches. */
async function reach(weir: StartedWeir, cookie: string): Promise<string> {
  const { headers } = await ask(weir.httpUrl, { headers: { Cookie: cookie } });
  return String(headers["x-backend-id"]);
}

describe("a client", () => {
  test("gets the cookie with its 101, and with it comes back to its backend", async () => {
    const weir = await inFrontOf(await startThree());
    const clients = [];
    for (let i = 0; i < 3; i++) clients.push(await openClient(weir.url));
    expect(clients.map(({ backendId }) => backendId).toSorted()).toEqual(["a", "b", "c"]);
    for (const { backendId, headers: given } of clients) {
      expect(given["set-cookie"]).toEqual([expect.stringMatching(LINE)]);
      const headers = { Cookie: cookiesOf(given) };
      // Each time the other backends have fewer connections.
      for (let i = 0; i < 4; i++) {
        const again = await openClient(weir.url, { headers });
        expect([again.backendId, again.headers["set-cookie"]]).toEqual([backendId, undefined]);
      }
      const { headers: answered } = await ask(weir.httpUrl, { headers });
      expect([answered["x-backend-id"], answered["set-cookie"]]).toEqual([backendId, undefined]);
    }
  });

  test("gets it with a plain answer too, beside the backend's own cookies", async () => {
    const lines = ["Set-Cookie: a=1", "Set-Cookie: b=2; Path=/b"];
    const backend = await startScriptedBackend(answer({ status: 404, lines }));
    const weir = await startInFrontOf(backend.url, { pool: byCookie });
    const { status, headers } = await ask(weir.httpUrl);
    expect(status).toBe(404);
    expect(headers["set-cookie"]).toEqual(["a=1", "b=2; Path=/b", expect.stringMatching(LINE)]);
  });

  test("gets it with an answer to its upgrade that is no 101", async () => {
    const backend = await startScriptedBackend(
      answer({ status: 401, body: "who are you?", lines: ["Set-Cookie: a=1"] }),
    );
    const weir = await startInFrontOf(backend.url, { pool: byCookie });
    const { status, headers, body } = await expectRefusal(weir.url);
    expect([status, body]).toEqual([401, "who are you?"]);
    expect(headers["set-cookie"]).toEqual(["a=1", expect.stringMatching(LINE)]);
  });

  test("gets none with an answer of Weir's own, nor where affinity is by user", async () => {
    const failing = await startInFrontOf("ws://127.0.0.1:1", { pool: byCookie });
    expect((await ask(failing.httpUrl)).headers["set-cookie"]).toBeUndefined();
    expect((await expectRefusal(failing.url)).headers["set-cookie"]).toBeUndefined();
    const [backend] = await startThree();
    const byUser = await startInFrontOf(backend?.url ?? "", { pool: { affinity: { by: "user" } } });
    expect((await ask(byUser.httpUrl)).headers["set-cookie"]).toBeUndefined();
    expect((await openClient(byUser.url)).headers["set-cookie"]).toBeUndefined();
  });

  test("behind a proxy that ends its TLS gets one for TLS only, if the proxy is trusted", async () => {
    const [backend] = await startThree();
    if (backend === undefined) throw new Error("no backend");
    const headers = { "X-Forwarded-Proto": "https" };
    const trusting = await inFrontOf([backend]);
    const lines = (await ask(trusting.httpUrl, { headers })).headers["set-cookie"];
    expect(lines).toEqual([expect.stringMatching(/; SameSite=Lax; Secure$/)]);
    const wary = await startInFrontOf(backend.url, { pool: byCookie, config: { trustedProxies: [] } });
    expect((await ask(wary.httpUrl, { headers })).headers["set-cookie"]).toEqual([
      expect.stringMatching(LINE),
    ]);
  });

  test.skipIf(isMissing(openssl))("that speaks TLS with Weir gets one for TLS only", async () => {
    const { ca, files } = await makeCertificates();
    const [backend] = await startThree();
    const tls = { certificates: [{ cert: files.cert, key: files.key }] };
    const listeners = [{ bind: "127.0.0.1:0", tls }];
    const weir = await startInFrontOf(backend?.url ?? "", { pool: byCookie, config: { listeners } });
    const { headers } = await openClient(weir.url, { ca });
    expect(headers["set-cookie"]).toEqual([expect.stringMatching(/; SameSite=Lax; Secure$/)]);
  });

  test("that says what Weir never said gets a new one", async () => {
    const weir = await inFrontOf(await startThree());
    for (const value of ["", "a", "x".repeat(10_000), "%00", "../b", "AAAAAAAAAAAAAAAA"]) {
      const { status, headers } = await ask(weir.httpUrl, { headers: { Cookie: `weir-chat=${value}` } });
      expect.soft([value, status]).toEqual([value, 200]);
      expect.soft(headers["set-cookie"]).toEqual([expect.stringMatching(LINE)]);
    }
  });
});

describe("a value", () => {
  test("is good after a restart, and for another Weir before the same backends", async () => {
    const backends = await startThree();
    const before = await inFrontOf(backends);
    const { headers } = await ask(before.httpUrl);
    await before.weir.close();
    const after = await inFrontOf(backends.toReversed(), { balance: "random" });
    for (let i = 0; i < 5; i++) {
      expect(await reach(after, cookiesOf(headers))).toBe(headers["x-backend-id"]);
    }
  });

  test("does not tell which backend it stands for", async () => {
    const weir = await inFrontOf(await startThree());
    const { headers, body } = await ask(weir.httpUrl);
    const [value = ""] = cookiesOf(headers).split("=").slice(1);
    expect(JSON.parse(body.toString()).id).toBe(headers["x-backend-id"]);
    for (const text of [value, Buffer.from(value, "base64url").toString("latin1")]) {
      expect(text).not.toContain("127.0.0.1");
      expect(text).not.toBe(headers["x-backend-id"]);
    }
  });

  test("gives way to another where its backend is gone, and that one lasts", async () => {
    const backends = await startThree();
    const weir = await inFrontOf(backends);
    const { headers } = await ask(weir.httpUrl);
    const own = headers["x-backend-id"];
    await backends.find(({ id }) => id === own)?.stop();
    const moved = await ask(weir.httpUrl, { headers: { Cookie: cookiesOf(headers) } });
    expect(moved.status).toBe(200);
    expect(moved.headers["x-backend-id"]).not.toBe(own);
    expect(moved.headers["set-cookie"]).toEqual([expect.stringMatching(LINE)]);
    const upgraded = await openClient(weir.url, { headers: { Cookie: cookiesOf(headers) } });
    expect(upgraded.headers["set-cookie"]).toEqual([expect.stringMatching(LINE)]);
    for (let i = 0; i < 5; i++) {
      expect(await reach(weir, cookiesOf(moved.headers))).toBe(moved.headers["x-backend-id"]);
    }
  });
});

describe("a backend", () => {
  test("never sees a cookie of Weir's, and every other one as it was sent", async () => {
    const [chat, game] = await Promise.all([startEchoBackend(), startEchoBackend({ id: "game" })]);
    const weir = await startInFrontOf(chat.url, {
      pool: byCookie,
      config: {
        routes: [{ match: { path: "/game" }, pool: "game" }, { pool: "chat" }],
        pools: { game: { ...byCookie, healthCheck: "off", backends: [game.url] } },
      },
    });
    const cookie = 'a=1;  weir-chat=x; b="2"; weir-game=y; weir-other=z';
    const left = 'a=1; b="2"; weir-other=z';
    await ask(weir.httpUrl, { headers: { Cookie: cookie } });
    await ask(`${weir.httpUrl}/game`, { headers: { Cookie: cookie } });
    await openClient(weir.url, { headers: { Cookie: cookie } });
    const seen = [...chat.requests, ...game.requests, ...chat.upgrades];
    expect(seen.map(({ headers }) => headers.cookie)).toEqual([left, left, left]);
  });

  test("sees no Cookie line where no other was on it", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url, { pool: byCookie });
    await ask(weir.httpUrl, { headers: { Cookie: "weir-chat=x" } });
    const { connection } = await openRaw(weir.url, { lines: ["Cookie: weir-chat=x", "cookie:weir-chat=y"] });
    connection.finish();
    expect(backend.requests[0]?.headers.cookie).toBeUndefined();
    expect(backend.upgrades[0]?.headers.cookie).toBeUndefined();
  });
});
