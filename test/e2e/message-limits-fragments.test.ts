// A sender that fragments its messages, with `ws` on both sides: its connection survives messages that are
// delayed and messages that are dropped, compressed or not, with a ping between the fragments.
import { describe, expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { type Limits, limitedConfig } from "../support/limited.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { startWeir, type StartedWeir } from "../support/start-weir.ts";
import { openClient, type WsClient } from "../support/ws-client.ts";

const limited = "weir_messages_limited_total";
const FRAGMENTS = 5;

describe.for([
  ["compressed", { threshold: 0 }],
  ["plain", false],
] as const)("fragmented messages, %s,", ([, perMessageDeflate]) => {
  test("all arrive where they are delayed, and a ping between the fragments of each is answered", async () => {
    const { weir, client } = await start({ tier: { messages: { rate: "200/s", burst: 2 } } });
    const pongs = countPongs(client);
    const texts = textsOf("delayed", 60);
    for (const text of texts) sendInFragments(client, text);
    for (const text of texts) expect(await client.nextText()).toBe(text);
    expect((await scrape(weir.adminUrl)).sum(limited, { action: "delay" })).toBeGreaterThan(0);
    expect(pongs()).toBe(60);
    expect(client.socket.readyState).toBe(client.socket.OPEN);
  });

  test("vanish whole where they are dropped; a ping between their fragments, and what comes later, does not", async () => {
    const dropping = { tier: { messages: { rate: "1/h", burst: 5 } }, limits: { onExceed: "drop" } };
    const { weir, client, reload } = await start(dropping);
    const pongs = countPongs(client);
    const texts = textsOf("limited", 30);
    for (const text of texts) sendInFragments(client, text);
    await untilMetric(weir.adminUrl, 25, limited, { action: "drop" });
    await reload({});
    const laterTexts = textsOf("later", 30);
    for (const text of laterTexts) sendInFragments(client, text);
    for (const text of [...texts.slice(0, 5), ...laterTexts]) expect(await client.nextText()).toBe(text);
    expect(pongs()).toBe(60);
    expect(client.socket.readyState).toBe(client.socket.OPEN);
  });

  async function start(options: Limits): Promise<Started> {
    const backend = await startEchoBackend({ ws: { perMessageDeflate } });
    const configOf = (limits: Limits) => limitedConfig([backend.url], limits);
    const weir = await startWeir(JSON.stringify(configOf(options)));
    const client = await openClient(weir.url, { perMessageDeflate });
    expect(client.socket.extensions).toBe(perMessageDeflate === false ? "" : "permessage-deflate");
    return { weir, client, reload: (limits) => weir.weir.reload(configOf(limits)) };
  }
});

interface Started {
  readonly weir: StartedWeir;
  readonly client: WsClient;
  readonly reload: (options: Limits) => Promise<void>;
}

/** Much the same text each time: a compressor with a memory would refer to the one before. */
function textsOf(name: string, count: number): string[] {
  const fox = "the quick brown fox jumps over the lazy dog ".repeat(20);
  return Array.from({ length: count }, (_, i) => `${name} ${i}: ${fox}${i}`);
}

function sendInFragments({ socket }: WsClient, text: string): void {
  const length = Math.ceil(text.length / FRAGMENTS);
  for (let i = 0; i < FRAGMENTS; i++) {
    // One a message: `ws` ends a connection that owes it many pongs at once.
    if (i === 2) socket.ping();
    socket.send(text.slice(i * length, (i + 1) * length), { fin: i === FRAGMENTS - 1 });
  }
}

function countPongs({ socket }: WsClient): () => number {
  let count = 0;
  socket.on("pong", () => (count += 1));
  return () => count;
}
