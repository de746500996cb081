// A reader that is slower than its peer: the peer is held back, and Weir's memory does not grow with
// the message.
import { createHash } from "node:crypto";
import { expect, test } from "vitest";

import { encodeFrame, opcodes } from "../support/frames.ts";
import { scrape } from "../support/metrics.ts";
import { openRaw } from "../support/raw-client.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { relayYaml } from "../support/relay.ts";
import { accept, startScriptedBackend } from "../support/scripted-backend.ts";
import { spawnWeir } from "../support/spawn-weir.ts";
import { until } from "../support/until.ts";

const MIB = 1024 * 1024;
const BLOCKS = 256;
/** Of the whole process. While the bytes run, the garbage collector may be late. */
const MAX_GROWTH_BYTES = { held: 32 * MIB, passed: 128 * MIB };

/** Sent over and over, so that the message needs no memory of its own here. */
const block = Buffer.alloc(MIB, "each block of the message holds the same bytes; ");

/** A masking key of zeros leaves the payload as it is. */
const noMask = Buffer.alloc(4);

test.for(["to the backend", "to the client"] as const)(
  "a message of 256 MiB %s waits for a reader that pauses, in bounded memory, and arrives whole",
  async (direction) => {
    const server = await startScriptedBackend(accept());
    const weir = await spawnWeir(relayYaml([server.url]));
    const { connection: client } = await openRaw(weir.url);
    const backend = await server.connection(0);
    const isUp = direction === "to the backend";
    const [sender, reader] = isUp ? [client, backend] : [backend, client];
    const residentBytes = async (): Promise<number> =>
      (await scrape(weir.adminUrl)).sum("process_resident_memory_bytes");
    const before = await residentBytes();

    const masking = isUp ? { maskingKey: noMask } : {};
    const header = encodeFrame({ opcode: opcodes.binary, declaredLength: BLOCKS * MIB, ...masking });
    const behind = encodeFrame({ opcode: opcodes.text, payload: "behind it", ...masking });
    const received = hashOfNext(reader, header.length + BLOCKS * MIB + behind.length);
    reader.pause();
    await sender.write(header);
    const progress = { blocks: 0 };
    const sent = sendBlocks(sender, progress);
    await untilHeldBack(progress);
    expect(progress.blocks).toBeLessThan(BLOCKS / 2);
    expect((await residentBytes()) - before).toBeLessThan(MAX_GROWTH_BYTES.held);

    reader.resume();
    await sent;
    await sender.write(behind);
    expect(await received).toBe(expectedHash(header, behind));
    expect((await residentBytes()) - before).toBeLessThan(MAX_GROWTH_BYTES.passed);
    await reader.sendText("got it");
    expect(await sender.nextText()).toBe("got it");
  },
);

async function sendBlocks(sender: RawConnection, progress: { blocks: number }): Promise<void> {
  for (; progress.blocks < BLOCKS; progress.blocks++) await sender.write(block);
}

/** Nothing more was taken for a while. Taken for held back too early, the test is weaker, but not wrong. */
async function untilHeldBack(progress: { readonly blocks: number }): Promise<void> {
  let last = -1;
  let unchanged = 0;
  await until("the sender is held back", () => {
    unchanged = progress.blocks === last ? unchanged + 1 : 0;
    last = progress.blocks;
    return unchanged === 20;
  });
}

/** The hash of the next `count` bytes, which are not kept. */
function hashOfNext(reader: RawConnection, count: number): Promise<string> {
  const hash = createHash("sha1");
  const { promise, resolve } = Promise.withResolvers<string>();
  let left = count;
  reader.discardFromNowOn();
  reader.socket.on("data", (chunk: Buffer) => {
    hash.update(chunk);
    left -= chunk.length;
    if (left === 0) resolve(hash.digest("hex"));
  });
  return promise;
}

function expectedHash(header: Buffer, behind: Buffer): string {
  const hash = createHash("sha1").update(header);
  for (let i = 0; i < BLOCKS; i++) hash.update(block);
  return hash.update(behind).digest("hex");
}
