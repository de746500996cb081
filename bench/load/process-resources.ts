// What a Weir process holds by its own account, as `resources.ts` has it told, and how one look differs from another.

export interface ThreadResources {
  readonly thread: number;
  /** What keeps the thread alive, by kind. */
  readonly active: Readonly<Record<string, number>>;
  /** What lives, after a collection of garbage: sockets, listeners of events, and objects of Weir's `own` classes. */
  readonly objects: Readonly<Record<string, number>>;
}

export interface ProcessResources {
  /** Of the report: 1 is the first. */
  readonly number: number;
  /** Open files of the whole process. */
  readonly files: number;
  /** Buckets of users. */
  readonly buckets: number;
  /** Places that connections hold or wait for. */
  readonly grants: number;
  readonly threads: readonly ThreadResources[];
}

/** What is there now and was not before, or is more now. */
export function excessOf(after: ProcessResources, before: ProcessResources): string[] {
  const excess: string[] = [];
  const compare = (what: string, now: number, then: number): void => {
    if (now > then) excess.push(`${what}: ${now}, before ${then}`);
  };
  compare("open files", after.files, before.files);
  compare("buckets", after.buckets, before.buckets);
  compare("grants", after.grants, before.grants);
  for (const { thread, active, objects } of after.threads) {
    const then = before.threads.find((one) => one.thread === thread);
    for (const [kind, count] of Object.entries({ ...active, ...objects })) {
      compare(`${kind} of thread ${thread}`, count, then?.active[kind] ?? then?.objects[kind] ?? 0);
    }
  }
  return excess;
}
