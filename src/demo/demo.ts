// `weir demo`: two chat backends and a Weir in front of them, in one process, with the settings of
// config.example.yaml. Changes of those settings only where they must be: addresses and backends.
import { readFile } from "node:fs/promises";
import process from "node:process";
import { fileURLToPath } from "node:url";

import { isMap, parseDocument } from "yaml";

import { start } from "../weir.ts";
import { type DemoBackend, type Room, startDemoBackend } from "./backend.ts";

interface DemoOptions {
  /** Of the listener and the admin server, both on 127.0.0.1; 0 takes any free one. */
  readonly port: number;
  readonly adminPort: number;
}

interface Demo {
  /** Resolves when Weir begins to drain, as its admin API was asked to. */
  readonly drainBegun: Promise<void>;
  /** Drains Weir (clients get 1001), then stops the backends. */
  close(): Promise<void>;
}

// Beside src/ as beside dist/: the package's root in a checkout and in the published package.
const exampleFile = fileURLToPath(new URL("../../config.example.yaml", import.meta.url));

export async function runDemo(options: DemoOptions): Promise<Demo> {
  const room: Room = new Set();
  const backends = await Promise.all(["server1", "server2"].map((id) => startDemoBackend(id, room)));
  const closeBackends = async () => {
    await Promise.all(backends.map((backend) => backend.close()));
  };
  try {
    const weir = await start(await demoConfig(options, backends));
    process.stdout.write(instructions(weir.addresses.listeners[0] ?? "", weir.addresses.admin ?? ""));
    return {
      drainBegun: weir.drainBegun,
      close: async () => {
        await weir.close();
        await closeBackends();
      },
    };
  } catch (error) {
    await closeBackends();
    throw error;
  }
}

async function demoConfig(options: DemoOptions, backends: readonly DemoBackend[]): Promise<unknown> {
  const document = parseDocument(await readFile(exampleFile, "utf8"));
  document.set("listeners", [`127.0.0.1:${options.port}`]);
  document.setIn(["admin", "bind"], `127.0.0.1:${options.adminPort}`);
  document.setIn(["log", "format"], "pretty");
  // Everyone here comes from one address; the page names a user for each connection that it opens.
  document.setIn(["identity", "user"], [{ query: "user", unsigned: true }, "ip"]);
  const pools = document.get("pools");
  if (!isMap(pools)) throw new Error(`${exampleFile} has no pools`);
  const entries = backends.map(({ url }, index) => ({ id: `server${index + 1}`, url }));
  for (const { key } of pools.items) document.setIn(["pools", key, "backends"], entries);
  return document.toJS();
}

function instructions(url: string, adminUrl: string): string {
  return `
Two chat backends, server1 and server2, and Weir in front of them.

  the page, through Weir   ${url}/
  the dashboard            ${adminUrl}/
  the metrics              ${adminUrl}/metrics

Open the page: chat, open ten more connections to see them spread over both backends, let a backend
vanish. Or, from another terminal:

  curl -si ${url}/ | grep -i x-backend-id
  curl -sN --max-time 1 ${url}/chat -H 'Connection: Upgrade' -H 'Upgrade: websocket' \\
    -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=='

Ctrl-C ends it, and shows every open page how Weir says goodbye.

`;
}
