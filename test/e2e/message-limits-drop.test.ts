// onExceed: drop. A message above the limit vanishes with all of its frames, and nothing else does.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { cutAt, cuts } from "../support/frame-stream.ts";
import { encodeFrame, type FrameSpec, opcodes } from "../support/frames.ts";
import { endByDrain, type Limits, startLimited } from "../support/limited.ts";
import { scrape, untilMetric } from "../support/metrics.ts";

const { text, binary, continuation, ping, pong, close } = opcodes;

const dropped = { action: "drop", tier: "member" };

/** No token comes back while a test runs. */
function burstOf(burst: number): Limits {
  return { tier: { messages: { rate: "1/h", burst } }, limits: { onExceed: "drop" } };
}

/** What a client sends: each message as its frames, with the control frames between them. */
interface Stream {
  readonly messages: readonly (readonly FrameSpec[])[];
}

const payload = fc
  .oneof(
    { weight: 4, arbitrary: fc.integer({ min: 0, max: 200 }) },
    { weight: 1, arbitrary: fc.integer({ min: 60_000, max: 140_000 }) },
  )
  .map((length) => Buffer.alloc(length, "0123456789"));

const control = fc.record({
  opcode: fc.constantFrom(ping, pong),
  payload: fc.integer({ min: 0, max: 125 }).map((length) => Buffer.alloc(length, 7)),
});

const message = fc
  .array(fc.record({ payload, controls: fc.array(control, { maxLength: 2 }) }), {
    minLength: 1,
    maxLength: 4,
  })
  .map((fragments): FrameSpec[] =>
    fragments.flatMap(({ payload, controls }, i) => [
      ...controls,
      { opcode: i === 0 ? binary : continuation, fin: i === fragments.length - 1, payload },
    ]),
  );

const stream: fc.Arbitrary<Stream> = fc.record({ messages: fc.array(message, { maxLength: 8 }) });

function encode(frames: readonly FrameSpec[]): Buffer {
  return Buffer.concat(frames.map((frame) => encodeFrame({ maskingKey: Buffer.of(1, 2, 3, 4), ...frame })));
}

/** What is left of it where only the first `burst` messages pass. */
function passing({ messages }: Stream, burst: number): FrameSpec[] {
  return messages.flatMap((frames, i) =>
    i < burst ? frames : frames.filter(({ opcode }) => opcode >= close),
  );
}

describe("a message above the limit", () => {
  test("vanishes with all of its fragments; the control frames between them pass, as does all else", async () => {
    const weir = await startLimited(burstOf(3));
    let users = 0;
    let expectedDrops = 0;
    await fc.assert(
      fc.asyncProperty(stream, cuts, async (sent, fractions) => {
        const { client, backend } = await weir.open(`user-${(users += 1)}`);
        for (const packet of cutAt(encode(sent.messages.flat()), fractions)) await client.write(packet);
        const end = encode([{ opcode: ping, payload: "the end" }]);
        await client.write(end);
        const expected = Buffer.concat([encode(passing(sent, 3)), end]);
        expect((await backend.readBytes(expected.length)).equals(expected)).toBe(true);
        expectedDrops += Math.max(0, sent.messages.length - 3);
        client.socket.destroy();
        backend.socket.destroy();
      }),
      { numRuns: 40 },
    );
    await untilMetric(weir.adminUrl, expectedDrops, "weir_messages_limited_total", dropped);
  });

  test("vanishes byte by byte, too", async () => {
    const weir = await startLimited(burstOf(1));
    const { client, backend } = await weir.open("ann");
    const frames: FrameSpec[] = [
      { opcode: text, payload: "passes" },
      { opcode: text, fin: false, payload: "is " },
      { opcode: ping, payload: "between" },
      { opcode: continuation, fin: false, payload: "" },
      { opcode: continuation, payload: "dropped" },
      { opcode: binary, payload: Buffer.alloc(300) },
      { opcode: pong, payload: "behind" },
    ];
    await client.writeByteByByte(encode(frames));
    const kept = encode(frames.filter(({ opcode }, i) => i === 0 || opcode >= close));
    expect(await backend.readBytes(kept.length)).toEqual(kept);
  });

  test.for([
    ["whole", [{ opcode: text, payload: "dropped" }]],
    ["in the middle of a fragmented one", [{ opcode: text, fin: false, payload: "dropped" }]],
    ["in the middle of a frame", [{ opcode: binary, payload: "part", declaredLength: 1_000 }]],
    ["of which only the header comes", [{ opcode: binary, declaredLength: 2 ** 40 }]],
  ] as const)("leaves the backend at a frame boundary, so that it can be drained: %s", async ([, frames]) => {
    const weir = await startLimited(burstOf(1));
    const { client, backend } = await weir.open("ann");
    await client.write(encode([{ opcode: text, payload: "passes" }, ...frames]));
    expect(await backend.nextText()).toBe("passes");
    await untilMetric(weir.adminUrl, 1, "weir_messages_limited_total", dropped);
    await endByDrain(weir, { client, backend });
  });

  test("is dropped also where its end comes after its limit is lifted; the next one passes", async () => {
    const weir = await startLimited(burstOf(1));
    const { client, backend } = await weir.open("ann");
    await client.write(
      encode([
        { opcode: text, payload: "passes" },
        { opcode: text, fin: false, payload: "is" },
      ]),
    );
    expect(await backend.nextText()).toBe("passes");
    await untilMetric(weir.adminUrl, 1, "weir_messages_limited_total", dropped);
    await weir.reload({});
    await client.write(encode([{ opcode: continuation, fin: false, payload: "dropped" }]));
    await client.write(
      encode([
        { opcode: continuation, payload: "to its end" },
        { opcode: text, payload: "next" },
      ]),
    );
    expect(await backend.nextText()).toBe("next");
  });

  test("that began before it was limited passes to its end", async () => {
    const weir = await startLimited({ ...burstOf(1_000), limits: { onExceed: "delay" } });
    const { client, backend } = await weir.open("ann");
    const first = encode([{ opcode: text, fin: false, payload: "passes" }]);
    await client.write(first);
    expect(await backend.readBytes(first.length)).toEqual(first);
    await weir.reload(burstOf(1));
    const rest = encode([
      { opcode: continuation, fin: false, payload: "to" },
      { opcode: continuation, payload: "its end" },
    ]);
    await client.write(
      Buffer.concat([rest, encode([{ opcode: text, payload: "dropped" }, { opcode: ping }])]),
    );
    expect(await backend.readBytes(rest.length)).toEqual(rest);
    expect(await backend.nextFrame()).toMatchObject({ opcode: ping });
  });

  test("is dropped where empty, too: each empty message counts", async () => {
    const weir = await startLimited(burstOf(10));
    const { client, backend } = await weir.open("ann");
    const empty = { opcode: text, payload: "" };
    const frames = Array.from({ length: 5_000 }, () => empty);
    await client.write(encode([...frames, { opcode: ping, payload: "the end" }]));
    const passed = encode([...frames.slice(0, 10), { opcode: ping, payload: "the end" }]);
    expect(await backend.readBytes(passed.length)).toEqual(passed);
    await untilMetric(weir.adminUrl, 4_990, "weir_messages_limited_total", dropped);
    await untilMetric(weir.adminUrl, 10, "weir_messages_total", { direction: "client_to_backend" });
  });

  test("does not keep the client's Close from passing", async () => {
    const weir = await startLimited(burstOf(1));
    const { client, backend } = await weir.open("ann");
    const dropping: FrameSpec[] = [
      { opcode: text, payload: "passes" },
      { opcode: text, fin: false, payload: "dropped" },
    ];
    await client.write(encode(dropping));
    expect(await backend.nextText()).toBe("passes");
    await client.sendClose(4_000, "bye");
    expect(await backend.nextClose()).toEqual({ code: 4_000, reason: "bye" });
  });

  test("is no excuse for a broken one: a protocol error in it still is one", async () => {
    const weir = await startLimited(burstOf(1));
    const { client, backend } = await weir.open("ann");
    const frames: FrameSpec[] = [
      { opcode: text, payload: "passes" },
      { opcode: text, fin: false, payload: "dropped" },
      { opcode: text, payload: "no continuation" },
    ];
    await client.write(encode(frames));
    expect(await client.nextClose()).toMatchObject({ code: 1002 });
    expect(await backend.nextText()).toBe("passes");
    expect(await backend.nextClose()).toEqual({ code: 1001, reason: "" });
  });

  test("is nothing to what the backend sends", async () => {
    const weir = await startLimited(burstOf(1));
    const { client, backend } = await weir.open("ann");
    for (let i = 0; i < 20; i++) await backend.sendText(`from the backend ${i}`);
    for (let i = 0; i < 20; i++) expect(await client.nextText()).toBe(`from the backend ${i}`);
  });
});

test("onExceed of the route wins over that of limits", async () => {
  const messages = { rate: "1/h", burst: 1, onExceed: "drop" };
  const weir = await startLimited({ route: { messages }, limits: { onExceed: "close" } });
  const { client, backend } = await weir.open("ann");
  await client.write(
    encode([{ opcode: text, payload: "a" }, { opcode: text, payload: "b" }, { opcode: ping }]),
  );
  expect(await backend.nextText()).toBe("a");
  expect(await backend.nextFrame()).toMatchObject({ opcode: ping });
  const metrics = await scrape(weir.adminUrl);
  expect(metrics.matching("weir_messages_limited_total").map(({ labels }) => labels["action"])).toEqual([
    "delay",
    "drop",
    "close",
    "log",
  ]);
});
