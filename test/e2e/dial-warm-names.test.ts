// Warm sockets to a name with several addresses: they follow what the grants say of it. Run on real
// sockets without a Weir, since what a name resolves to is not a test's to say.
import { expect, test } from "vitest";

import { parseConfig } from "../../src/config/load.ts";
import { DialTargets } from "../../src/data-plane/dial-targets.ts";
import { WarmPlaces } from "../../src/data-plane/warm-places.ts";
import { onCleanup } from "../support/cleanup.ts";
import { type ScriptedBackend, startScriptedBackend } from "../support/scripted-backend.ts";
import { until } from "../support/until.ts";

/** A backend at these addresses, all with the same port. */
async function startAt(first: string, ...others: string[]): Promise<ScriptedBackend[]> {
  const backend = await startScriptedBackend(() => {}, { host: first });
  const port = Number(new URL(backend.url).port);
  return [
    backend,
    ...(await Promise.all(others.map((host) => startScriptedBackend(() => {}, { host, port })))),
  ];
}

interface KeptWarm {
  readonly places: WarmPlaces;
  readonly clock: { nowMs: number };
}

/** Keeps two sockets warm to the name, at the port of that backend. */
function keepWarm(name: string, { url }: ScriptedBackend, resolve: "first" | "all"): KeptWarm {
  const backend = { id: "b", url: `ws://${name}:${new URL(url).port}`, resolve };
  const loaded = parseConfig({ listeners: ["127.0.0.1:0"], pools: { chat: { backends: [backend] } } });
  if (!loaded.ok) throw new Error(loaded.errors.map(({ message }) => message).join("; "));
  const targets = new DialTargets();
  targets.configure(loaded.config.pools);
  const target = targets.find("chat", "b");
  if (target === undefined) throw new Error("no such target");
  const clock = { nowMs: 0 };
  const places = new WarmPlaces(target, () => clock.nowMs);
  places.keep(2, 0);
  onCleanup("the warm sockets", () => places.keep(0, 0));
  return { places, clock };
}

function openSockets({ connections }: ScriptedBackend): number {
  return connections.filter(({ socket, peerState }) => !socket.destroyed && peerState === "open").length;
}

async function untilOpen(backend: ScriptedBackend | undefined, count: number): Promise<void> {
  await until(`${count} open sockets`, () => backend !== undefined && openSockets(backend) === count);
}

test("with resolve: first, sockets are kept ahead of the first grant, and move with the name", async () => {
  const [one, two] = await startAt("127.0.0.1", "127.0.0.2");
  if (one === undefined || two === undefined) throw new Error("no backends");
  const { places } = keepWarm("localhost", one, "first");
  await untilOpen(one, 2);
  const taken = places.take(["127.0.0.1", "127.0.0.2"]);
  expect(taken?.remoteAddress).toBe("127.0.0.1");
  taken?.destroy();
  expect(places.take(["127.0.0.2"])).toBeNull();
  await untilOpen(one, 0);
  await untilOpen(two, 2);
});

test("with resolve: all, each address is kept warm by itself from its first grant on", async () => {
  const [one, two] = await startAt("127.0.0.1", "127.0.0.2");
  if (one === undefined || two === undefined) throw new Error("no backends");
  const { places } = keepWarm("name.invalid", one, "all");
  expect(places.take(["127.0.0.1"])).toBeNull();
  await untilOpen(one, 2);
  expect(two.connections).toEqual([]);
  expect(places.take(["127.0.0.2"])).toBeNull();
  await untilOpen(two, 2);
  const taken = places.take(["127.0.0.2"]);
  expect(taken?.remoteAddress).toBe("127.0.0.2");
  taken?.destroy();
  expect(one.connections).toHaveLength(2);
});

test("with resolve: all, an address that no grant names any more is forgotten", async () => {
  const [one, two] = await startAt("127.0.0.1", "127.0.0.2");
  if (one === undefined || two === undefined) throw new Error("no backends");
  const { places, clock } = keepWarm("name.invalid", one, "all");
  places.take(["127.0.0.1"]);
  places.take(["127.0.0.2"]);
  await untilOpen(one, 2);
  await untilOpen(two, 2);
  clock.nowMs = 200_000;
  places.take(["127.0.0.1"])?.destroy();
  clock.nowMs = 400_000;
  places.take(["127.0.0.1"])?.destroy();
  await untilOpen(two, 0);
  await untilOpen(one, 2);
  expect(two.connections).toHaveLength(2);
});
