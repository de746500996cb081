// Runs a command for a Weir that runs: finds out where it is, asks it, and tells the exit code.

import process from "node:process";
import type { RemoteCommand } from "../command-line.ts";
import { AdminClient } from "./admin-client.ts";
import { activate, drain } from "./backend.ts";
import { checkAgainst } from "./check-against.ts";
import type { Output } from "./output.ts";
import { reload } from "./reload.ts";
import { resolveRemote } from "./remote.ts";

/** Throws UsageError, and FatalError with what went wrong. */
export async function runRemote(command: RemoteCommand): Promise<number> {
  const remote = resolveRemote(command.remote, process.env);
  const client = new AdminClient(remote);
  try {
    return await runWith(client, command, {
      print: (line) => void process.stdout.write(`${line}\n`),
      complain: (line) => void process.stderr.write(`${line}\n`),
    });
  } finally {
    await client.close();
  }
}

async function runWith(client: AdminClient, command: RemoteCommand, output: Output): Promise<number> {
  switch (command.name) {
    case "check-against":
      return await checkAgainst(client, command.file, output);
    case "reload":
      return await reload(client, output);
    case "drain":
      return await drain(client, command.backend, command.waitMs, output);
    case "activate":
      return await activate(client, command.backend, output);
    default:
      return command satisfies never;
  }
}
