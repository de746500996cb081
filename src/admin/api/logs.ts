// `/api/logs`: the newest log entries, by level and text.

import { MAX_LOG_ENTRIES, type LogBuffer } from "../../log-buffer.ts";
import type { LogLevel } from "../../log.ts";
import { ApiError, type ApiAnswer, type ApiRequest, type Endpoint, JsonText, limitOf } from "./endpoint.ts";

export interface LogSources {
  readonly logs: Pick<LogBuffer, "search">;
}

const DEFAULT_LIMIT = 200;
const MAX_TEXT_CHARACTERS = 1_000;

const LEVELS = ["debug", "info", "warn", "error"] as const satisfies readonly LogLevel[];

export function logEndpoints({ logs }: LogSources): Endpoint[] {
  return [{ method: "GET", path: "/api/logs", answer: (request) => search(request, logs) }];
}

async function search({ url }: ApiRequest, logs: LogSources["logs"]): Promise<ApiAnswer> {
  const text = url.searchParams.get("q") ?? "";
  if (text.length > MAX_TEXT_CHARACTERS) {
    throw new ApiError(400, "bad_request", `q: has more than ${MAX_TEXT_CHARACTERS} characters`);
  }
  const entries = await logs.search({
    level: levelOf(url),
    text,
    limit: limitOf(url, { usual: DEFAULT_LIMIT, max: MAX_LOG_ENTRIES }),
  });
  return { status: 200, body: new JsonText(`{"entries":[${entries.join(",")}]}`) };
}

function levelOf({ searchParams }: URL): LogLevel | null {
  const given = searchParams.get("level") ?? "";
  if (given === "") return null;
  const level = LEVELS.find((one) => one === given);
  if (level === undefined) throw new ApiError(400, "bad_request", `level: is one of ${LEVELS.join(", ")}`);
  return level;
}
