// A message counts once, however many fragments it has. A client that sends one in endless tiny fragments gains
// nothing by it: its bytes are read one chunk at a time, so that memory stays bounded and others go on.
import { expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { encodeFrame, opcodes } from "../support/frames.ts";
import { limitedConfig } from "../support/limited.ts";
import { scrape } from "../support/metrics.ts";
import { openRaw } from "../support/raw-client.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { accept, startScriptedBackend } from "../support/scripted-backend.ts";
import { spawnWeir } from "../support/spawn-weir.ts";
import { openClient } from "../support/ws-client.ts";

const MIB = 1024 * 1024;
const BLOCKS = 64;
const MAX_GROWTH_BYTES = 48 * MIB;

/** A masking key of zeros leaves the payload as it is. */
const maskingKey = Buffer.alloc(4);

const empty = encodeFrame({ opcode: opcodes.continuation, fin: false, maskingKey });
const ofOneByte = encodeFrame({ opcode: opcodes.continuation, fin: false, payload: "x", maskingKey });

test.for([
  ["empty fragments that pass", empty, { rate: "1/h", burst: 1 }],
  ["fragments of one byte that pass", ofOneByte, { rate: "1/h", burst: 1 }],
  ["empty fragments of a message that is dropped", empty, { rate: "1/h", burst: 1, onExceed: "drop" }],
] as const)(
  "a flood of %s costs no memory, no second token and nobody else's messages",
  async ([, fragment, messages]) => {
    const flooded = await startScriptedBackend(accept());
    const echo = await startEchoBackend();
    const routes = [{ match: { path: "/flood" }, pool: "flooded", messages }, { pool: "chat" }];
    const pools = {
      flooded: { healthCheck: "off", backends: [flooded.url] },
      chat: { healthCheck: "off", backends: [echo.url] },
    };
    const weir = await spawnWeir(JSON.stringify(limitedConfig([], { config: { routes, pools } })));
    const residentBytes = async (): Promise<number> =>
      (await scrape(weir.adminUrl)).sum("process_resident_memory_bytes");
    const other = await openClient(weir.url);
    const { connection } = await openRaw(`${weir.url}/flood`);
    const backend = await flooded.connection(0);
    const isDropped = "onExceed" in messages;
    if (isDropped) {
      await connection.sendText("the only token");
      await backend.nextText();
    }
    backend.discardFromNowOn();
    const receivedBefore = backend.receivedBytes;
    expect(await other.ask("before")).toBe("before");
    const before = await residentBytes();

    await connection.sendFrame({ opcode: opcodes.binary, fin: false });
    expect(await talkUntil(flood(connection, fragment), other)).toBeGreaterThan(0);
    const ping = connection.encode({ opcode: opcodes.ping, payload: "the end" });
    await connection.write(ping);
    const first = encodeFrame({ opcode: opcodes.binary, fin: false, maskingKey });
    const passed = isDropped ? 0 : first.length + BLOCKS * blockOf(fragment).length;
    await backend.untilReceivedBytes(receivedBefore + passed + ping.length);
    expect(backend.receivedBytes - receivedBefore).toBe(passed + ping.length);
    expect((await residentBytes()) - before).toBeLessThan(MAX_GROWTH_BYTES);
    const metrics = await scrape(weir.adminUrl);
    expect(metrics.sum("weir_messages_limited_total")).toBe(isDropped ? 1 : 0);
    expect(metrics.sum("weir_messages_total", { pool: "flooded" })).toBe(1);
    expect(metrics.sum("weir_closes_total")).toBe(0);
  },
);

/** As many whole fragments as 1 MiB holds. */
function blockOf(fragment: Buffer): Buffer {
  return Buffer.alloc(Math.floor(MIB / fragment.length) * fragment.length, fragment);
}

/** In blocks of 1 MiB, each once the kernel has taken the one before. */
async function flood(connection: RawConnection, fragment: Buffer): Promise<void> {
  const block = blockOf(fragment);
  for (let i = 0; i < BLOCKS; i++) await connection.write(block);
}

/** How many messages of another client were answered meanwhile. */
async function talkUntil(
  end: Promise<void>,
  client: Awaited<ReturnType<typeof openClient>>,
): Promise<number> {
  const over = new AbortController();
  const ended = end.finally(() => over.abort());
  let answers = 0;
  for (; !over.signal.aborted; answers += 1)
    expect(await client.ask(`hello ${answers}`)).toBe(`hello ${answers}`);
  await ended;
  return answers;
}
