// Weir, run from its sources. What the others are not asked to do either is off: the access log, its
// own pings, health checks.

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { packageVersion, type Peer } from "./peer.ts";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

/** Limits that no load of the bench reaches, on all of its connections at once: they are one user's. */
const LIMITS = `
tiers: { all: { messages: { rate: 1000000000/s, burst: 1000000000 }, default: true } }
routes: [{ pool: echo, messages: { rate: 1000000000/s, burst: 1000000000 } }]`;

interface Setup {
  readonly name: string;
  readonly threads: number;
  readonly hasLimits: boolean;
}

export const weir = peer({ name: "weir", threads: 1, hasLimits: false });
export const weirOnTwoThreads = peer({ name: "weir-2", threads: 2, hasLimits: false });
export const weirWithLimits = peer({ name: "weir-limits", threads: 1, hasLimits: true });

function peer({ name, threads, hasLimits }: Setup): Peer {
  return {
    name,
    family: "weir",
    version: () => {
      if (!existsSync(MAIN)) throw new Error("no src/main.ts");
      return `Weir ${packageVersion("../../package.json")}`;
    },
    launch: ({ port, backendPort, adminPort, directory }) => ({
      command: process.execPath,
      args: [MAIN, "run", "--config", `${directory}/weir.yaml`],
      files: {
        "weir.yaml": `
listeners: ["127.0.0.1:${port}"]
threads: ${threads}
pools:
  echo:
    backends: ["ws://127.0.0.1:${backendPort}"]
    healthCheck: off
timeouts: { ping: off }${hasLimits ? LIMITS : ""}
admin: { bind: "127.0.0.1:${adminPort}" }
log: { level: warn, access: false }
`,
      },
    }),
  };
}
