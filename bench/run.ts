// `npm run bench`: proves that every peer echoes, measures them in turn, round after round, and prints
// Markdown. What is measured, and how, stands in README.md.

import { writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { runMicroBenches } from "./micro/run.ts";
import { ROSTER } from "./peers/roster.ts";
import { type Bench, checkPeers, type Failures, measureRow, smoke } from "./runner/bench.ts";
import { Leash } from "./runner/leash.ts";
import { type Options, parseOptions, USAGE } from "./runner/options.ts";
import { type Circumstances, goalTable, header, rowTable } from "./runner/report.ts";
import { Results } from "./runner/results.ts";
import type { Row } from "./runner/row.ts";
import { MEMORY_ROWS } from "./runner/rows-memory.ts";
import { TRAFFIC_ROWS } from "./runner/rows-traffic.ts";

const ROWS: readonly Row[] = [...TRAFFIC_ROWS, ...MEMORY_ROWS];
const NAMES = { rows: ROWS.map(({ name }) => name), peers: ROSTER.map(({ name }) => name) };

const NAMES_LIST = `rows:  ${NAMES.rows.join(" ")}\npeers: ${NAMES.peers.join(" ")}`;

const USAGE_ERROR = 2;
const INTERRUPTED = 130;

// The leash ends what was started, whichever way this process ends.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => process.exit(INTERRUPTED));
}

process.exit(await main(process.argv.slice(2)));

async function main(args: readonly string[]): Promise<number> {
  let options: Options;
  try {
    options = parseOptions(args, NAMES);
  } catch (error) {
    console.error(`${messageOf(error)}\n${USAGE}`);
    return USAGE_ERROR;
  }
  if (options.mode === "smoke" || options.mode === "measure") return run(options);
  if (options.mode === "micro") await runMicroBenches();
  else console.log(options.mode === "list" ? NAMES_LIST : USAGE);
  return 0;
}

async function run(options: Options): Promise<number> {
  if (process.platform !== "linux") {
    console.error("the bench reads Linux's /proc, and there is none here");
    return USAGE_ERROR;
  }
  const circumstances = lookAround(options);
  const bench: Bench = {
    peers: ROSTER.filter(({ name }) => circumstances.versions.has(name)),
    results: new Results(),
    leash: new Leash(),
    log: (line) => console.error(line),
  };
  console.log(`${header(circumstances)}\n`);
  const rows = ROWS.filter(({ name }) => options.rows.includes(name));
  const failures = await (options.mode === "smoke" ? runSmoke : runRounds)(bench, rows, options.rounds);
  for (const [name, failure] of failures) console.log(`- ${name} failed: ${failure}`);
  if (options.jsonFile !== null) {
    const versions = Object.fromEntries(circumstances.versions);
    const everything = { ...circumstances, versions, rows: bench.results };
    writeFileSync(options.jsonFile, `${JSON.stringify(everything, null, 2)}\n`);
  }
  return failures.size === 0 ? 0 : 1;
}

async function runSmoke(bench: Bench, rows: readonly Row[]): Promise<Failures> {
  const failures = await smoke(bench, rows);
  for (const row of rows) console.log(`${rowTable(row, bench.results, bench.peers)}\n`);
  return failures;
}

/** A table appears as soon as its row is measured. */
async function runRounds(bench: Bench, rows: readonly Row[], rounds: number): Promise<Failures> {
  const failures = await checkPeers(bench);
  const sound = bench.peers.filter(({ name }) => !failures.has(name));
  for (const row of rows) {
    await measureRow({ ...bench, peers: sound }, row, rounds);
    console.log(`${rowTable(row, bench.results, sound)}\n`);
  }
  console.log(`${goalTable(bench.results)}\n`);
  return failures;
}

function lookAround({ peers, rounds }: Options): Circumstances {
  const versions = new Map<string, string>();
  const absent = new Map<string, string>();
  for (const peer of ROSTER) {
    if (!peers.includes(peer.name)) continue;
    try {
      versions.set(peer.name, peer.version());
    } catch (error) {
      absent.set(peer.name, messageOf(error));
    }
  }
  return { startedAt: new Date(), rounds, loadAverage: loadavg()[0] ?? 0, versions, absent };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
