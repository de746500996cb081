// Caddy, one thread of Go code, without TLS and without its admin API.

import { type Peer, versionOf } from "./peer.ts";

export const caddy: Peer = {
  name: "caddy",
  family: "caddy",
  version: () => `Caddy ${versionOf("caddy", "version")}`,
  launch: ({ port, backendPort, directory }) => ({
    command: "caddy",
    args: ["run", "--config", `${directory}/Caddyfile`, "--adapter", "caddyfile"],
    env: { GOMAXPROCS: "1", HOME: directory, XDG_DATA_HOME: directory, XDG_CONFIG_HOME: directory },
    files: {
      Caddyfile: `
{
  auto_https off
  admin off
}
http://127.0.0.1:${port} {
  bind 127.0.0.1
  reverse_proxy 127.0.0.1:${backendPort}
}
`,
    },
  }),
};
