// The configuration file and the files that it names are taken over soon after a change, however they
// change; what is wrong, half-written, or takes too much away changes nothing.
import { mkdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

import { makeCertificates, openssl } from "../support/certificates.ts";
import { temporaryFolder } from "../support/cleanup.ts";
import { type EchoBackend, startEchoBackend } from "../support/echo-backend.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { isMissing } from "../support/requirement.ts";
import { spawnMain, type SpawnedWeir } from "../support/spawn-weir.ts";
import { until } from "../support/until.ts";
import { expectRefusal, openClient } from "../support/ws-client.ts";

/** What stands in a configuration beside its backends. */
interface Rest {
  /** Top-level keys. */
  readonly more?: string;
  /** Keys of the pool. */
  readonly pool?: string;
  readonly bind?: string;
  readonly reload?: string;
}

/** One pool, in which every connection is on its own, and its file is taken over soon. */
function configOf(backends: readonly EchoBackend[], { more, pool, bind, reload }: Rest = {}): string {
  return `listeners: ["${bind ?? "127.0.0.1:0"}"]
admin: { bind: "127.0.0.1:0" }
threads: 1
timeouts: { ping: off }
reload: { ${reload ?? "settle: 100ms"} }
pools:
  chat:
    affinity: off
    healthCheck: off
    outlier: off
    onRemove: { mode: keep }
    ${pool ?? ""}
    backends: ${JSON.stringify(backends.map(({ id, url }) => ({ id, url })))}
${more ?? ""}
`;
}

/** A backendsFile, a line for each. */
function listOf(backends: readonly EchoBackend[]): string {
  return backends.map(({ id, url }) => `- { id: ${id}, url: "${url}" }\n`).join("");
}

interface Spawned {
  readonly weir: SpawnedWeir;
  readonly folder: string;
  /** `weir.yaml` in the folder. */
  readonly file: string;
}

/** Weir on a file in a folder of its own, with others beside it. */
async function spawnOn(text: string, beside: Readonly<Record<string, string>> = {}): Promise<Spawned> {
  const folder = await temporaryFolder();
  const file = join(folder, "weir.yaml");
  for (const [name, content] of Object.entries(beside)) await writeFile(join(folder, name), content);
  await writeFile(file, text);
  return { weir: await run(file), folder, file };
}

async function run(file: string): Promise<SpawnedWeir> {
  const weir = spawnMain(["run", "--config", file]);
  await weir.untilPrinted(/admin on/);
  return weir;
}

async function startBackends<Ids extends string[]>(...ids: Ids): Promise<{ [K in keyof Ids]: EchoBackend }> {
  const backends = await Promise.all(ids.map((id) => startEchoBackend({ id })));
  return backends as { [K in keyof Ids]: EchoBackend };
}

async function untilReloaded(weir: SpawnedWeir, times: number): Promise<void> {
  await until(`${times} reloads`, () => countOf(weir, "configuration reloaded") >= times).catch(
    (error: unknown) => {
      throw new Error(`${String(error)}\n${weir.stdout}`, { cause: error });
    },
  );
}

function countOf({ stdout }: SpawnedWeir, message: string): number {
  return stdout.split(message).length - 1;
}

/**
 * The backends that so many new connections come to, as each of them answers; they are all open at once. Those
 * that come next find none of them counted.
 */
async function served(weir: SpawnedWeir, connections: number): Promise<string[]> {
  const before = (await scrape(weir.adminUrl)).sum("weir_connections");
  const clients = await Promise.all(Array.from({ length: connections }, () => openClient(weir.url)));
  const ids = await Promise.all(clients.map((client) => client.ask("who")));
  await Promise.all(clients.map((client) => client.close()));
  await untilMetric(weir.adminUrl, before, "weir_connections");
  return ids.toSorted((a, b) => a.localeCompare(b));
}

async function writeAside(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text);
  await rename(`${file}.new`, file);
}

async function writeAnew(file: string, text: string): Promise<void> {
  await rm(file);
  await writeFile(file, text);
}

describe("a backend that is added serves, and open connections go on", () => {
  test.each([
    ["in place", (file: string, text: string) => writeFile(file, text)],
    ["by a rename", writeAside],
    ["by deletion and a new file", writeAnew],
  ])("when the file changes %s", async (_way, change) => {
    const [first, second] = await startBackends("first", "second");
    const { weir, file } = await spawnOn(configOf([first]));
    const client = await openClient(weir.url);
    await change(file, configOf([first, second]));
    await untilReloaded(weir, 1);
    expect(weir.stdout).toContain('"changes":["pools.chat.backends: second added"]');
    expect(await served(weir, 1)).toEqual(["second"]);
    expect(await client.ask("who")).toBe("first");
  });

  test("when Kubernetes swaps its symlink, with a backendsFile beside the file", async () => {
    const [first, second] = await startBackends("first", "second");
    const folder = await temporaryFolder();
    async function layVersion(version: string, backends: readonly EchoBackend[]): Promise<void> {
      await mkdir(join(folder, version));
      await writeFile(join(folder, version, "weir.yaml"), configOf([], { pool: "backendsFile: list.yaml" }));
      await writeFile(join(folder, version, "list.yaml"), listOf(backends));
      await symlink(version, join(folder, "..new"));
      await rename(join(folder, "..new"), join(folder, "..data"));
    }
    await layVersion("..1", [first]);
    for (const name of ["weir.yaml", "list.yaml"]) await symlink(`..data/${name}`, join(folder, name));
    const weir = await run(join(folder, "weir.yaml"));
    expect(await served(weir, 1)).toEqual(["first"]);
    await layVersion("..2", [first, second]);
    await rm(join(folder, "..1"), { recursive: true });
    await untilReloaded(weir, 1);
    expect(await served(weir, 2)).toEqual(["first", "second"]);
  });

  test("when its backendsFile changes, which is JSON as well", async () => {
    const [first, second] = await startBackends("first", "second");
    const { weir, folder } = await spawnOn(configOf([], { pool: "backendsFile: list.json" }), {
      "list.json": JSON.stringify([{ id: "first", url: first.url }]),
    });
    expect(await served(weir, 1)).toEqual(["first"]);
    await writeFile(join(folder, "list.json"), JSON.stringify([{ id: "first", url: first.url }, second.url]));
    await untilReloaded(weir, 1);
    expect(await served(weir, 2)).toEqual(["first", "second"]);
  });
});

describe("nothing changes, and the error is logged with its place, for", () => {
  const wrong: [what: string, change: (text: string) => string, printed: RegExp][] = [
    ["an empty file", () => "", /:1:1: is empty: a configuration needs at least listeners and pools/],
    ["a file that is cut", (text) => text.slice(0, text.lastIndexOf('"')), /:13:\d+: not YAML: /],
    [
      "an unknown key",
      (text) => `${text}treads: 1\n`,
      /:15:1: treads: unknown key \(did you mean threads\?\)/,
    ],
    [
      "an id that is there twice",
      (text) => text.replace('"second"', '"first"'),
      /:13:\d+: pools\.chat\.backends\[1\]\.id: the id \\"first\\" is that of backends\[0\] already/,
    ],
    [
      "a secret that is missing",
      (text) => `${text}pidFile: "\${file:no-such}"\n`,
      /:15:10: pidFile: cannot read \$\{file:no-such\}/,
    ],
    [
      "a new address",
      (text) => text.replace('"127.0.0.1:0"', '"127.0.0.2:0"'),
      /:\d+:\d+: listeners\[0\]\.bind: needs a restart/,
    ],
    [
      "another number of threads",
      (text) => text.replace("threads: 1", "threads: 2"),
      /:\d+:\d+: threads: needs a restart/,
    ],
  ];
  test.each(wrong)("%s", async (_what, change, printed) => {
    const [first, second] = await startBackends("first", "second");
    const { weir, file } = await spawnOn(configOf([first]));
    const text = configOf([first, second]);
    await writeAside(file, change(text));
    await weir.untilPrinted(printed);
    await weir.untilPrinted(/reload failed; nothing was changed/);
    expect(await served(weir, 2)).toEqual(["first", "first"]);
    await writeAside(file, text);
    await untilReloaded(weir, 1);
    expect(await served(weir, 2)).toEqual(["first", "second"]);
  });

  test("a file that is gone, and a list that is gone", async () => {
    const [first, second] = await startBackends("first", "second");
    const text = configOf([first], { pool: "backendsFile: list.yaml" });
    const { weir, file, folder } = await spawnOn(text, { "list.yaml": "[]" });
    await rm(file);
    await weir.untilPrinted(/weir\.yaml:1:1: cannot be read: no such file or directory/);
    await rm(join(folder, "list.yaml"));
    await writeFile(file, text);
    await weir.untilPrinted(/:12:19: pools\.chat\.backendsFile: \S+list\.yaml cannot be read: no such file/);
    expect(await served(weir, 1)).toEqual(["first"]);
    await writeFile(join(folder, "list.yaml"), listOf([second]));
    await untilReloaded(weir, 1);
    expect(await served(weir, 2)).toEqual(["first", "second"]);
  });

  test("an id that the list has from the pool, and an empty list", async () => {
    const [first, second] = await startBackends("first", "second");
    const { weir, folder } = await spawnOn(configOf([first], { pool: "backendsFile: list.yaml" }), {
      "list.yaml": "[]",
    });
    const list = join(folder, "list.yaml");
    await writeAside(list, listOf([second, first]));
    await weir.untilPrinted(
      /list\.yaml:2:9: \[1\]\.id: the id \\"first\\" is that of pools\.chat\.backends\[0\] already/,
    );
    await writeAside(list, "");
    await weir.untilPrinted(/list\.yaml:1:1: is empty: write \[\] for a list without backends/);
    expect(await served(weir, 2)).toEqual(["first", "first"]);
    expect(countOf(weir, "configuration reloaded")).toBe(0);
  });
});

test("a list that is half-written takes no backend away, whether or not it can be read", async () => {
  const backends = await startBackends("a", "b", "c", "d");
  const whole = listOf(backends);
  const { weir, folder } = await spawnOn(configOf([], { pool: "backendsFile: list.yaml" }), {
    "list.yaml": whole,
  });
  const list = join(folder, "list.yaml");
  const lines = whole.split("\n");
  await writeFile(list, `${lines[0]}\n${lines[1]?.slice(0, 20)}`);
  await weir.untilPrinted(/list\.yaml:2:\d+: not YAML: /);
  expect(await served(weir, 4)).toEqual(["a", "b", "c", "d"]);
  await writeFile(list, `${lines[0]}\n`);
  await weir.untilPrinted(/held back.*|"removed":\["chat: 3 of 4"\]/);
  expect(await served(weir, 4)).toEqual(["a", "b", "c", "d"]);
  const [added] = await startBackends("added");
  await writeFile(list, whole + listOf([added]));
  await untilReloaded(weir, 1);
  expect(weir.stdout).toContain('"changes":["pools.chat.backends: added added"]');
  expect(await served(weir, 5)).toEqual(["a", "added", "b", "c", "d"]);
});

test("a change that takes too many backends away waits for SIGHUP", async () => {
  const backends = await startBackends("a", "b", "c");
  const { weir, file } = await spawnOn(configOf(backends));
  await writeAside(file, configOf(backends.slice(0, 1), { more: "limits: { maxDelay: 1s }" }));
  const [line = ""] = await weir.untilPrinted(/^.*held back.*$/m);
  expect(JSON.parse(line)).toMatchObject({
    level: "warn",
    msg: "change held back, as it removes too many backends; SIGHUP or POST /api/reload applies it",
    removed: ["chat: 2 of 3"],
    maxRemoved: "50%",
  });
  expect(await served(weir, 3)).toEqual(["a", "b", "c"]);
  weir.signal("SIGHUP");
  await untilReloaded(weir, 1);
  expect(weir.stdout).toContain(
    '"changes":["limits.maxDelay: 10s → 1s","pools.chat.backends: b, c removed"]',
  );
  expect(await served(weir, 2)).toEqual(["a", "a"]);
});

test("reload.watch: off leaves a changed file alone until SIGHUP", async () => {
  const [first, second] = await startBackends("first", "second");
  const { weir, file } = await spawnOn(configOf([first], { reload: "watch: off, settle: 10ms" }));
  const watching = await spawnOn(configOf([first], { reload: "settle: 10ms" }));
  for (const path of [file, watching.file]) await writeAside(path, configOf([first, second]));
  await untilReloaded(watching.weir, 1);
  expect(countOf(weir, "configuration reloaded")).toBe(0);
  weir.signal("SIGHUP");
  await untilReloaded(weir, 1);
  expect(await served(weir, 2)).toEqual(["first", "second"]);
});

test("a secret in a file of its own is taken over, and printed nowhere", async () => {
  const [first] = await startBackends("first");
  const more = 'routes: [{ pool: chat, headers: { set: { x-secret: "${file:secret}" } } }]';
  const { weir, folder } = await spawnOn(configOf([first], { more }), { secret: "hunter1\n" });
  await served(weir, 1);
  await writeAside(join(folder, "secret"), "hunter2\n");
  await untilReloaded(weir, 1);
  await served(weir, 1);
  expect(first.upgrades.map(({ headers }) => headers["x-secret"])).toEqual(["hunter1", "hunter2"]);
  expect(weir.stdout).toContain(String.raw`"changes":["routes[\"*/*\"].headers.set.x-secret: changed"]`);
  expect(weir.stdout + weir.stderr).not.toMatch(/hunter\d/);
});

test.skipIf(isMissing(openssl))("a CA that is replaced is taken over, though no key changes", async () => {
  const [wrong, right] = await Promise.all([makeCertificates(), makeCertificates()]);
  const backend = await startEchoBackend({ id: "secure", tls: right });
  const folder = await temporaryFolder();
  const [file, ca] = [join(folder, "weir.yaml"), join(folder, "ca.crt")];
  await writeFile(ca, wrong.ca);
  const plain = configOf([]).replace(
    "backends: []",
    `backends: [{ url: "${backend.url}", tls: { ca: ca.crt } }]`,
  );
  await writeFile(file, plain);
  const weir = await run(file);
  expect((await expectRefusal(weir.url)).status).toBe(502);
  await writeAside(ca, await readFile(right.files.ca, "utf8"));
  await untilReloaded(weir, 1);
  expect(weir.stdout).toContain('"changes":[]');
  expect(await served(weir, 1)).toEqual(["secure"]);
});

test("many changes one upon the other end with the last of them", async () => {
  const [first, second] = await startBackends("first", "second");
  const { weir, file } = await spawnOn(configOf([first], { reload: "settle: 10ms" }));
  for (let round = 0; round < 20; round++) {
    await writeAside(file, configOf([first], { more: `limits: { maxDelay: ${round + 1}s }` }));
    if (round % 5 === 0) weir.signal("SIGHUP");
  }
  await writeAside(file, configOf([first, second], { more: "limits: { maxDelay: 1m }" }));
  await weir.untilPrinted(/limits\.maxDelay: \S+ → 1m/);
  await until("both backends serve", async () => (await served(weir, 2)).join() === "first,second");
  expect(countOf(weir, "reload failed")).toBe(0);
});
