// `weir top` in a terminal of its own: live, patient with a Weir that is away, and gone at a key. What it draws
// with is tested without a terminal; here is what only a real one shows.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

import { onCleanup } from "../support/cleanup.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { ownHost } from "../support/own-host.ts";
import { findProgram, isMissing, pathOf, type Requirement } from "../support/requirement.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import { until, within } from "../support/until.ts";
import { openClient } from "../support/ws-client.ts";

/** Of util-linux: it gives a program a terminal. */
const script: Requirement = {
  name: "script",
  path: process.platform === "linux" ? findProgram(["script"]) : undefined,
};

const mainFile = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
const HOME = "\u001b[H";
const LEAVE = "\u001b[?1049l";

class Terminal {
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;
  #output = "";

  constructor(child: ChildProcess) {
    this.#child = child;
    this.#closed = once(child, "close");
    child.stdout?.setEncoding("utf8").on("data", (text: string) => (this.#output += text));
  }

  /** What was drawn last, without its colours. */
  get frame(): string {
    // oxlint-disable-next-line no-control-regex
    return (this.#output.split(HOME).at(-1) ?? "").replaceAll(/\u001b\[[\d;?]*[a-zA-Z]/g, "");
  }

  get isGivenBack(): boolean {
    return this.#output.trimEnd().endsWith(LEAVE);
  }

  async untilShown(pattern: RegExp): Promise<void> {
    await until(`the terminal shows ${String(pattern)}`, () => pattern.test(this.frame)).catch(
      (error: unknown) => {
        throw new Error(`${String(error)}; it shows\n${this.frame}`, { cause: error });
      },
    );
  }

  async press(key: string): Promise<number | null> {
    this.#child.stdin?.write(key);
    await within(() => `the end; it shows\n${this.frame}`, this.#closed);
    return this.#child.exitCode;
  }
}

function openTop(adminUrl: string): Terminal {
  const command = `stty cols 100 rows 40; exec '${process.execPath}' '${mainFile}' top --admin ${adminUrl}`;
  const child = spawn(pathOf(script), ["-qec", command, "/dev/null"], { stdio: ["pipe", "pipe", "inherit"] });
  const terminal = new Terminal(child);
  onCleanup("weir top", async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const closed = once(child, "close");
    child.kill("SIGTERM");
    await closed;
  });
  return terminal;
}

test.skipIf(isMissing(script))(
  "weir top goes on with the figures, waits for a Weir that is away, and ends at q",
  async () => {
    const backend = await startEchoBackend({ id: "server1" });
    const start = (bind: string) =>
      startInFrontOf({ id: "server1", url: backend.url }, { config: { admin: { bind } } });
    const weir = await start(`${ownHost}:0`);
    const { adminUrl } = weir;
    const terminal = openTop(adminUrl);
    await terminal.untilShown(/^connections .* 0 of [\d,]+ /m);
    await openClient(weir.url);
    await terminal.untilShown(/^connections .* 1 of [\d,]+ /m);
    await terminal.untilShown(/^  server1 +active +1 /m);

    await weir.weir.close();
    await terminal.untilShown(/^the connection has ended; trying again/);
    await start(new URL(adminUrl).host);
    await terminal.untilShown(/^weir \S+ at .* ready/);
    await terminal.untilShown(/^connections .* 0 of [\d,]+ /m);

    expect(terminal.isGivenBack).toBe(false);
    expect(await terminal.press("q")).toBe(0);
    expect(terminal.isGivenBack).toBe(true);
  },
);
