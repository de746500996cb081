// Starts Weir for a test from YAML text, inside this process, with its log recorded; closed after the
// test. Bind port 0 in the YAML. For a process of its own see spawn-weir.ts.
import process from "node:process";

import { formatProblem, loadConfig } from "../../src/config/load.ts";
import type { LogFields, LogLevel } from "../../src/log.ts";
import { Weir } from "../../src/weir.ts";
import { onCleanup } from "./cleanup.ts";
import { recordingLog } from "./recording-log.ts";
import { until } from "./until.ts";

export interface StartedWeir {
  readonly weir: Weir;
  /** The first listener for WebSocket clients: `ws://127.0.0.1:PORT`, `wss:` with TLS, or `unix:/path`. */
  readonly url: string;
  /** The same for plain HTTP clients. */
  readonly httpUrl: string;
  /** `http://127.0.0.1:PORT`; reading it is an error where `admin` is off. */
  readonly adminUrl: string;
  readonly log: RecordedLog;
}

interface LogEntry {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: LogFields;
}

/** What Weir logged, every level, in order. */
class RecordedLog {
  readonly entries: LogEntry[] = [];
  readonly log = recordingLog((level, message, fields) => this.entries.push({ level, message, fields }));

  /** The first entry that fits, once it was written; the error of a deadline shows them all. */
  async entry(what: string, fits: (entry: LogEntry) => boolean): Promise<LogEntry> {
    return until(`a log entry: ${what}`, () => this.entries.find(fits)).catch((error: unknown) => {
      throw new Error(`${String(error)}; logged: ${JSON.stringify(this.entries)}`, { cause: error });
    });
  }
}

/** A YAML that does not validate rejects with every error. */
export async function startWeir(yaml: string): Promise<StartedWeir> {
  const loaded = loadConfig({ text: yaml, file: "test.yaml", env: process.env });
  if (!loaded.ok) {
    const problems = loaded.errors.map((problem) => formatProblem(problem, "error"));
    throw new Error(`the test's YAML is wrong:\n${problems.join("\n")}`);
  }
  const log = new RecordedLog();
  const weir = await Weir.start(loaded.config, { log: log.log });
  onCleanup("Weir", () => weir.close());
  const [httpUrl = ""] = weir.addresses.listeners;
  return {
    weir,
    log,
    httpUrl,
    url: toWebSocketUrl(httpUrl),
    get adminUrl() {
      if (weir.addresses.admin === null) throw new Error("this Weir has no admin server");
      return weir.addresses.admin;
    },
  };
}

/** `http://…` as `ws://…`, `https://…` as `wss://…`; a Unix socket stays as it is. */
export function toWebSocketUrl(httpUrl: string): string {
  return httpUrl.replace(/^http/, "ws");
}
