// The `http-proxy` package, as one would write it down from its README.

import { fileURLToPath } from "node:url";
import { packageVersion, type Peer } from "./peer.ts";

const SERVER = fileURLToPath(new URL("./http-proxy-server.ts", import.meta.url));

export const httpProxy: Peer = {
  name: "http-proxy",
  family: "http-proxy",
  version: () => `http-proxy-3 ${packageVersion("../../node_modules/http-proxy/package.json")}`,
  launch: ({ port, backendPort }) => ({
    command: process.execPath,
    args: [SERVER, `${port}`, `${backendPort}`],
  }),
};
