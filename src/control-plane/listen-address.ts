// What the threads of a Weir listen on: how many may share an address, and how it is written.

import { availableParallelism } from "node:os";
import type { BindAddress } from "../config/schema.ts";

/** Whether several threads and processes may share an address here. */
export function hasReusePort(): boolean {
  return ["linux", "freebsd", "sunos", "aix"].includes(process.platform);
}

export function addressText(bind: BindAddress, port: number, isSecure: boolean): string {
  if (bind.kind === "unix") return `unix:${bind.path}`;
  const host = bind.host === "" ? "[::]" : bind.host.includes(":") ? `[${bind.host}]` : bind.host;
  return `${isSecure ? "https" : "http"}://${host}:${port}`;
}

/** Threads share a listener by `reusePort`; where the platform lacks it there is one. */
export function threadCount(threads: number | "auto"): number {
  if (!hasReusePort()) return 1;
  return threads === "auto" ? availableParallelism() : threads;
}
