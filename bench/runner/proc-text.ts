// What Linux's /proc says of a process, out of its text.

/** Linux counts a process's time in ticks of this length, whatever its own clock (man 5 proc). */
const NS_PER_TICK = 10_000_000;

/** /proc/PID/stat; the name in parentheses may itself hold spaces and parentheses. */
export function parseStat(text: string): { parent: number; cpuNs: number } {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { parent: Number(fields[1]), cpuNs: (Number(fields[11]) + Number(fields[12])) * NS_PER_TICK };
}

/** /proc/PID/task/TID/schedstat: nanoseconds on a core, nanoseconds waiting for one, timeslices. */
export function parseSchedstat(text: string): { cpuNs: number; waitedNs: number } {
  const [cpuNs, waitedNs] = text.split(" ");
  return { cpuNs: Number(cpuNs), waitedNs: Number(waitedNs) };
}

/** /proc/PID/status, VmRSS in bytes; 0 for a process that has just ended. */
export function parseResident(text: string): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024;
}

/** `root` and all that descend from it, out of every process's parent. */
export function descendants(root: number, parents: ReadonlyMap<number, number>): number[] {
  const found = [root];
  for (const ancestor of found) {
    for (const [pid, parent] of parents) if (parent === ancestor) found.push(pid);
  }
  return found;
}
