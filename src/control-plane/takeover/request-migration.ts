// What becomes of connections that the kernel has accepted for a process and that the process has not: with
// net.ipv4.tcp_migrate_req, its listener's end hands them to another listener of the same port.

import { readFile } from "node:fs/promises";
import type { Log } from "../../log.ts";

const FILE = "/proc/sys/net/ipv4/tcp_migrate_req";

/** Says what a takeover will cost, and how it costs nothing. */
export async function logRequestMigration(log: Log): Promise<void> {
  const value = await readFile(FILE, "utf8").catch(() => null);
  if (value?.trim() === "1") {
    return log.info("no connect will be lost to the takeover: net.ipv4.tcp_migrate_req is on");
  }
  const message = "connects that the old process has not accepted as it stops will be reset";
  if (value === null) return log.warn(message, { because: "this system has no net.ipv4.tcp_migrate_req" });
  log.warn(message, { fix: "sysctl -w net.ipv4.tcp_migrate_req=1" });
}
