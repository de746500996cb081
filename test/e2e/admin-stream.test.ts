// The WebSocket /api/stream: the status once a second, to a bounded number of listeners.
import { describe, expect, test } from "vitest";

import type { Status } from "../../src/admin/status.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { ask } from "../support/http-client.ts";
import { connectRaw, upgradeRequest } from "../support/raw-client.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import { type StartedWeir, toWebSocketUrl } from "../support/start-weir.ts";
import { expectRefusal, openClient, type WsClient } from "../support/ws-client.ts";

const TOKEN = "pass phrase with ümlaut/+=";
const tokenProtocol = `weir.token.${Buffer.from(TOKEN).toString("base64url")}`;

async function start(admin: Readonly<Record<string, unknown>> = {}): Promise<StartedWeir> {
  const backend = await startEchoBackend();
  return startInFrontOf(backend.url, { config: { admin: { bind: "127.0.0.1:0", ...admin } } });
}

function streamUrl({ adminUrl }: StartedWeir): string {
  return `${toWebSocketUrl(adminUrl)}/api/stream`;
}

async function nextStatus(stream: WsClient): Promise<Status> {
  for (;;) {
    const message = JSON.parse(await stream.nextText()) as { type: string; status: Status };
    if (message.type === "status") return message.status;
  }
}

describe("the stream", () => {
  test("sends the status at once and again and again, as /api/status has it", async () => {
    const weir = await start();
    const stream = await openClient(streamUrl(weir));
    const first = await nextStatus(stream);
    const { body } = await ask(`${weir.adminUrl}/api/status`);
    const asked = JSON.parse(body.toString()) as Status;
    expect(Object.keys(first)).toEqual(Object.keys(asked));
    expect(first).toMatchObject({ connections: asked.connections, pools: asked.pools, tiers: asked.tiers });
    expect(first.connections.open).toBe(0);
    await openClient(weir.url);
    let status = await nextStatus(stream);
    expect(Date.parse(status.time)).toBeGreaterThan(Date.parse(first.time));
    while (status.connections.open === 0) status = await nextStatus(stream);
    expect(status.connections.open).toBe(1);
  });

  test("sends the log as it is written", async () => {
    const weir = await start();
    const stream = await openClient(streamUrl(weir));
    const seen: string[] = [];
    const untilSeen = async (message: string): Promise<void> => {
      while (!seen.includes(message)) {
        const next = JSON.parse(await stream.nextText()) as { type: string; entries?: { message: string }[] };
        seen.push(...(next.entries ?? []).map((entry) => entry.message));
      }
    };
    await untilSeen("started");
    await (await openClient(weir.url)).close(1000);
    await untilSeen("connection closed");
    expect(seen.filter((message) => message === "started")).toHaveLength(1);
  });

  test("goes on through the drain, and ends with Weir", async () => {
    const weir = await start();
    const stream = await openClient(streamUrl(weir));
    const drained = weir.weir.drain();
    while (!(await nextStatus(stream)).draining);
    await drained;
    await weir.weir.close();
    expect((await stream.closed()).code).toBe(1001);
  });

  test("ends where its client sends more than a word", async () => {
    const weir = await start();
    const stream = await openClient(streamUrl(weir));
    await stream.send("x");
    await nextStatus(stream);
    await stream.send("x".repeat(2_000));
    await stream.closed();
    expect((await ask(`${weir.adminUrl}/healthz`)).status).toBe(200);
  });

  test("of 1 000 clients at once serves as many as it may, tells the others so, and the traffic goes on", async () => {
    const weir = await start();
    const client = await openClient(weir.url);
    const { host } = new URL(weir.adminUrl);
    const heads = await Promise.all(
      Array.from({ length: 1_000 }, async () => {
        const connection = await connectRaw(weir.adminUrl);
        await connection.write(upgradeRequest({ path: "/api/stream", host }));
        const head = await connection.readHead();
        if (head.status === 101) return { status: 101, body: "" };
        return { status: head.status, body: (await connection.readToEnd()).toString() };
      }),
    );
    const served = heads.filter(({ status }) => status === 101);
    expect(served).toHaveLength(64);
    for (const { status, body } of heads) {
      if (status === 101) continue;
      expect(status).toBe(503);
      expect(JSON.parse(body)).toEqual({ error: "too_many", message: expect.stringContaining("64") });
    }
    expect(await client.ask("still there")).toBe("still there");
    expect((await ask(`${weir.adminUrl}/api/status`)).status).toBe(200);
  });
});

describe("the upgrade", () => {
  test("needs the token, by header or by a subprotocol that the answer selects", async () => {
    const weir = await start({ token: TOKEN });
    const url = streamUrl(weir);
    const none = await expectRefusal(url);
    expect(none).toMatchObject({ status: 401, headers: { "www-authenticate": "Bearer" } });
    const wrong = Buffer.from("something else").toString("base64url");
    for (const protocol of [`weir.token.${wrong}`, "weir.token.", "weir.status"]) {
      const refused = await expectRefusal(url, { protocols: [protocol] }).catch(() => null);
      // `ws` itself refuses what is no token of RFC 9110.
      expect(refused?.status ?? 401).toBe(401);
    }
    const byProtocol = await openClient(url, { protocols: ["other", tokenProtocol] });
    expect(byProtocol.socket.protocol).toBe(tokenProtocol);
    await nextStatus(byProtocol);
    const byHeader = await openClient(url, {
      headers: { Authorization: `Bearer ${Buffer.from(TOKEN).toString("latin1")}` },
    });
    await nextStatus(byHeader);
  });

  test("does not take a token by subprotocol from a plain request", async () => {
    const weir = await start({ token: TOKEN });
    const headers = { "Sec-WebSocket-Protocol": tokenProtocol };
    expect((await ask(`${weir.adminUrl}/api/status`, { headers })).status).toBe(401);
  });

  // The browser sends no token on its own, but where there is none a foreign page could listen.
  test("of a page of another site, or under a foreign Host, is answered 403", async () => {
    const weir = await start();
    const origin = await expectRefusal(streamUrl(weir), { headers: { Origin: "https://evil.example" } });
    expect(origin.status).toBe(403);
    expect(JSON.parse(origin.body)).toMatchObject({ error: "forbidden" });
    const host = await expectRefusal(streamUrl(weir), { headers: { Host: "evil.example" } });
    expect(host.status).toBe(403);
    const own = await openClient(streamUrl(weir), { headers: { Origin: weir.adminUrl } });
    await nextStatus(own);
  });

  test("elsewhere is answered 404, and a broken one 400", async () => {
    const weir = await start();
    for (const path of ["/", "/api", "/api/status", "/api/stream/", "/api/taps"]) {
      const refused = await expectRefusal(`${toWebSocketUrl(weir.adminUrl)}${path}`);
      expect([path, refused.status]).toEqual([path, 404]);
      expect(JSON.parse(refused.body)).toMatchObject({ error: "not_found" });
    }
    const { host } = new URL(weir.adminUrl);
    for (const broken of [{ key: "short" }, { version: "12" }]) {
      const connection = await connectRaw(weir.adminUrl);
      await connection.write(upgradeRequest({ path: "/api/stream", host, ...broken }));
      expect((await connection.readHead()).status).toBe(400);
      expect(JSON.parse((await connection.readToEnd()).toString())).toMatchObject({ error: "bad_upgrade" });
    }
  });

  test("is asked for with 426 where a plain request comes", async () => {
    const weir = await start();
    const { status, headers, body } = await ask(`${weir.adminUrl}/api/stream`);
    expect([status, headers.upgrade]).toEqual([426, "websocket"]);
    expect(JSON.parse(body.toString())).toMatchObject({ error: "upgrade_required" });
    expect((await ask(`${weir.adminUrl}/api/stream`, { method: "POST" })).status).toBe(405);
  });
});
