// The WebSocket /api/tap: what the frames of a user or a connection are, as they pass, and never what they say.
import { describe, expect, test } from "vitest";

import type { Status } from "../../src/admin/status.ts";
import type { ConnectionView } from "../../src/control-plane/oversight.ts";
import type { TappedFrameView } from "../../src/shared-memory/tapped-frame.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { ask } from "../support/http-client.ts";
import { waitForThreads } from "../support/patience.ts";
import { openRaw } from "../support/raw-client.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import { type StartedWeir, toWebSocketUrl } from "../support/start-weir.ts";
import { until, untilEqual } from "../support/until.ts";
import { expectRefusal, openClient, type WsClient } from "../support/ws-client.ts";

interface TapMessage {
  readonly type: "frames";
  readonly frames: readonly TappedFrameView[];
  readonly lost: number;
}

async function start(more: Readonly<Record<string, unknown>> = {}): Promise<StartedWeir> {
  waitForThreads();
  const backend = await startEchoBackend();
  const identity = { user: [{ header: "x-user" }, "ip"] };
  return startInFrontOf(backend.url, { config: { threads: 2, identity, ...more } });
}

function tapUrl({ adminUrl }: StartedWeir, query: string): string {
  return `${toWebSocketUrl(adminUrl)}/api/tap?${query}`;
}

/** The tap, once Weir counts so many. */
async function openTap(weir: StartedWeir, query: string, listeners = 1): Promise<WsClient> {
  const tap = await openClient(tapUrl(weir, query));
  await untilEqual("listeners of taps", listeners, () => listenersOf(weir));
  return tap;
}

async function listenersOf({ adminUrl }: StartedWeir): Promise<number> {
  const { body } = await ask(`${adminUrl}/api/status`);
  return (JSON.parse(body.toString()) as Status).tap.listeners;
}

function openAs(
  { url }: StartedWeir,
  user: string,
  options: Parameters<typeof openClient>[1] = {},
): Promise<WsClient> {
  return openClient(url, { ...options, headers: { "X-User": user } });
}

async function framesOf(tap: WsClient, count: number): Promise<TappedFrameView[]> {
  const frames: TappedFrameView[] = [];
  while (frames.length < count) {
    const message = JSON.parse(await tap.nextText()) as TapMessage;
    frames.push(...message.frames);
  }
  return frames;
}

async function idOf({ adminUrl }: StartedWeir, user: string): Promise<string> {
  const first = await until("the connection is listed", async () => {
    const { body } = await ask(`${adminUrl}/api/connections?user=${user}`);
    return (JSON.parse(body.toString()) as { connections: ConnectionView[] }).connections[0];
  });
  return first.id;
}

describe("a tap on a user", () => {
  test("sees its frames in both directions, of connections that open later too, and nobody else's", async () => {
    const weir = await start();
    const [early, other] = [await openAs(weir, "ann"), await openAs(weir, "bob")];
    const tap = await openTap(weir, "user=ann");
    await early.ask("a secret");
    await other.ask("not ann's");
    const seen = await framesOf(tap, 2);
    const facts = {
      user: "ann",
      opcode: "text",
      fin: true,
      length: 8,
      compressed: false,
      done: "passed",
      limit: null,
    };
    expect(seen).toEqual([
      { ...facts, time: expect.any(String), connection: expect.any(String), direction: "client_to_backend" },
      { ...facts, time: expect.any(String), connection: seen[0]?.connection, direction: "backend_to_client" },
    ]);
    expect(Math.abs(Date.now() - Date.parse(seen[0]?.time ?? ""))).toBeLessThan(60_000);
    expect(seen[0]?.connection).toBe(await idOf(weir, "ann"));
    const late = await openAs(weir, "ann");
    await late.ask("later");
    await late.close(4000, "bye");
    const others = await framesOf(tap, 4);
    expect(others.map(({ opcode, direction, length }) => [opcode, direction, length])).toEqual([
      ["text", "client_to_backend", 5],
      ["text", "backend_to_client", 5],
      ["close", "client_to_backend", 5],
      ["close", "backend_to_client", 5],
    ]);
    expect(new Set(others.map(({ connection }) => connection)).size).toBe(1);
    expect(others[0]?.connection).not.toBe(seen[0]?.connection);
    expect(JSON.stringify([...seen, ...others])).not.toMatch(/secret|later|bye/);
  });

  test("sees every frame from its 101 on", async () => {
    const weir = await start();
    const client = await openAs(weir, "ann");
    for (let round = 1; round <= 5; round += 1) {
      const tap = await openClient(tapUrl(weir, "user=ann"));
      await client.ask(String(round));
      const seen = await framesOf(tap, 2);
      expect(seen.map(({ direction }) => direction)).toEqual(["client_to_backend", "backend_to_client"]);
      await tap.close();
    }
  });

  test("sees compression, fragments, control frames, and what a limit drops", async () => {
    const backend = await startEchoBackend({ ws: { perMessageDeflate: { threshold: 0 } } });
    const weir = await startInFrontOf(backend.url, {
      config: {
        identity: { user: [{ header: "x-user" }] },
        tiers: { guest: { default: true, messages: { rate: "1/h", burst: 2 } } },
        limits: { onExceed: "drop" },
      },
    });
    const tap = await openTap(weir, "user=ann");
    const client = await openAs(weir, "ann", { perMessageDeflate: { threshold: 0 } });
    await client.ask("squeeze me".repeat(20));
    client.socket.ping("x");
    client.socket.send("in two ", { fin: false });
    client.socket.send("parts", { fin: true });
    await client.nextText();
    await client.send("one too many");
    const seen = (await framesOf(tap, 8)).filter(({ direction }) => direction === "client_to_backend");
    expect(
      seen.map(({ opcode, fin, compressed, done, limit }) => [opcode, fin, compressed, done, limit]),
    ).toEqual([
      ["text", true, true, "passed", null],
      ["ping", true, false, "passed", null],
      ["text", false, true, "passed", null],
      ["continuation", true, true, "passed", null],
      ["text", true, true, "dropped", "tier:guest"],
    ]);
  });

  test("goes on where a thread died and was started again", async () => {
    const weir = await start({ threads: 1 });
    const tap = await openTap(weir, "user=ann");
    await weir.weir.workers.kill(0);
    const client = await until("Weir serves again", () => openAs(weir, "ann"));
    await client.ask("hello");
    expect(await framesOf(tap, 2)).toHaveLength(2);
  });
});

describe("a tap on a connection", () => {
  test("sees that one only, and is closed with 1000 at its end", async () => {
    const weir = await start();
    const client = await openAs(weir, "ann");
    const id = await idOf(weir, "ann");
    const tap = await openTap(weir, `connection=${id}`);
    await (await openAs(weir, "ann")).ask("another one");
    await client.ask("hello");
    await client.close(1000);
    const seen = await framesOf(tap, 4);
    expect(new Set(seen.map(({ connection }) => connection))).toEqual(new Set([id]));
    expect(seen.map(({ opcode }) => opcode)).toEqual(["text", "text", "close", "close"]);
    expect(await tap.closed()).toEqual({ code: 1000, reason: "connection closed" });
    await untilEqual("listeners of taps", 0, () => listenersOf(weir));
  });

  test("is closed where its thread dies", async () => {
    const weir = await start({ threads: 1 });
    await openAs(weir, "ann");
    const tap = await openTap(weir, `connection=${await idOf(weir, "ann")}`);
    await weir.weir.workers.kill(0);
    expect((await tap.closed()).code).toBe(1000);
  });
});

describe("a tap", () => {
  test("is gone with its client", async () => {
    const weir = await start();
    const tap = await openTap(weir, "user=ann");
    const other = await openTap(weir, "user=ann", 2);
    tap.socket.terminate();
    await untilEqual("listeners of taps", 1, () => listenersOf(weir));
    await (await openAs(weir, "ann")).ask("hello");
    expect(await framesOf(other, 2)).toHaveLength(2);
    await other.close(1000);
    await untilEqual("listeners of taps", 0, () => listenersOf(weir));
  });

  test("of a client that does not read loses frames and says how many, and the traffic goes on", async () => {
    const weir = await start();
    const { connection: tap } = await openRaw(tapUrl(weir, "user=ann"), {
      host: new URL(weir.adminUrl).host,
    });
    await untilEqual("listeners of taps", 1, () => listenersOf(weir));
    tap.pause();
    const { connection: flooder } = await openRaw(weir.url, { lines: ["X-User: ann"] });
    flooder.discardFromNowOn();
    const frames = Buffer.concat(
      Array.from({ length: 5_000 }, () => flooder.encode({ opcode: 1, payload: "x" })),
    );
    for (let i = 0; i < 40; i += 1) await flooder.write(frames);
    const bystander = await openAs(weir, "bob");
    expect(await bystander.ask("still there")).toBe("still there");
    tap.resume();
    const lost = await until("frames were lost", async () => {
      await flooder.sendText("one more");
      return (JSON.parse(await tap.nextText()) as TapMessage).lost > 0;
    });
    expect(lost).toBe(true);
  });

  test("is one of 16 at most", async () => {
    const weir = await start();
    await Promise.all(Array.from({ length: 16 }, () => openClient(tapUrl(weir, "user=ann"))));
    const refused = await expectRefusal(tapUrl(weir, "user=ann"));
    expect([refused.status, JSON.parse(refused.body)]).toEqual([
      503,
      expect.objectContaining({ error: "too_many" }),
    ]);
  });

  test("is refused where it asks for nothing, for both, or for what is not there", async () => {
    const weir = await start();
    for (const [query, status] of [
      ["", 400],
      ["user=a&connection=1-1", 400],
      ["connection=", 404],
      ["connection=0-0", 404],
      ["connection=x", 404],
      ["user=", 400],
      ["user=a%0Ab", 400],
    ] as const) {
      const refused = await expectRefusal(tapUrl(weir, query));
      expect([query, refused.status]).toEqual([query, status]);
    }
    const foreign = await expectRefusal(tapUrl(weir, "user=ann"), {
      headers: { Origin: "https://evil.example" },
    });
    expect(foreign.status).toBe(403);
  });
});
