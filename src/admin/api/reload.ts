// `/api/reload`: the configuration file is read again, or only checked.

import { formatProblem, type Problem } from "../../config/problems.ts";
import type { Reloader } from "../../reloader.ts";
import { ApiError, isAskedFor, type ApiAnswer, type ApiRequest, type Endpoint } from "./endpoint.ts";

export interface ReloadSources {
  /** Null where Weir was not started from a file. */
  readonly reloads: Pick<Reloader, "reload" | "dryRun"> | null;
}

export function reloadEndpoints(sources: ReloadSources): Endpoint[] {
  return [{ method: "POST", path: "/api/reload", answer: (request) => reload(request, sources) }];
}

/** 422 where the file is not valid, 409 where there is none. What is asked for by hand is never held back. */
async function reload({ url }: ApiRequest, { reloads }: ReloadSources): Promise<ApiAnswer> {
  if (reloads === null) throw new ApiError(409, "no_file", "there is no configuration file to read again");
  const result = await (isAskedFor(url, "dry") ? reloads.dryRun() : reloads.reload());
  if (result.ok) {
    return { status: 200, body: { changes: result.changes, warnings: lines(result.warnings) } };
  }
  const message = "the configuration is not valid; nothing was changed";
  return { status: 422, body: { error: "invalid_config", message, errors: lines(result.errors) } };
}

function lines(problems: readonly Problem[]): string[] {
  return problems.map((problem) => formatProblem(problem));
}
