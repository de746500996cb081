// Weir, run from its sources. What the others are not asked to do either is off: the access log, its
// own pings, health checks.

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { packageVersion, type Peer } from "./peer.ts";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

type Section = Readonly<Record<string, unknown>>;

interface Setup {
  readonly name: string;
  readonly threads: number;
  /** Further top-level keys of its configuration, and keys of its pool. */
  readonly settings?: Section;
  readonly pool?: Section;
  /** Started to take the place of a running one; `settings` have the pidFile. */
  readonly takesOver?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  /** Its log as it comes, a line for each refusal and each connection; default: warnings only. */
  readonly logsAll?: boolean;
  /** What `ulimit -n` is to be for it; default: as it is here. */
  readonly openFiles?: number;
}

/** Limits that no load of the bench reaches, on all of its connections at once: they are one user's. */
const unreachable = { rate: "1000000000/s", burst: 1_000_000_000 };

export const weir = weirWith({ name: "weir", threads: 1 });
export const weirOnTwoThreads = weirWith({ name: "weir-2", threads: 2 });
export const weirWithLimits = weirWith({
  name: "weir-limits",
  threads: 1,
  settings: {
    tiers: { everyone: { messages: unreachable, default: true } },
    routes: [{ pool: "echo", messages: unreachable }],
  },
});

export function weirWith({
  name,
  threads,
  settings = {},
  pool = {},
  takesOver = false,
  env = {},
  logsAll = false,
  openFiles,
}: Setup): Peer {
  return {
    name,
    family: "weir",
    version: () => {
      if (!existsSync(MAIN)) throw new Error("no src/main.ts");
      return `Weir ${packageVersion("../../package.json")}`;
    },
    launch: ({ port, backendPort, adminPort, directory }) => ({
      ...limited(openFiles, [
        process.execPath,
        MAIN,
        "run",
        "--config",
        `${directory}/weir.yaml`,
        ...(takesOver ? ["--takeover"] : []),
      ]),
      env,
      files: {
        "weir.yaml": `
listeners: ["127.0.0.1:${port}"]
threads: ${threads}
${yamlOf({
  timeouts: { ping: "off" },
  pools: { echo: { backends: [`ws://127.0.0.1:${backendPort}`], healthCheck: "off", ...pool } },
  ...settings,
})}
admin: { bind: "127.0.0.1:${adminPort}" }
log: ${logsAll ? "{}" : "{ level: warn, access: false }"}
`,
      },
    }),
  };
}

/** The shell makes way for the command: there is no process between. */
function limited(
  openFiles: number | undefined,
  [program = "", ...args]: readonly string[],
): { command: string; args: readonly string[] } {
  if (openFiles === undefined) return { command: program, args };
  return { command: "sh", args: ["-c", `ulimit -n ${openFiles} && exec "$0" "$@"`, program, ...args] };
}

/** JSON is YAML. */
function yamlOf(settings: Section): string {
  return Object.entries(settings)
    .map(([key, value]) => `${key}: ${JSON.stringify(value)}`)
    .join("\n");
}
