// When a file is reloaded and what comes of it, with a Weir that only remembers what it was given.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { compareConfigs } from "../../src/config/changes.ts";
import { formatProblem, loadConfig, loadConfigFile } from "../../src/config/load.ts";
import type { LoadOrder, Reading } from "../../src/config/loader.ts";
import type { Config } from "../../src/config/schema.ts";
import { veil, type VeiledConfig } from "../../src/config/veil.ts";
import { type Reloadable, Reloader, type ReloadResult } from "../../src/reloader.ts";
import { onCleanup, temporaryFolder } from "../support/cleanup.ts";
import { recordingLog } from "../support/recording-log.ts";
import { until } from "../support/until.ts";

/** Remembers what it was given; refuses where it is told to. */
class FakeWeir implements Reloadable {
  readonly applied: Config[] = [];
  config: Config;
  refusal: string | null = null;

  constructor(config: Config) {
    this.config = config;
  }

  verify(): void {
    if (this.refusal !== null) throw new Error(this.refusal);
  }

  async apply(config: Config): Promise<void> {
    this.verify();
    this.applied.push(config);
    this.config = config;
  }
}

interface Running {
  readonly file: string;
  readonly weir: FakeWeir;
  readonly reloader: Reloader;
  /** `level message fields`, in order. */
  readonly lines: string[];
  /** Called at each load, before and after the file is read. */
  onLoad: (moment: "before" | "after") => void | Promise<void>;
  loads: number;
  write(text: string): void;
  begin(): void;
}

const MORE = "timeouts: { http: 1m }";

/** A pool with as many backends, and what follows. The file is watched with a short settle time. */
function yaml(backends: number, more = "", reload = "settle: 20ms"): string {
  const urls = Array.from({ length: backends }, (_, index) => `"ws://a:${index + 1}"`);
  return `listeners: [":8080"]\npools: { chat: { backends: [${urls.join(", ")}] } }\nreload: { ${reload} }\n${more}\n`;
}

/** Written at once, with nothing of this process between the first byte and the last. */
async function startReloader(text: string): Promise<Running> {
  const file = join(await temporaryFolder(), "weir.yaml");
  writeFileSync(file, text);
  const loaded = loadConfigFile(file, {}, "run");
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.errors));
  const lines: string[] = [];
  const log = recordingLog((level, message, fields) =>
    lines.push(`${level} ${message} ${JSON.stringify(fields)}`),
  );
  async function load(order: LoadOrder): Promise<Reading> {
    running.loads += 1;
    await running.onLoad("before");
    const next = loadConfigFile(order.file, order.env, "run");
    await running.onLoad("after");
    return next.ok ? { ...next, comparison: compareConfigs(order.running, next.config) } : next;
  }
  const weir = new FakeWeir(loaded.config);
  const reloader = new Reloader({
    file,
    env: {},
    log,
    loader: {
      load,
      compare: async ({ given, running: now }) => compareConfigs(veil(now, given.salt).config, given.config),
      prepare: () => {},
      dismiss: () => {},
    },
  });
  onCleanup("the reloader", () => reloader.close());
  const running: Running = {
    file,
    weir,
    reloader,
    lines,
    onLoad: () => {},
    loads: 0,
    write: (next) => writeFileSync(file, next),
    begin: () => reloader.begin(weir, loaded.files),
  };
  return running;
}

async function startBegun(text: string): Promise<Running> {
  const running = await startReloader(text);
  running.begin();
  return running;
}

function errorsOf(result: ReloadResult): string[] {
  return result.ok ? [] : result.errors.map((problem) => formatProblem(problem));
}

/** Waits until as many configurations have been applied. */
async function untilApplied({ weir, lines }: Running, times: number): Promise<void> {
  await until(`${times} configurations applied, ${lines.join("\n")}`, () => weir.applied.length >= times);
}

async function untilLogged({ lines }: Running, part: string): Promise<string> {
  return until(`a line with ${part}`, () => lines.find((line) => line.includes(part)));
}

describe("a reload that is asked for", () => {
  test("is applied, logged with its changes, and the last one", async () => {
    const running = await startBegun(yaml(2));
    const { weir, reloader, lines } = running;
    running.write(yaml(1, MORE));
    const changes = [
      { path: "pools.chat.backends", what: "a:2 removed" },
      { path: "timeouts.http", what: "2m → 1m" },
    ];
    expect(await reloader.reload()).toEqual({ ok: true, changes, warnings: [] });
    expect(weir.applied).toHaveLength(1);
    expect(weir.config.timeouts.http).toBe(60_000);
    expect(reloader.lastReload.successful).toBe(true);
    expect(lines).toEqual([
      'info configuration reloaded {"changes":["pools.chat.backends: a:2 removed","timeouts.http: 2m → 1m"]}',
    ]);
  });

  test("takes away as much as it likes", async () => {
    const running = await startBegun(yaml(4));
    running.write(yaml(1));
    expect(await running.reloader.reload()).toMatchObject({ ok: true });
  });

  test("changes nothing where the file is wrong, and logs line and column", async () => {
    const running = await startBegun(yaml(2));
    const { weir, reloader, lines, file } = running;
    running.write(yaml(2, "treads: 2\nlog: { level: loud }"));
    const result = await reloader.reload();
    const [first = "", second = ""] = errorsOf(result);
    expect(first).toBe(`${file}:4:1: treads: unknown key (did you mean threads?)`);
    expect(second).toMatch(/:5:15: log\.level: "loud" is not one of/);
    expect(weir.applied).toEqual([]);
    expect(reloader.lastReload.successful).toBe(false);
    expect(lines).toEqual([
      `error ${first} {}`,
      `error ${second} {}`,
      'error reload failed; nothing was changed {"errors":2}',
    ]);
    running.write(yaml(2));
    expect(await reloader.reload()).toMatchObject({ ok: true, changes: [] });
    expect(reloader.lastReload.successful).toBe(true);
  });

  test("changes nothing where a key needs a restart", async () => {
    const running = await startBegun(yaml(2));
    running.write(yaml(2, "threads: 7").replace(":8080", ":8081"));
    expect(errorsOf(await running.reloader.reload())).toEqual([
      `${running.file}:1:13: listeners[0].bind: needs a restart`,
      `${running.file}:4:10: threads: needs a restart`,
    ]);
    running.write(`${yaml(2)}admin: { bind: "127.0.0.1:1" }`.replace('[":8080"]', '[":8080", ":2"]'));
    expect(errorsOf(await running.reloader.reload())).toEqual([
      `${running.file}:1:12: listeners: needs a restart`,
      `${running.file}:5:16: admin.bind: needs a restart`,
    ]);
    expect(running.weir.applied).toEqual([]);
  });

  test("has failed where Weir cannot take the configuration", async () => {
    const running = await startBegun(yaml(2));
    running.weir.refusal = "backend b: tls: no such file";
    expect(errorsOf(await running.reloader.reload())).toEqual([
      `${running.file}: backend b: tls: no such file`,
    ]);
    expect(running.reloader.lastReload.successful).toBe(false);
    expect(running.lines.at(-1)).toContain("reload failed");
  });

  test("has failed where the file cannot even be loaded", async () => {
    const running = await startBegun(yaml(2));
    running.onLoad = () => {
      throw new Error("out of memory");
    };
    expect(errorsOf(await running.reloader.reload())).toEqual([`${running.file}: out of memory`]);
  });

  test("warns of what is not an error", async () => {
    const running = await startBegun(yaml(2));
    running.write(yaml(2, "shutdown: { timeout: 1s }"));
    const result = await running.reloader.reload();
    expect(result).toMatchObject({ ok: true, warnings: [{ line: 4, path: "shutdown.timeout" }] });
    expect(running.lines[0]).toMatch(/^warn .*weir\.yaml:4:22: warning: shutdown\.timeout: /);
  });
});

describe("reloads come one after the other", () => {
  test("none before Weir has started", async () => {
    const running = await startReloader(yaml(2));
    running.write(yaml(2, MORE));
    const result = running.reloader.reload();
    expect(running.loads).toBe(0);
    running.begin();
    expect(await result).toMatchObject({ ok: true, changes: [{ path: "timeouts.http" }] });
  });

  test("what is asked for during one is one more afterwards", async () => {
    const running = await startBegun(yaml(2));
    const gate = Promise.withResolvers<void>();
    running.onLoad = () => gate.promise;
    const first = running.reloader.reload();
    await until("the first load", () => running.loads === 1);
    running.write(yaml(2, MORE));
    const others = [running.reloader.reload(), running.reloader.reload(), running.reloader.reload()];
    gate.resolve();
    const [second, third, fourth] = await Promise.all(others);
    expect((await first).ok).toBe(true);
    expect(second).toBe(third);
    expect(third).toBe(fourth);
    expect([running.loads, running.weir.applied.length]).toEqual([2, 2]);
    expect(running.weir.config.timeouts.http).toBe(60_000);
  });

  test("nothing is applied once it is closed", async () => {
    const running = await startBegun(yaml(2));
    running.onLoad = () => running.reloader.close();
    running.write(yaml(2, MORE));
    expect((await running.reloader.reload()).ok).toBe(false);
    expect(running.weir.applied).toEqual([]);
  });
});

describe("a dry run", () => {
  test("says what a reload would change, and changes nothing", async () => {
    const running = await startBegun(yaml(2, "", "watch: off"));
    const { lastReload } = running.reloader;
    running.write(yaml(2, MORE, "watch: off"));
    const changes = [{ path: "timeouts.http", what: "2m → 1m" }];
    expect(await running.reloader.dryRun()).toMatchObject({ ok: true, changes, warnings: [], excess: [] });
    running.write("listeners: []");
    expect(errorsOf(await running.reloader.dryRun())).toHaveLength(2);
    running.write(yaml(2, "threads: 7"));
    expect(errorsOf(await running.reloader.dryRun())).toEqual([
      `${running.file}:4:10: threads: needs a restart`,
    ]);
    running.write(yaml(2, MORE, "watch: off"));
    running.weir.refusal = "a certificate cannot be read";
    expect(errorsOf(await running.reloader.dryRun())).toEqual([
      `${running.file}: a certificate cannot be read`,
    ]);
    expect(running.weir.applied).toEqual([]);
    expect(running.reloader.lastReload).toBe(lastReload);
    expect(running.lines).toEqual([]);
  });

  test("of another configuration takes that for what the file says", async () => {
    const running = await startBegun(yaml(3));
    const given = (text: string): VeiledConfig => {
      const loaded = loadConfig({ text, file: running.file, env: {} });
      if (!loaded.ok) throw new Error(JSON.stringify(loaded.errors));
      return veil(loaded.config, "a-salt-that-is-long-enough");
    };
    expect(await running.reloader.dryRun(given(yaml(1)))).toMatchObject({
      ok: true,
      changes: [{ path: "pools.chat.backends", what: "a:2, a:3 removed" }],
      excess: [{ pool: "chat", removed: 2, of: 3 }],
      pools: { chat: { backends: [{ id: "a:1" }] } },
    });
    expect(errorsOf(await running.reloader.dryRun(given(yaml(3, "threads: 7"))))).toEqual([
      `${running.file}: threads: needs a restart`,
    ]);
    expect(running.weir.applied).toEqual([]);
    expect(running.loads).toBe(0);
  });
});

describe("a file that changes", () => {
  test("is reloaded", async () => {
    const running = await startBegun(yaml(2));
    running.write(yaml(2, MORE));
    await untilApplied(running, 1);
    running.write(yaml(2));
    await untilApplied(running, 2);
    expect(running.weir.applied.map(({ timeouts }) => timeouts.http)).toEqual([60_000, 120_000]);
  });

  test("is not reloaded once more for a reload that was asked for", async () => {
    const running = await startBegun(yaml(2));
    running.write(yaml(2, MORE));
    await running.reloader.reload();
    running.write(yaml(2));
    await untilApplied(running, 2);
    expect(running.loads).toBe(2);
  });

  test("and is wrong is reloaded when it is right again, though it be what runs", async () => {
    const running = await startBegun(yaml(2));
    running.write("");
    await untilLogged(running, "is empty");
    expect(running.reloader.lastReload.successful).toBe(false);
    running.write(yaml(2));
    await untilApplied(running, 1);
    await until("the last reload is a success", () => running.reloader.lastReload.successful);
  });

  test("is held back where it takes too much away, until it is asked for", async () => {
    const running = await startBegun(yaml(4));
    const { weir, reloader } = running;
    running.write(yaml(1, MORE));
    expect(await untilLogged(running, "held back")).toBe(
      `warn change held back, as it removes too many backends; SIGHUP or POST /api/reload applies it ${JSON.stringify(
        { file: running.file, removed: ["chat: 3 of 4"], maxRemoved: "50%" },
      )}`,
    );
    expect(weir.applied).toEqual([]);
    await until("the last reload is none", () => !reloader.lastReload.successful);
    expect(await reloader.reload()).toMatchObject({ ok: true });
    expect(weir.config.pools["chat"]?.backends).toHaveLength(1);
    expect(weir.config.timeouts.http).toBe(60_000);
  });

  test("may take away just as much as maxRemoved says", async () => {
    const running = await startBegun(yaml(4));
    running.write(yaml(2));
    await untilApplied(running, 1);
    expect(running.weir.config.pools["chat"]?.backends).toHaveLength(2);
  });

  test("is held by the maxRemoved that runs, which can be changed", async () => {
    const running = await startBegun(yaml(4));
    const generous = "settle: 20ms, maxRemoved: 100%";
    running.write(yaml(1, "", generous));
    await untilLogged(running, "held back");
    running.write(yaml(4, "", generous));
    await untilApplied(running, 1);
    running.write(yaml(1, "", generous));
    await untilApplied(running, 2);
    expect(running.weir.applied.map(({ pools }) => pools["chat"]?.backends.length)).toEqual([4, 1]);
  });

  test("is not reloaded where it is not watched, which can be changed", async () => {
    const unwatched = "watch: off, settle: 20ms";
    const running = await startBegun(yaml(2, "", unwatched));
    running.write(yaml(2, MORE));
    await running.reloader.reload();
    running.write(yaml(2));
    await untilApplied(running, 2);
    running.write(yaml(2, "", unwatched));
    await untilApplied(running, 3);
    running.write(yaml(2, MORE));
    // Another one that is watched sees a later change.
    const other = await startBegun(yaml(2));
    other.write(yaml(2, MORE));
    await untilApplied(other, 1);
    expect(running.loads).toBe(3);
    expect(await running.reloader.reload()).toMatchObject({ ok: true, changes: [{}, {}] });
  });

  test("during a reload is reloaded after it", async () => {
    const running = await startBegun(yaml(2));
    running.onLoad = (moment) => {
      if (running.loads === 1 && moment === "after") running.write(yaml(2, MORE));
    };
    await running.reloader.reload();
    await untilApplied(running, 2);
    expect(running.weir.config.timeouts.http).toBe(60_000);
  });

  test("while it is read is read again once it is left alone", async () => {
    const running = await startBegun(yaml(4));
    running.onLoad = (moment) => {
      if (running.loads === 1) running.write(moment === "before" ? yaml(3) : yaml(4, MORE));
    };
    running.write(yaml(4, "timeouts: { http: 3m }"));
    await untilApplied(running, 1);
    expect(running.weir.applied.map(({ timeouts }) => timeouts.http)).toEqual([60_000]);
    expect(running.weir.config.pools["chat"]?.backends).toHaveLength(4);
    expect(running.lines.filter((line) => !line.includes("configuration reloaded"))).toEqual([]);
  });
});
