// `weir check --config FILE --against`: the file is read here, with this environment and from this machine's
// files, and the running Weir says what a reload to it would do. Secrets go over as salted digests only.

import { randomBytes } from "node:crypto";
import process from "node:process";
import { formatProblem, loadConfigFile } from "../config/load.ts";
import { formatDuration } from "../config/units.ts";
import { veil } from "../config/veil.ts";
import { ExitCode } from "../errors.ts";
import { packageVersion } from "../version.ts";
import type { AdminClient } from "./admin-client.ts";
import type { Output } from "./output.ts";
import { plain } from "./plain-text.ts";
import { changeLines, type ReloadAnswer } from "./reload.ts";

interface Forecast extends ReloadAnswer {
  readonly departures: readonly Departure[];
  readonly held: readonly { readonly pool: string; readonly removed: number; readonly of: number }[];
}

interface Departure {
  readonly pool: string;
  readonly backend: string;
  readonly connections: number;
  readonly mode: "drain" | "keep" | "close";
  readonly graceMs: number;
  readonly spreadMs: number;
}

const SALT_BYTES = 32;

/** Returns the exit code. */
export async function checkAgainst(
  client: AdminClient,
  file: string,
  { print, complain }: Output,
): Promise<number> {
  const loaded = loadConfigFile(file, process.env, "check");
  for (const warning of loaded.warnings) complain(formatProblem(warning, "warning"));
  if (!loaded.ok) {
    for (const error of loaded.errors) print(formatProblem(error));
    return ExitCode.usage;
  }
  const salt = randomBytes(SALT_BYTES).toString("base64url");
  const { status, body } = await client.ask("POST", "/api/reload?dry=1", {
    body: { version: packageVersion(), ...veil(loaded.config, salt) },
    expected: [422],
  });
  if (status === 422) {
    const { errors } = body as { readonly errors: readonly string[] };
    for (const error of errors) print(plain(`${file}: ${error}`));
    return ExitCode.usage;
  }
  for (const line of forecastLines(body as Forecast)) print(line);
  return ExitCode.ok;
}

/** What would change, which connections would be closed and when, and whether the file would wait to be applied. */
function forecastLines({ changes, departures, held }: Forecast): string[] {
  return [
    ...changeLines(changes),
    ...departures.map((departure) => plain(departureLine(departure))),
    ...(departures.length === 0 && changes.length > 0 ? ["no connection would be closed"] : []),
    ...held.map(({ pool, removed, of }) =>
      plain(
        `${pool}: ${removed} of ${of} backends would go, more than reload.maxRemoved: weir reload or SIGHUP applies it, a change of the file alone does not`,
      ),
    ),
  ];
}

function departureLine(departure: Departure): string {
  const { pool, backend, connections, mode } = departure;
  const count = connections === 1 ? "1 connection" : `${connections} connections`;
  const fate =
    mode === "keep"
      ? "would stay until they end by themselves"
      : `would be closed with 1012 ${timeOf(departure)}`;
  return `${pool}/${backend}: ${count} ${fate}`;
}

function timeOf({ mode, graceMs, spreadMs }: Departure): string {
  if (mode === "close" || graceMs + spreadMs === 0) return "at once";
  const grace = graceMs === 0 ? "" : `after ${formatDuration(graceMs)}`;
  const spread = spreadMs === 0 ? "" : `over ${formatDuration(spreadMs)}`;
  return [grace, spread].filter((part) => part !== "").join(", ");
}
