// A process of the load, from within: does what its parent commands, one answer to each command, and ends
// with it.

import type { Answer, Request } from "./commands.ts";

type Execute<Command, Report> = (command: Command) => Promise<Report>;

export function serve<Command, Report>(execute: Execute<Command, Report>): void {
  process.on("disconnect", () => process.exit(0));
  // Ctrl-C reaches the whole terminal group; the runner decides what ends when.
  process.on("SIGINT", () => {});
  process.on("message", (request: Request<Command>) => {
    const answer = (rest: Omit<Answer<Report>, "id">): void => {
      process.send?.({ id: request.id, ...rest });
    };
    execute(request.command).then(
      (report) => answer({ report }),
      (error: unknown) => answer({ error: error instanceof Error ? error.message : String(error) }),
    );
  });
}
