// Weir in a program of one's own: `start` with plain data. Its configuration does not change by itself, but
// the files that it names do.
import { writeFile } from "node:fs/promises";
import { expect, test } from "vitest";

import { start, type Weir } from "../../src/weir.ts";
import { onCleanup } from "../support/cleanup.ts";
import { type EchoBackend, startEchoBackend } from "../support/echo-backend.ts";
import { scrape } from "../support/metrics.ts";
import { recordingLog } from "../support/recording-log.ts";
import { writeConfig } from "../support/spawn-weir.ts";
import { toWebSocketUrl } from "../support/start-weir.ts";
import { until, untilEqual } from "../support/until.ts";
import { openClient } from "../support/ws-client.ts";

interface Library {
  readonly weir: Weir;
  readonly lines: string[];
}

function configOf(backendsFile: string): unknown {
  return {
    listeners: ["127.0.0.1:0"],
    admin: { bind: "127.0.0.1:0" },
    threads: 1,
    timeouts: { ping: "off" },
    reload: { settle: "50ms", maxRemoved: "100%" },
    pools: { chat: { affinity: "off", healthCheck: "off", backendsFile } },
  };
}

async function startLibrary(config: unknown): Promise<Library> {
  const lines: string[] = [];
  const log = recordingLog((level, message, fields) => {
    lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
  });
  const weir = await start(config, { log });
  onCleanup("the library's Weir", () => weir.close());
  return { weir, lines };
}

function listOf({ id, url }: EchoBackend): string {
  return JSON.stringify([{ id, url }]);
}

/** The backend that a new connection comes to. */
async function servedBy({ addresses }: Weir): Promise<string> {
  const client = await openClient(toWebSocketUrl(addresses.listeners[0] ?? ""));
  await client.close();
  return client.backendId;
}

async function untilServedBy(library: Library, { id }: EchoBackend): Promise<void> {
  await until(`${id} serves`, async () => (await servedBy(library.weir)) === id).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${library.lines.join("\n")}`, { cause: error });
  });
}

test("a backendsFile that it names is taken over when it changes, also after a reload that names another", async () => {
  const [a, b, c] = await Promise.all(["a", "b", "c"].map((id) => startEchoBackend({ id })));
  if (a === undefined || b === undefined || c === undefined) throw new Error("there are three");
  const first = await writeConfig(listOf(a), "first.json");
  const library = await startLibrary(configOf(first));
  expect(await servedBy(library.weir)).toBe("a");
  await writeFile(first, listOf(b));
  await untilServedBy(library, b);

  const second = await writeConfig(listOf(c), "second.json");
  await library.weir.reload(configOf(second));
  expect(await servedBy(library.weir)).toBe("c");
  await writeFile(first, listOf(b));
  await writeFile(second, listOf(a));
  await untilServedBy(library, a);
});

test("what a reload replaces is not brought back by one of what was there before it, asked for meanwhile", async () => {
  const [a, b] = await Promise.all(["a", "b"].map((id) => startEchoBackend({ id })));
  if (a === undefined || b === undefined) throw new Error("there are two");
  const files = [await writeConfig(listOf(a), "a.json"), await writeConfig(listOf(b), "b.json")];
  const [first, second] = files.map(configOf);
  const { weir } = await startLibrary(first);
  // So many that the question comes in the middle of them.
  const before = Array.from({ length: 50 }, () => weir.reload(first));
  const last = weir.reload(second);
  const asked = await fetch(`${weir.addresses.admin}/api/reload`, { method: "POST" });
  expect(asked.status).toBe(200);
  await Promise.all([...before, last]);
  expect(await servedBy(weir)).toBe("b");
});

test("a list that is not valid changes nothing, and shows in the metrics until it is", async () => {
  const [a, b] = await Promise.all(["a", "b"].map((id) => startEchoBackend({ id })));
  if (a === undefined || b === undefined) throw new Error("there are two");
  const file = await writeConfig(listOf(a), "backends.json");
  const library = await startLibrary(configOf(file));
  await writeFile(file, '[{ "id": "b", "urll": "ws://b" }]');
  await until("the error is logged", () => library.lines.some((line) => line.includes("did you mean url?")));
  const adminUrl = library.weir.addresses.admin ?? "";
  const isGood = async () => (await scrape(adminUrl)).sum("weir_config_last_reload_successful");
  expect(await isGood()).toBe(0);
  expect(await servedBy(library.weir)).toBe("a");
  await writeFile(file, listOf(b));
  await untilServedBy(library, b);
  // New clients come to it before the reload has ended.
  await untilEqual("the last reload was successful", 1, isGood);
  await expect(library.weir.reload({ listeners: 1 })).rejects.toThrow("listeners");
  expect(await isGood()).toBe(0);
});
