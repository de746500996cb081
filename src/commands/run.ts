// Runs a command for a Weir that runs: finds out where it is, asks it, and tells the exit code.

import process from "node:process";
import type { RemoteCommand } from "./remote-command.ts";
import { AdminClient } from "./admin-client.ts";
import { activate, drain } from "./backend.ts";
import { explain } from "./explain.ts";
import type { Output } from "./output.ts";
import { reload } from "./reload.ts";
import { type Remote, resolveRemote } from "./remote.ts";
import { status } from "./status.ts";
import { tap } from "./tap.ts";
import { top, topOnce } from "./top.ts";

/** Cells of a line where no terminal says how many it has. */
const DEFAULT_WIDTH = 120;

/** Throws UsageError, and FatalError with what went wrong. */
export async function runRemote(command: RemoteCommand): Promise<number> {
  const remote = resolveRemote(command.remote, process.env);
  const client = new AdminClient(remote);
  try {
    return await runWith(client, remote, command, {
      print: (line) => void process.stdout.write(`${line}\n`),
      complain: (line) => void process.stderr.write(`${line}\n`),
    });
  } finally {
    await client.close();
  }
}

async function runWith(
  client: AdminClient,
  remote: Remote,
  command: RemoteCommand,
  output: Output,
): Promise<number> {
  const isColoured = process.stdout.isTTY && !process.env.NO_COLOR;
  switch (command.name) {
    case "status": {
      const view = { address: remote.shown, width: width(), isStyled: isColoured, json: command.json };
      return await status(client, view, output);
    }
    case "top":
      if (command.once || !process.stdout.isTTY) return await topOnce(remote, width(), output);
      return await top(remote, isColoured);
    case "tap":
      return await tap(remote, command, output);
    case "explain": {
      const view = { width: width(), isStyled: isColoured, json: command.json };
      return await explain(client, command.question, view, output);
    }
    case "check-against": {
      // It reads configurations, which the others need not learn for it.
      const { checkAgainst } = await import("./check-against.ts");
      return await checkAgainst(client, command.file, output);
    }
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

/** Of the terminal, else what COLUMNS says. */
function width(): number {
  const given = Number(process.env.COLUMNS);
  return process.stdout.columns ?? (Number.isInteger(given) && given > 0 ? given : DEFAULT_WIDTH);
}
