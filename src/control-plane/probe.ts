// Finds out whether an address is free before the worker threads bind it with `reusePort`, which would
// silently share it with another process.

import { unlink } from "node:fs/promises";
import net from "node:net";
import type { BindAddress } from "../config/schema.ts";
import { ExitCode, FatalError } from "../errors.ts";

/** Throws FatalError (exit code 71) where the address is taken or cannot be bound. */
export async function probeAddress(bind: BindAddress): Promise<void> {
  if (bind.kind === "unix") return await removeStaleSocket(bind.path, bind.text);
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

/** A socket file that nobody answers on is left from a crash and is removed; one that answers is taken. */
async function removeStaleSocket(path: string, text: string): Promise<void> {
  const failure = await new Promise<NodeJS.ErrnoException | null>((resolve) => {
    const socket = net.connect({ path });
    socket.once("connect", () => {
      socket.destroy();
      resolve(null);
    });
    socket.once("error", resolve);
  });
  if (failure === null) {
    throw new FatalError(`cannot listen on ${text}: another process serves it`, ExitCode.cannotBind);
  }
  if (failure.code === "ECONNREFUSED") await unlink(path);
}

function reasonOf(error: NodeJS.ErrnoException): string {
  if (error.code === "EADDRINUSE") return "another process serves it (EADDRINUSE)";
  if (error.code === "EACCES") return "permission denied (EACCES)";
  if (error.code === "EADDRNOTAVAIL") return "this machine has no such address (EADDRNOTAVAIL)";
  return error.code ?? error.message;
}
