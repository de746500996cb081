// `npm run bench`: proves that every peer echoes, measures them in turn, round after round, and prints
// Markdown. What is measured, and how, stands in README.md.

import { writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { runMicroBenches } from "./micro/run.ts";
import { ROSTER } from "./peers/roster.ts";
import { type Bench, checkPeers, type Failures, measureRow, measureSoloRow, smoke } from "./runner/bench.ts";
import { Leash } from "./runner/leash.ts";
import { type Options, parseOptions, USAGE } from "./runner/options.ts";
import { type Circumstances, goalTable, header, rowTable, soloTable } from "./runner/report.ts";
import { Results } from "./runner/results.ts";
import { type Row, SMOKE, type SoloRow } from "./runner/row.ts";
import { COUNTING_ROWS } from "./runner/rows-counting.ts";
import { END_ROWS } from "./runner/rows-ends.ts";
import { EXACTNESS_ROWS } from "./runner/rows-exactness.ts";
import { HOSTILE_ROWS } from "./runner/rows-hostile.ts";
import { KILLED_ROWS } from "./runner/rows-killed.ts";
import { LEFT_ROWS } from "./runner/rows-left.ts";
import { MEMORY_ROWS } from "./runner/rows-memory.ts";
import { RELOAD_ROWS } from "./runner/rows-reload.ts";
import { SCRAPE_ROWS } from "./runner/rows-scrape.ts";
import { TRAFFIC_ROWS } from "./runner/rows-traffic.ts";
import { USERS_ROWS } from "./runner/rows-users.ts";

const ROWS: readonly Row[] = [...TRAFFIC_ROWS, ...MEMORY_ROWS];
const SOLO_ROWS: readonly SoloRow[] = [
  ...EXACTNESS_ROWS,
  ...USERS_ROWS,
  ...RELOAD_ROWS,
  ...KILLED_ROWS,
  ...END_ROWS,
  ...HOSTILE_ROWS,
  ...SCRAPE_ROWS,
  ...COUNTING_ROWS,
  ...LEFT_ROWS,
];
const NAMES = {
  rows: [...ROWS, ...SOLO_ROWS].map(({ name }) => name),
  rowsOnRequest: SOLO_ROWS.filter(({ isOnRequest }) => isOnRequest).map(({ name }) => name),
  peers: ROSTER.map(({ name }) => name),
};

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
  const failures = await (options.mode === "smoke" ? runSmoke : runRounds)(
    bench,
    chosenRows(options, bench),
    options.rounds,
  );
  for (const [name, failure] of failures) console.log(`- ${name} failed: ${failure}`);
  if (options.jsonFile !== null) {
    const versions = Object.fromEntries(circumstances.versions);
    const everything = { ...circumstances, versions, rows: bench.results };
    writeFileSync(options.jsonFile, `${JSON.stringify(everything, null, 2)}\n`);
  }
  return failures.size === 0 ? 0 : 1;
}

interface ChosenRows {
  readonly rows: readonly Row[];
  readonly soloRows: readonly SoloRow[];
}

/** Rows about Weir alone are left out where it is. */
function chosenRows(options: Options, { peers }: Bench): ChosenRows {
  const isChosen = ({ name }: { readonly name: string }): boolean => options.rows.includes(name);
  const hasWeir = peers.some(({ name }) => name === "weir");
  return { rows: ROWS.filter(isChosen), soloRows: hasWeir ? SOLO_ROWS.filter(isChosen) : [] };
}

async function runSmoke(bench: Bench, { rows, soloRows }: ChosenRows): Promise<Failures> {
  const failures = new Map(await smoke(bench, rows));
  for (const row of rows) console.log(`${rowTable(row, bench.results, bench.peers)}\n`);
  for (const row of soloRows) {
    const failure = await measureSoloRow(bench, row, SMOKE);
    if (failure !== null) failures.set(row.name, failure);
    console.log(`${soloTable(row, bench.results)}\n`);
  }
  return failures;
}

/** A table appears as soon as its row is measured. */
async function runRounds(bench: Bench, { rows, soloRows }: ChosenRows, rounds: number): Promise<Failures> {
  const failures = await checkPeers(bench);
  const sound = bench.peers.filter(({ name }) => !failures.has(name));
  for (const row of rows) {
    await measureRow({ ...bench, peers: sound }, row, rounds);
    console.log(`${rowTable(row, bench.results, sound)}\n`);
  }
  for (const row of soloRows) {
    await measureSoloRow(bench, row);
    console.log(`${soloTable(row, bench.results)}\n`);
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
