// The operating system's accounting of a process with its children and threads.

import { readFileSync, readdirSync } from "node:fs";
import { descendants, parseResident, parseSchedstat, parseStat } from "./proc-text.ts";

export interface ProcessUse {
  readonly cpuNs: number;
  /** How long its threads were ready to run and had no core, in sum; 0 where the kernel does not say. */
  readonly waitedNs: number;
  readonly residentBytes: number;
}

export function processTree(root: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync("/proc")) {
    const stat = /^\d+$/.test(name) ? read(`/proc/${name}/stat`) : null;
    if (stat !== null) parents.set(Number(name), parseStat(stat).parent);
  }
  return descendants(root, parents);
}

export function useOf(pids: readonly number[]): ProcessUse {
  let cpuNs = 0;
  let waitedNs = 0;
  let residentBytes = 0;
  for (const pid of pids) {
    const time = timeOf(pid);
    cpuNs += time.cpuNs;
    waitedNs += time.waitedNs;
    residentBytes += parseResident(read(`/proc/${pid}/status`) ?? "");
  }
  return { cpuNs, waitedNs, residentBytes };
}

/** What the first thread of a process has used. */
export function mainThreadCpuNs(pid: number): number {
  return parseSchedstat(read(`/proc/${pid}/task/${pid}/schedstat`) ?? "").cpuNs;
}

/** Where the kernel keeps no schedstat, the ticks: 10 ms, so that windows must be long. */
function timeOf(pid: number): { cpuNs: number; waitedNs: number } {
  let cpuNs = 0;
  let waitedNs = 0;
  for (const thread of threadsOf(pid)) {
    const schedstat = read(`/proc/${pid}/task/${thread}/schedstat`);
    if (schedstat === null) continue;
    const time = parseSchedstat(schedstat);
    cpuNs += time.cpuNs;
    waitedNs += time.waitedNs;
  }
  if (cpuNs === 0) cpuNs = parseStat(read(`/proc/${pid}/stat`) ?? "").cpuNs;
  return { cpuNs, waitedNs };
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/** Null for a process that ended meanwhile. */
function read(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
