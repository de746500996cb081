// HAProxy, in the mode that its users run for WebSockets: HTTP, with a tunnel after the 101.

import { type Peer, versionOf } from "./peer.ts";

export function haproxy(threads: number): Peer {
  return {
    name: threads === 1 ? "haproxy" : `haproxy-${threads}`,
    family: "haproxy",
    version: () => versionOf("haproxy", "-v"),
    launch: ({ port, backendPort, directory }) => ({
      command: "haproxy",
      args: ["-db", "-q", "-f", `${directory}/haproxy.cfg`],
      files: {
        "haproxy.cfg": `
global
  nbthread ${threads}
  maxconn 9800
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
frontend front
  bind 127.0.0.1:${port}
  default_backend back
backend back
  server echo 127.0.0.1:${backendPort}
`,
      },
    }),
  };
}
