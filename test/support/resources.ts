// What a Weir that is a process of its own holds, by the account of each of its threads.
import { excessOf, type ProcessResources } from "../../bench/load/process-resources.ts";
import type { SpawnedWeir } from "./spawn-weir.ts";
import { until } from "./until.ts";

const preloaded = new URL("../../bench/load/resources.ts", import.meta.url);

/** As long as it takes a starved machine to collect the garbage of all threads a few times. */
const deadlineMs = 40_000;

/** The environment of a process that tells, with so many threads beside the main one. */
export function tellingResources(threads: number): Record<string, string> {
  return { NODE_OPTIONS: `--import=${preloaded.href}`, WEIR_RESOURCES_OF: `${threads}` };
}

/** What the process holds, once it is as it should be, or as it was at last. */
export async function settledResources(
  weir: SpawnedWeir,
  isSettled: (resources: ProcessResources) => boolean,
): Promise<ProcessResources> {
  let last: ProcessResources | undefined;
  await until("nothing is left", async () => isSettled((last = await askForResources(weir))), {
    deadlineMs,
  }).catch(() => {});
  if (last === undefined) throw new Error("the process did not say what it holds");
  return last;
}

/** What the process holds beyond this, once it is nothing, or what it was at last. */
export async function settledExcess(weir: SpawnedWeir, before: ProcessResources): Promise<string[]> {
  const isSettled = (resources: ProcessResources): boolean => excessOf(resources, before).length === 0;
  return excessOf(await settledResources(weir, isSettled), before);
}

async function askForResources(weir: SpawnedWeir): Promise<ProcessResources> {
  const lines = (): string[] => weir.stderr.split("\n").filter((line) => line.startsWith('{"number"'));
  const known = lines().length;
  weir.signal("SIGUSR2");
  const line = await until("what the process holds", () => lines()[known]);
  return JSON.parse(line) as ProcessResources;
}
