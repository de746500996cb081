// nginx, one worker, with the directives of its own WebSocket guide.

import { type Peer, versionOf } from "./peer.ts";

export const nginx: Peer = {
  name: "nginx",
  family: "nginx",
  version: () => versionOf("nginx", "-v"),
  launch: ({ port, backendPort, directory }) => ({
    command: "nginx",
    args: ["-p", directory, "-c", "nginx.conf", "-e", "stderr"],
    files: {
      "nginx.conf": `
# Started by root, its worker would become a user that may not enter the directory.
${process.getuid?.() === 0 ? "user root;" : ""}
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr crit;
events { worker_connections 19800; }
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://127.0.0.1:${backendPort};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
      proxy_set_header Host $host;
      proxy_read_timeout 1h;
      proxy_send_timeout 1h;
    }
  }
}
`,
    },
  }),
};
