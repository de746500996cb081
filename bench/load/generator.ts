// The load generator, a process of its own: `generator.ts PORT` does what its parent commands, one
// answer to each command, and ends with it.

import type { LoadAnswer, LoadRequest } from "./commands.ts";
import { Load } from "./load.ts";

const load = new Load(Number(process.argv[2]));

process.on("disconnect", () => process.exit(0));
// Ctrl-C reaches the whole terminal group; the runner decides what ends when.
process.on("SIGINT", () => {});

process.on("message", (request: LoadRequest) => {
  const answer = (rest: Omit<LoadAnswer, "id">): void => {
    process.send?.({ id: request.id, ...rest });
  };
  load.execute(request.command).then(
    (report) => answer({ report }),
    (error: unknown) => answer({ error: error instanceof Error ? error.message : String(error) }),
  );
});
