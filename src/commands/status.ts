// `weir status`: what a running Weir does at the moment, for people or as JSON for scripts.

import type { Status } from "../admin/status.ts";
import { ExitCode } from "../errors.ts";
import type { AdminClient } from "./admin-client.ts";
import { textOf } from "./lines.ts";
import type { Output } from "./output.ts";
import { poolLines, summaryLines } from "./overview.ts";

interface StatusOptions {
  /** Where Weir is, as the person wrote it. */
  readonly address: string;
  readonly width: number;
  readonly isStyled: boolean;
  readonly json: boolean;
}

/** Returns the exit code. */
export async function status(
  client: AdminClient,
  { address, width, isStyled, json }: StatusOptions,
  { print }: Output,
): Promise<number> {
  const { body } = await client.ask("GET", "/api/status");
  if (json) {
    print(JSON.stringify(body));
    return ExitCode.ok;
  }
  const current = body as Status;
  const lines = [...summaryLines(current, { address, width }), ...poolLines(current, width)];
  for (const line of lines) print(textOf(line, width, isStyled));
  return ExitCode.ok;
}
