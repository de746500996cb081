// The command line of the bench.

import { parseArgs } from "node:util";

export const USAGE = `Usage: npm run bench -- [options]
  --only ROW,...   these rows only; some long ones run only when they are named
  --peers A,B,...  these peers only
  --rounds N       rounds of each row (5)
  --json FILE      write every sample there, too
  --smoke          each row once and tiny: shows that the bench works, measures nothing
  --micro          the micro benches instead
  --list           print the names of rows and peers
  --help`;

const MOST_ROUNDS = 100;

export interface Options {
  readonly mode: "measure" | "smoke" | "micro" | "list" | "help";
  readonly rows: readonly string[];
  readonly peers: readonly string[];
  readonly rounds: number;
  readonly jsonFile: string | null;
}

/** What can be named; throws for another name, and for what is no option. */
export interface Names {
  readonly rows: readonly string[];
  /** Of the rows, those that only run when they are named. */
  readonly rowsOnRequest: readonly string[];
  readonly peers: readonly string[];
}

export function parseOptions(args: readonly string[], names: Names): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: "string" },
      peers: { type: "string" },
      rounds: { type: "string", default: "5" },
      json: { type: "string" },
      smoke: { type: "boolean", default: false },
      micro: { type: "boolean", default: false },
      list: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > MOST_ROUNDS) {
    throw new Error(`--rounds ${values.rounds}: not a number from 1 to ${MOST_ROUNDS}`);
  }
  const rowsByDefault = names.rows.filter((name) => !names.rowsOnRequest.includes(name));
  const mode = (["help", "list", "micro", "smoke"] as const).find((name) => values[name]);
  return {
    mode: mode ?? "measure",
    rows: values.only === undefined ? rowsByDefault : chosen("--only", values.only, names.rows),
    peers: values.peers === undefined ? names.peers : chosen("--peers", values.peers, names.peers),
    rounds: values.smoke ? 1 : rounds,
    jsonFile: values.json ?? null,
  };
}

function chosen(option: string, list: string, known: readonly string[]): readonly string[] {
  const wanted = list.split(",");
  const unknown = wanted.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new Error(`${option} ${unknown}: not one of ${known.join(", ")}`);
  return known.filter((name) => wanted.includes(name));
}
