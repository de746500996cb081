// A reload that says so has been one: each key that parts of Weir were made with is in effect after it, and
// what cannot change is refused.
import { writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { connectRaw } from "../support/raw-client.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { readRefusal, refusalOf } from "../support/refusal.ts";
import { spawnMain, writeConfig } from "../support/spawn-weir.ts";
import { startWeir, type StartedWeir } from "../support/start-weir.ts";

type Section = Readonly<Record<string, unknown>>;

interface Reloadable extends StartedWeir {
  /** Takes these top-level keys over in place of those of before. */
  reload(keys: Section): Promise<void>;
}

async function startReloadable(keys: Section): Promise<Reloadable> {
  const backend = await startEchoBackend();
  const config = (changed: Section): Section => ({
    threads: 1,
    listeners: ["127.0.0.1:0"],
    admin: { bind: "127.0.0.1:0" },
    pools: { chat: { healthCheck: "off", backends: [backend.url] } },
    ...changed,
  });
  const started = await startWeir(JSON.stringify(config(keys)));
  return Object.assign(started, { reload: (changed: Section) => started.weir.reload(config(changed)) });
}

/** The status of a plain request with these header lines, once its body was read. */
async function statusOf(connection: RawConnection, lines: readonly string[]): Promise<number> {
  await connection.write(["GET / HTTP/1.1", ...lines, "", ""].join("\r\n"));
  const head = await connection.readHead();
  await connection.readBytes(Number(head.header("content-length")));
  return head.status;
}

/** The status of the metrics, asked for with these header lines. */
async function ask(weir: StartedWeir, lines: readonly string[] = []): Promise<number> {
  const connection = await connectRaw(weir.adminUrl);
  const host = lines.some((line) => line.startsWith("Host:")) ? [] : ["Host: localhost"];
  await connection.write(
    ["GET /metrics HTTP/1.1", ...host, ...lines, "Connection: close", "", ""].join("\r\n"),
  );
  return (await connection.readHead()).status;
}

function logging(level: string, format: string): string {
  return `{ threads: 1, listeners: ["127.0.0.1:0"], admin: off, log: { level: ${level}, format: ${format} },
    pools: { chat: { backends: ["ws://127.0.0.1:1"] } } }`;
}

describe("a reload that changes a listener's limits", () => {
  test("limits.maxHeaderSize holds for connections from then on", async () => {
    const weir = await startReloadable({ limits: { maxHeaderSize: "1KiB" } });
    const lines = ["Host: a", `X: ${"a".repeat(3_000)}`];
    const request = ["GET / HTTP/1.1", ...lines, "", ""].join("\r\n");
    expect((await refusalOf(weir.url, request)).status).toBe(431);
    await weir.reload({ limits: { maxHeaderSize: "8KiB" } });
    expect(await statusOf(await connectRaw(weir.url), lines)).not.toBe(431);
    await weir.reload({ limits: { maxHeaderSize: "2KiB" } });
    expect((await refusalOf(weir.url, request)).status).toBe(431);
  });

  test("timeouts.handshake holds for connections that are open, too", async () => {
    const weir = await startReloadable({ timeouts: { handshake: "5m" } });
    const before = await connectRaw(weir.url);
    await before.write("GET / HTTP/1.1\r\nHo");
    await weir.reload({ timeouts: { handshake: "200ms" } });
    const after = await connectRaw(weir.url);
    for (const connection of [before, after]) {
      expect(await readRefusal(connection)).toMatchObject({ status: 408, code: "head_timeout" });
    }
  });

  test("timeouts.keepAlive holds from the next answer on", async () => {
    const weir = await startReloadable({ timeouts: { keepAlive: "5m" } });
    const connection = await connectRaw(weir.url);
    await statusOf(connection, ["Host: a"]);
    await weir.reload({ timeouts: { keepAlive: "50ms" } });
    await statusOf(connection, ["Host: a"]);
    expect(await connection.untilClosed()).not.toBe("open");
  });
});

describe("a reload that changes who may ask the admin server", () => {
  const bind = "127.0.0.1:0";

  test("admin.token: the new one opens, the old one does not", async () => {
    const weir = await startReloadable({ admin: { bind, token: "the first secret" } });
    const first = ["Authorization: Bearer the first secret"];
    const second = ["Authorization: Bearer the second secret"];
    expect([await ask(weir, first), await ask(weir, second)]).toEqual([200, 401]);
    await weir.reload({ admin: { bind, token: "the second secret" } });
    expect([await ask(weir, first), await ask(weir, second), await ask(weir)]).toEqual([401, 200, 401]);
    await weir.reload({ admin: { bind } });
    expect(await ask(weir)).toBe(200);
  });

  test("admin.hosts: a name that was added is answered, one that was removed is not", async () => {
    const weir = await startReloadable({ admin: { bind, hosts: ["old.internal"] } });
    await weir.reload({ admin: { bind, hosts: ["new.internal"] } });
    expect(await ask(weir, ["Host: new.internal"])).toBe(200);
    expect(await ask(weir, ["Host: old.internal"])).toBe(403);
  });

  test("admin.anonymous: opens and closes the scrape", async () => {
    const token = "a secret of the operator";
    const weir = await startReloadable({ admin: { bind, token } });
    expect(await ask(weir)).toBe(401);
    await weir.reload({ admin: { bind, token, anonymous: ["metrics"] } });
    expect(await ask(weir)).toBe(200);
    await weir.reload({ admin: { bind, token } });
    expect(await ask(weir)).toBe(401);
  });

  test("turning it off needs a restart, and nothing is changed", async () => {
    const weir = await startReloadable({ admin: { bind, token: "the first secret" } });
    await expect(weir.reload({ admin: "off" })).rejects.toThrow("admin.bind: needs a restart");
    expect(await ask(weir, ["Authorization: Bearer the first secret"])).toBe(200);
  });
});

test("a reload that changes log.level and log.format changes the lines that follow", async () => {
  const file = await writeConfig(logging("error", "json"));
  const weir = spawnMain(["run", "--config", file]);
  await weir.untilListening(1);
  expect(weir.stdout).not.toContain("started");
  async function reload(text: string, printed: RegExp): Promise<void> {
    await writeFile(file, text);
    weir.signal("SIGHUP");
    await weir.untilPrinted(printed);
  }
  await reload(logging("info", "pretty"), /INFO.*: .*configuration reloaded/);
  await reload(logging("info", "json"), /\{"level":"info",.*"msg":"configuration reloaded"\}/);
});
