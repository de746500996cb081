// Weir's own pings: both sides get them, their pongs end at Weir, the peers' own pass, and a peer that
// vanished is found, but not one that only is not being read.
import { describe, expect, test } from "vitest";

import { closePayload, opcodes, parseClose, type Frame } from "../support/frames.ts";
import { startLimited } from "../support/limited.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { startRelay } from "../support/relay.ts";
import { until } from "../support/until.ts";

const { text, binary, continuation, ping, pong } = opcodes;

/** Often, and with a patience that no test gets by on. */
const often = "timeouts: { ping: { interval: 100ms, timeout: 60s }, close: 60s }";
/** In this time each side that is there has to answer, be the machine as slow as it may. */
const impatient = "timeouts: { ping: { interval: 100ms, timeout: 1500ms }, close: 60s }";

const sides = [
  ["client", "backend"],
  ["backend", "client"],
] as const;

/** Answers all pings until this one is seen to come to an end, and hands back the other frames. */
async function framesUntil(side: RawConnection, isLast: (frame: Frame) => boolean): Promise<Frame[]> {
  const frames: Frame[] = [];
  for (;;) {
    const frame = await side.nextFrame();
    if (frame.opcode === ping) await side.sendFrame({ opcode: pong, payload: frame.payload });
    else frames.push(frame);
    if (isLast(frame)) return frames;
  }
}

async function nextPing(side: RawConnection): Promise<Buffer> {
  const frame = await side.nextFrame();
  expect(frame).toMatchObject({ opcode: ping, fin: true, rsv: 0 });
  expect(frame.payload).toHaveLength(8);
  return frame.payload;
}

const isText = ({ opcode }: Frame) => opcode === text;

/** What the side reads up to a text, without Weir's own pings. */
async function payloadsUntilText(to: RawConnection): Promise<string[]> {
  return (await framesUntil(to, isText)).map(({ payload }) => payload.toString());
}

describe("a pong that answers Weir", () => {
  test.for(sides)("ends at Weir, from the %s", async ([from, to]) => {
    const relay = await startRelay({ yaml: often });
    const pair = await relay.open();
    const masked = from === "backend";
    for (let round = 0; round < 3; round += 1) {
      const payload = await nextPing(pair[from]);
      await pair[from].sendFrame({ opcode: pong, payload });
    }
    await pair[from].sendText("after");
    expect(await payloadsUntilText(pair[to])).toEqual(["after"]);
    await until("round trips of both sides are measured", async () => {
      const found = await scrape(relay.adminUrl);
      return found.sum("weir_round_trip_seconds_count", { pool: "chat", side: from }) >= 3;
    });
    const counted = await scrape(relay.adminUrl);
    const direction = masked ? "backend_to_client" : "client_to_backend";
    expect(counted.sum("weir_messages_total", { direction })).toBe(1);
    expect(counted.sum("weir_bytes_total", { direction })).toBe(masked ? 7 : 11);
  });

  test.for(sides)(
    "is cut out of a chunk with other frames and between fragments, from the %s",
    async ([from, to]) => {
      const pair = await (await startRelay({ yaml: often })).open();
      const payload = await nextPing(pair[from]);
      const side = pair[from];
      await side.write(
        Buffer.concat([
          side.encode({ opcode: binary, payload: "one" }),
          side.encode({ opcode: binary, payload: "two", fin: false }),
          side.encode({ opcode: pong, payload }),
          side.encode({ opcode: continuation, payload: "three" }),
          side.encode({ opcode: pong, payload: "unasked" }),
          side.encode({ opcode: text, payload: "four" }),
        ]),
      );
      const frames = await framesUntil(pair[to], isText);
      expect(frames.map((frame) => [frame.opcode, frame.fin, frame.payload.toString()])).toEqual([
        [binary, true, "one"],
        [binary, false, "two"],
        [continuation, true, "three"],
        [pong, true, "unasked"],
        [text, true, "four"],
      ]);
    },
  );

  test.for(sides)("ends at Weir although it comes byte by byte, from the %s", async ([from, to]) => {
    const pair = await (await startRelay({ yaml: often })).open();
    const payload = await nextPing(pair[from]);
    await pair[from].writeByteByByte(pair[from].encode({ opcode: pong, payload }));
    await pair[from].sendText("after");
    expect(await payloadsUntilText(pair[to])).toEqual(["after"]);
  });

  test("does so once: the same again is the peer's own", async () => {
    const { client, backend } = await (await startRelay({ yaml: often })).open();
    const payload = await nextPing(client);
    for (let i = 0; i < 2; i += 1) await client.sendFrame({ opcode: pong, payload });
    const frames = await framesUntil(backend, ({ opcode }) => opcode === pong);
    expect(frames.map((frame) => frame.payload)).toEqual([payload]);
  });

  test("stands between messages that wait for their turn, and counts in no limit", async () => {
    const weir = await startLimited({
      tier: { messages: { rate: "10/s", burst: 1 } },
      limits: { controlFrames: { rate: "1/h", burst: 1 } },
      config: { timeouts: { ping: { interval: "100ms", timeout: "60s" }, close: "60s" } },
    });
    const { client, backend } = await weir.open("ann");
    const ended: Buffer[] = [];
    for (let round = 0; round < 3; round += 1) ended.push(await nextPing(client));
    const pongs = ended.map((payload) => client.encode({ opcode: pong, payload }));
    const texts = ["one", "two", "three", "four"].map((payload) => client.encode({ opcode: text, payload }));
    await client.write(Buffer.concat(texts.flatMap((frame, i) => [frame, pongs[i] ?? Buffer.alloc(0)])));
    const frames = await framesUntil(backend, ({ payload }) => payload.toString() === "four");
    expect(frames.map(({ payload }) => payload.toString())).toEqual(["one", "two", "three", "four"]);
  });
});

describe("a ping of Weir's", () => {
  test.for(sides)("waits for the end of the frame in flight, to the %s", async ([to, from]) => {
    const pair = await (await startRelay({ yaml: often })).open();
    const whole = pair[from].encode({ opcode: text, payload: "0123456789" });
    // It may come before the first part, but not before the last one.
    await pair[from].write(whole.subarray(0, -5));
    await nextPing(pair[from]);
    await nextPing(pair[from]);
    const next = pair[from].encode({ opcode: text, payload: "next" });
    await pair[from].write(Buffer.concat([whole.subarray(-5), next]));
    const frames = await framesUntil(pair[to], ({ payload }) => payload.toString() === "next");
    expect(frames.map(({ payload }) => payload.toString())).toEqual(["0123456789", "next"]);
    await nextPing(pair[to]);
  });
});

describe("the peers' own pings and pongs", () => {
  test.for(sides)("pass untouched, unasked pongs too, from the %s", async ([from, to]) => {
    const pair = await (await startRelay({ yaml: often })).open();
    const own = [
      { opcode: ping, payload: "12345678" },
      { opcode: pong, payload: "87654321" },
      { opcode: ping, payload: "" },
      { opcode: pong, payload: "" },
    ];
    for (const frame of own) await pair[from].sendFrame(frame);
    await pair[from].sendText("end");
    const seen: [number, string][] = [];
    for (let frame = await pair[to].nextFrame(); !isText(frame); frame = await pair[to].nextFrame()) {
      seen.push([frame.opcode, frame.payload.toString("latin1")]);
    }
    const passed = own.map(({ opcode, payload }) => [opcode, payload]);
    // Weir's own pings carry 8 bytes of which none of the test's is made.
    expect(seen.filter((one) => passed.some((each) => each[0] === one[0] && each[1] === one[1]))).toEqual(
      passed,
    );
    expect(seen.filter(([opcode]) => opcode === pong)).toHaveLength(2);
  });
});

/** Answers Weir's pings and the Close, as long as the test runs. */
function answering(side: RawConnection): Frame[] {
  const frames: Frame[] = [];
  const answer = async (): Promise<void> => {
    for (;;) {
      const frame = await side.nextFrame();
      frames.push(frame);
      if (frame.opcode === ping) await side.sendFrame({ opcode: pong, payload: frame.payload });
      if (frame.opcode !== opcodes.close) continue;
      await side.sendFrame({ opcode: opcodes.close, payload: frame.payload });
      return side.finish();
    }
  };
  // Its socket ends with the test.
  answer().catch(() => {});
  return frames;
}

async function closeOf(frames: readonly Frame[]): Promise<{ code: number; reason: string }> {
  return parseClose(await until("a Close", () => frames.find(({ opcode }) => opcode === opcodes.close)));
}

describe("a peer that vanished", () => {
  test("the client: the backend gets 1001", async () => {
    const relay = await startRelay({ yaml: impatient });
    const { client, backend } = await relay.open();
    expect(await closeOf(answering(backend))).toEqual({ code: 1001, reason: "" });
    await until("the client's socket has ended", () => client.peerState !== "open");
    await untilMetric(relay.adminUrl, 1, "weir_closes_total", {
      reason: "client_dead",
      by: "client",
      code: "1006",
    });
    await untilMetric(relay.adminUrl, 0, "weir_connections");
  });

  test("the backend: the client gets 1012", async () => {
    const relay = await startRelay({ yaml: impatient });
    const { client, backend } = await relay.open();
    expect(await closeOf(answering(client))).toEqual({ code: 1012, reason: "backend lost" });
    await until("the backend's socket has ended", () => backend.peerState !== "open");
    await untilMetric(relay.adminUrl, 1, "weir_closes_total", { reason: "backend_lost", by: "backend" });
    await untilMetric(relay.adminUrl, 0, "weir_connections");
  });

  test("in the middle of a frame: the other one's socket ends without a Close", async () => {
    const relay = await startRelay({ yaml: impatient });
    const { client, backend } = await relay.open();
    await client.write(client.encode({ opcode: binary, payload: "part", declaredLength: 100 }));
    const frames = answering(backend);
    await untilMetric(relay.adminUrl, 1, "weir_closes_total", { reason: "client_dead" });
    await untilMetric(relay.adminUrl, 0, "weir_connections");
    expect(frames.filter(({ opcode }) => opcode === opcodes.close)).toEqual([]);
  });

  test("is not one that answers, be it with another byte than a pong", async () => {
    const relay = await startRelay({ yaml: impatient });
    const answers = await relay.open();
    const talks = await relay.open();
    for (const side of [answers.client, answers.backend, talks.backend]) answering(side);
    // Three times its time.
    for (let round = 0; round < 45; round += 1) {
      expect(await nextPing(talks.client)).toHaveLength(8);
      await talks.client.sendFrame({ opcode: pong, payload: "alive" });
    }
    await answers.client.sendFrame({ opcode: opcodes.close, payload: closePayload(1000) });
    await untilMetric(relay.adminUrl, 1, "weir_closes_total", { reason: "close", code: "1000" });
    await untilMetric(relay.adminUrl, 1, "weir_connections");
  });
});

test("a client whose messages wait for their turn is not taken for dead", async () => {
  const weir = await startLimited({
    tier: { messages: { rate: "1/s", burst: 1 } },
    config: { timeouts: { ping: { interval: "100ms", timeout: "1500ms" }, close: "60s" } },
  });
  const { client, backend } = await weir.open("ann");
  const frames = answering(backend);
  // It answers nothing while the third waits for 2 s, and Weir does not read it.
  await client.write(
    Buffer.concat(["1", "2", "3"].map((payload) => client.encode({ opcode: text, payload }))),
  );
  await until("all three have passed", () => frames.filter(isText).length === 3);
  expect(frames.filter(isText).map(({ payload }) => payload.toString())).toEqual(["1", "2", "3"]);
  // From then on it is read, and silent.
  expect(await closeOf(frames)).toEqual({ code: 1001, reason: "" });
  await untilMetric(weir.adminUrl, 1, "weir_closes_total", { reason: "client_dead" });
});
