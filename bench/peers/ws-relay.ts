// What one writes first: a server and a client of the `ws` package, back to back.

import { fileURLToPath } from "node:url";
import { packageVersion, type Peer } from "./peer.ts";

const SERVER = fileURLToPath(new URL("./ws-relay-server.ts", import.meta.url));

export const wsRelay: Peer = {
  name: "ws-relay",
  family: "ws-relay",
  version: () => `ws ${packageVersion("../../node_modules/ws/package.json")}`,
  launch: ({ port, backendPort }) => ({
    command: process.execPath,
    args: [SERVER, `${port}`, `${backendPort}`],
  }),
};
