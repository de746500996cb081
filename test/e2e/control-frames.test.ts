// limits.controlFrames: pings, pongs and Closes are no messages, but a flood of them ends the connection.
import { describe, expect, test } from "vitest";

import { opcodes } from "../support/frames.ts";
import { startLimited } from "../support/limited.ts";
import { untilMetric } from "../support/metrics.ts";

const { ping, pong, text } = opcodes;
const flood = { code: 1008, reason: "control frame flood" };

describe("control frames above their limit", () => {
  test.for([
    ["pings", ping],
    ["pongs that nobody asked for", pong],
  ] as const)("end the connection with 1008: %s, with the limit that is the default", async ([, opcode]) => {
    const weir = await startLimited({});
    const { client, backend } = await weir.open("ann");
    const frames = Array.from({ length: 50_000 }, () => client.encode({ opcode, payload: "x" }));
    client.socket.write(Buffer.concat(frames));
    expect(await client.nextClose()).toEqual(flood);
    await client.sendClose(1008);
    await untilClose(backend);
    client.socket.destroy();
    backend.socket.destroy();
    const ended = { reason: "control_flood", by: "weir", code: "1008" };
    await untilMetric(weir.adminUrl, 1, "weir_closes_total", ended);
    await untilMetric(weir.adminUrl, 0, "weir_messages_total", { direction: "client_to_backend" });
  });

  test("are counted for each connection by itself", async () => {
    const weir = await startLimited({ limits: { controlFrames: { rate: "1/h", burst: 3 } } });
    const [one, other] = [await weir.open("ann"), await weir.open("ann")];
    for (let i = 0; i < 3; i++) {
      for (const { client, backend } of [one, other]) {
        await client.sendFrame({ opcode: ping, payload: `${i}` });
        expect((await backend.nextFrame()).payload.toString()).toBe(`${i}`);
      }
    }
    await one.client.sendFrame({ opcode: ping });
    expect(await one.client.nextClose()).toEqual(flood);
    await other.client.sendText("still here");
    expect(await other.backend.nextText()).toBe("still here");
  });

  test("cost no message's token, nor does a message cost theirs", async () => {
    const weir = await startLimited({
      tier: { messages: { rate: "1/h", burst: 5 } },
      limits: { onExceed: "drop", controlFrames: { rate: "1/h", burst: 5 } },
    });
    const { client, backend } = await weir.open("ann");
    for (let i = 0; i < 5; i++) {
      await client.sendFrame({ opcode: ping });
      await client.sendFrame({ opcode: text, payload: `${i}` });
      expect(await backend.nextFrame()).toMatchObject({ opcode: ping });
      expect(await backend.nextText()).toBe(`${i}`);
    }
    await client.sendText("dropped");
    await untilMetric(weir.adminUrl, 1, "weir_messages_limited_total", { action: "drop" });
    await client.sendFrame({ opcode: pong });
    expect(await client.nextClose()).toEqual(flood);
  });

  test("of the backend are its own business", async () => {
    const weir = await startLimited({ limits: { controlFrames: { rate: "1/h", burst: 3 } } });
    const { client, backend } = await weir.open("ann");
    const bytes = Buffer.concat(Array.from({ length: 500 }, () => backend.encode({ opcode: ping })));
    await backend.write(bytes);
    expect(await client.readBytes(bytes.length)).toEqual(bytes);
  });

  test("are not limited where it is off", async () => {
    const weir = await startLimited({ limits: { controlFrames: "off" } });
    const { client, backend } = await weir.open("ann");
    const bytes = Buffer.concat(Array.from({ length: 20_000 }, () => client.encode({ opcode: ping })));
    client.socket.write(bytes);
    expect(await backend.readBytes(bytes.length)).toEqual(bytes);
  });
});

async function untilClose(backend: { nextFrame(): Promise<{ opcode: number }> }): Promise<void> {
  while ((await backend.nextFrame()).opcode !== opcodes.close);
}
