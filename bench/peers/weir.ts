// Weir, run from its sources. What the others are not asked to do either is off: the access log, its
// own pings, health checks.

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { packageVersion, type Peer } from "./peer.ts";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

export function weir(threads: number): Peer {
  return {
    name: threads === 1 ? "weir" : `weir-${threads}`,
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
timeouts: { ping: off }
admin: { bind: "127.0.0.1:${adminPort}" }
log: { level: warn, access: false }
`,
      },
    }),
  };
}
