// Finds out whether an address is free before the worker threads bind it with `reusePort`, which would
// silently share it with another process, or move a socket of their own to its path.

import net from "node:net";
import type { BindAddress } from "../config/schema.ts";
import { ExitCode, FatalError } from "../errors.ts";
import { isServed } from "../unix-socket.ts";

/** Throws FatalError (exit code 71) where the address is taken or cannot be bound. */
export async function probeAddress(bind: BindAddress): Promise<void> {
  if (bind.kind === "unix") {
    if (!(await isServed(bind.path))) return;
    throw new FatalError(`cannot listen on ${bind.text}: another process serves it`, ExitCode.cannotBind);
  }
  await new Promise<void>((resolve, reject) => {
    const probe = net.createServer();
    probe.once("error", (error: NodeJS.ErrnoException) =>
      reject(new FatalError(`cannot listen on ${bind.text}: ${reasonOf(error)}`, ExitCode.cannotBind, error)),
    );
    const options = { port: bind.port, exclusive: true };
    probe.listen(bind.host === "" ? options : { ...options, host: bind.host }, () => {
      probe.close(() => resolve());
    });
  });
}

function reasonOf(error: NodeJS.ErrnoException): string {
  if (error.code === "EADDRINUSE") return "another process serves it (EADDRINUSE)";
  if (error.code === "EACCES") return "permission denied (EACCES)";
  if (error.code === "EADDRNOTAVAIL") return "this machine has no such address (EADDRNOTAVAIL)";
  return error.code ?? error.message;
}
