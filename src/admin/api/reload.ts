// `/api/reload`: the configuration file is read again, or only judged; or another configuration is, which the
// caller has read from a file of its own.

import { formatProblem, type Problem } from "../../config/problems.ts";
import { parseVeiled, type VeiledConfig } from "../../config/veil.ts";
import type { Fleet } from "../../control-plane/fleet.ts";
import type { Reloader, ReloadResult } from "../../reloader.ts";
import { packageVersion } from "../../version.ts";
import { ApiError, isAskedFor, type ApiAnswer, type ApiRequest, type Endpoint } from "./endpoint.ts";

export interface ReloadSources {
  readonly departuresUnder: Fleet["departuresUnder"];
  /** Null where Weir was not started from a file. */
  readonly reloads: Pick<Reloader, "reload" | "dryRun"> | null;
}

/** Room for ten thousand backends. */
const MAX_CONFIG_BYTES = 8 * 1024 * 1024;

export function reloadEndpoints(sources: ReloadSources): Endpoint[] {
  return [{ method: "POST", path: "/api/reload", answer: (request) => reload(request, sources) }];
}

/** 422 where the file is not valid, 409 where there is none. What is asked for by hand is never held back. */
async function reload(request: ApiRequest, { reloads, departuresUnder }: ReloadSources): Promise<ApiAnswer> {
  if (reloads === null) throw new ApiError(409, "no_file", "there is no configuration file to read again");
  if (isAskedFor(request.url, "dry")) return await dryRun(request, reloads, departuresUnder);
  const result = await reloads.reload();
  if (!result.ok) return refusal(result.errors);
  return { status: 200, body: { changes: result.changes, warnings: lines(result.warnings) } };
}

async function dryRun(
  { body }: ApiRequest,
  reloads: Pick<Reloader, "dryRun">,
  departuresUnder: ReloadSources["departuresUnder"],
): Promise<ApiAnswer> {
  const sent = await body(MAX_CONFIG_BYTES);
  const given = sent === undefined ? null : givenConfig(sent);
  const result = await reloads.dryRun(given);
  if (!result.ok) return refusal(given === null ? result.errors : result.errors.map(withoutFile));
  const departures = departuresUnder(result.pools).filter(({ connections }) => connections > 0);
  const { changes, warnings, excess: held } = result;
  return { status: 200, body: { changes, warnings: lines(warnings), departures, held } };
}

/** Throws ApiError: 409 where another version has read it, which may understand other keys than this one. */
function givenConfig(sent: unknown): VeiledConfig {
  const version = typeof sent === "object" && sent !== null && "version" in sent ? sent.version : null;
  if (typeof version === "string" && version !== packageVersion()) {
    const message = `the file was read by weir ${version.slice(0, 50)}, and this is weir ${packageVersion()}`;
    throw new ApiError(409, "other_version", message);
  }
  const given = parseVeiled(sent);
  if (given !== null && version !== null) return given;
  throw new ApiError(400, "bad_request", "the body is not what weir check --against sends");
}

function refusal(errors: Extract<ReloadResult, { ok: false }>["errors"]): ApiAnswer {
  const message = "the configuration is not valid; nothing was changed";
  return { status: 422, body: { error: "invalid_config", message, errors: lines(errors) } };
}

/** The caller knows best what its file is called. */
function withoutFile(problem: Problem): Problem {
  return { ...problem, file: null };
}

function lines(problems: readonly Problem[]): string[] {
  return problems.map((problem) => formatProblem(problem));
}
