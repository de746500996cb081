// routes[].notices.limited: tells a client that its message was dropped, where it can take a foreign text.
import { describe, expect, test } from "vitest";

import { opcodes } from "../support/frames.ts";
import { startLimited } from "../support/limited.ts";
import { untilMetric } from "../support/metrics.ts";

const { text, continuation, ping } = opcodes;
const messages = { rate: "1/h", burst: 1, onExceed: "drop" };
const notices = { limited: '{"type":"rate_limited","retryAfterMs":{{retryAfterMs}}}' };
const isNotice = /^\{"type":"rate_limited","retryAfterMs":(\d+)\}$/;
const drops = { action: "drop" };
const limited = "weir_messages_limited_total";

describe("notices.limited", () => {
  test("is sent once for many dropped messages, and says when the next one would pass", async () => {
    const weir = await startLimited({ route: { messages, notices } });
    const { client, backend } = await weir.open("ann");
    const frames = Array.from({ length: 50 }, () => client.encode({ opcode: text, payload: "x" }));
    await client.write(Buffer.concat(frames));
    const [, retryAfterMs] = isNotice.exec(await client.nextText()) ?? [];
    expect(Number(retryAfterMs)).toBeGreaterThan(3_000_000);
    expect(Number(retryAfterMs)).toBeLessThanOrEqual(3_600_000);
    await untilMetric(weir.adminUrl, 49, limited, drops);
    await backend.sendText("the end");
    expect(await client.nextText()).toBe("the end");
  });

  test.for([
    ["is not sent with a subprotocol that is not listed", "graphql-transport-ws", false],
    ["is sent with a subprotocol that is listed", "chat.v1", true],
  ] as const)("%s", async ([, protocol, isSent]) => {
    const route = { messages, notices: { ...notices, subprotocols: ["chat.v1"] } };
    const weir = await startLimited({ route, protocol });
    const { client, backend } = await weir.open("ann", { protocols: [protocol] });
    for (const payload of ["passes", "dropped"]) await client.sendText(payload);
    await untilMetric(weir.adminUrl, 1, limited, drops);
    await backend.sendText("the end");
    const texts = [await client.nextText()];
    while (texts.at(-1) !== "the end") texts.push(await client.nextText());
    expect(texts.map((each) => isNotice.test(each))).toEqual(isSent ? [true, false] : [false]);
  });

  test.for([["delay"], ["log"]] as const)("is not sent with %s", async ([onExceed]) => {
    const route = { messages: { rate: "500/s", burst: 1, onExceed }, notices };
    const weir = await startLimited({ route });
    const { client, backend } = await weir.open("ann");
    const frames = Array.from({ length: 20 }, () => client.encode({ opcode: text, payload: "x" }));
    await client.write(Buffer.concat(frames));
    await backend.readBytes(Buffer.concat(frames).length);
    await backend.sendText("the end");
    expect(await client.nextText()).toBe("the end");
  });

  test("waits until a fragmented message of the backend is whole; control frames between do not", async () => {
    const weir = await startLimited({ route: { messages, notices } });
    const { client, backend } = await weir.open("ann");
    await backend.sendFrame({ opcode: text, fin: false, payload: "a long " });
    expect(await client.nextFrame()).toMatchObject({ opcode: text, fin: false });
    for (const payload of ["passes", "dropped"]) await client.sendText(payload);
    await untilMetric(weir.adminUrl, 1, limited, drops);
    await backend.sendFrame({ opcode: ping, payload: "between" });
    expect(await client.nextFrame()).toMatchObject({ opcode: ping });
    const last = backend.encode({ opcode: continuation, payload: "message" });
    const next = backend.encode({ opcode: text, payload: "the next one" });
    await backend.write(Buffer.concat([last, next]));
    expect(await client.nextFrame()).toMatchObject({ opcode: continuation, fin: true });
    expect(await client.nextText()).toMatch(isNotice);
    expect(await client.nextText()).toBe("the next one");
  });

  test("waits for the end of the frame that the backend is in the middle of", async () => {
    const weir = await startLimited({ route: { messages, notices } });
    const { client, backend } = await weir.open("ann");
    const frame = backend.encode({ opcode: text, payload: "x".repeat(70_000) });
    await backend.write(frame.subarray(0, 100));
    expect(await client.readBytes(100)).toEqual(frame.subarray(0, 100));
    for (const payload of ["passes", "dropped"]) await client.sendText(payload);
    await untilMetric(weir.adminUrl, 1, limited, drops);
    await backend.write(frame.subarray(100));
    expect(await client.readBytes(frame.length - 100)).toEqual(frame.subarray(100));
    expect(await client.nextText()).toMatch(isNotice);
  });

  test("is not sent behind a Close", async () => {
    const weir = await startLimited({ route: { messages, notices } });
    const { client, backend } = await weir.open("ann");
    await client.sendText("passes");
    await backend.sendClose(1000);
    expect(await client.nextClose()).toMatchObject({ code: 1000 });
    await client.sendText("dropped");
    await untilMetric(weir.adminUrl, 1, limited, drops);
    await client.sendClose(1000);
    expect(await client.readToEnd()).toHaveLength(0);
  });
});
