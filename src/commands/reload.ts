// `weir reload`: has the running Weir read its configuration file again.

import { ExitCode } from "../errors.ts";
import type { AdminClient } from "./admin-client.ts";
import type { Output } from "./output.ts";
import { plain } from "./plain-text.ts";

export interface ReloadAnswer {
  readonly changes: readonly { readonly path: string; readonly what: string }[];
  readonly warnings: readonly string[];
}

/** Of a configuration that is not valid. */
interface RefusedReload {
  readonly message: string;
  readonly errors: readonly string[];
}

/** Returns the exit code. */
export async function reload(client: AdminClient, { print, complain }: Output): Promise<number> {
  const { status, body } = await client.ask("POST", "/api/reload", { expected: [422] });
  if (status === 422) {
    const { errors, message } = body as RefusedReload;
    for (const error of errors) print(plain(error));
    complain(plain(message));
    return ExitCode.usage;
  }
  const { changes, warnings } = body as ReloadAnswer;
  for (const warning of warnings) complain(plain(warning));
  for (const line of changeLines(changes)) print(line);
  return ExitCode.ok;
}

/** One line per change; a line as well where there is none. */
export function changeLines(changes: ReloadAnswer["changes"]): string[] {
  if (changes.length === 0) return ["nothing changed"];
  return changes.map(({ path, what }) => plain(`${path}: ${what}`));
}
