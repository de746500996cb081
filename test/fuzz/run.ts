// `npm run fuzz`: a million inputs for each target, or as asked. Prints a line a target; a failure with all
// that is needed to have it again, and exit code 1.

import { parseArgs } from "node:util";
import { type Outcome, runCampaign } from "./campaign.ts";
import { TARGETS, targetUrl } from "./targets.ts";

const USAGE = `npm run fuzz -- [TARGET…] [--iterations N] [--seed N] [--from I]
targets: ${TARGETS.join(" ")}`;

const MILLION = 1_000_000;
const USAGE_ERROR = 2;
const MIB = 1024 * 1024;

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  const asked = parse(args);
  if (asked === null) {
    console.error(USAGE);
    return USAGE_ERROR;
  }
  let failures = 0;
  for (const name of asked.targets) {
    const { seed, from, iterations } = asked;
    const outcome = await runCampaign({ target: targetUrl(name), seed, from, iterations });
    if (outcome.kind !== "passed") failures += 1;
    console.log(line(name, asked, outcome));
  }
  return failures === 0 ? 0 : 1;
}

interface Asked {
  readonly targets: readonly (typeof TARGETS)[number][];
  readonly iterations: number;
  readonly seed: number;
  readonly from: number;
}

/** Null for what is no sense. */
function parse(args: string[]): Asked | null {
  try {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: { iterations: { type: "string" }, seed: { type: "string" }, from: { type: "string" } },
    });
    const targets = positionals.length === 0 ? TARGETS : TARGETS.filter((name) => positionals.includes(name));
    const unknown = positionals.filter((name) => !TARGETS.some((target) => target === name));
    const iterations = numberIn(values.iterations, MILLION);
    const seed = numberIn(values.seed, Date.now() % MILLION);
    const from = numberIn(values.from, 0);
    const isSense = unknown.length === 0 && [iterations, seed, from].every(Number.isInteger);
    return isSense ? { targets, iterations, seed, from } : null;
  } catch {
    return null;
  }
}

function numberIn(text: string | undefined, usual: number): number {
  if (text === undefined) return usual;
  return /^\d+$/.test(text) ? Number(text) : Number.NaN;
}

function line(name: string, { seed, iterations }: Asked, outcome: Outcome): string {
  if (outcome.kind === "failed") {
    const { iteration, reason, input } = outcome;
    const again = `npm run fuzz -- ${name} --seed ${seed} --from ${iteration} --iterations 1`;
    return `${name}: FAILED at iteration ${iteration}: ${reason}\ninput: ${input.toString("hex")}\nagain: ${again}`;
  }
  const { heapBefore, heapAfter } = outcome;
  const heap = `heap ${(heapBefore / MIB).toFixed(1)} → ${(heapAfter / MIB).toFixed(1)} MiB`;
  const ran = `${iterations} iterations with seed ${seed}`;
  if (outcome.kind === "grown") return `${name}: FAILED, it grows: ${ran}; ${heap}`;
  const pace = `${(outcome.tookMs / 1_000).toFixed(1)} s, ${Math.round((iterations / outcome.tookMs) * 1_000)}/s`;
  return `${name}: ${ran} in ${pace}; ${heap}`;
}
