// A server's place in the file system. It is bound under a name of its own and then renamed: whoever takes a
// path over does so in one step, without a moment in which nobody answers there, and who gave it up removes
// nothing that is another's.

import { randomBytes } from "node:crypto";
import { chmod, lstat, rename, unlink } from "node:fs/promises";
import net from "node:net";
import { dirname, join } from "node:path";
import process from "node:process";
import { isMainThread } from "node:worker_threads";

/** Random bytes in the name that a socket is bound under; with them it is shorter than most names. */
const NAME_BYTES = 6;

const ALL_PERMISSIONS = 0o777;

export interface UnixSocket {
  /** Gives it its path, once, in place of whoever has that now. Rejects with an error of the file system. */
  publish(): Promise<void>;
  /**
   * Removes the path, once, unless another process has taken it over. Comes before the server's end: until
   * then no other socket can have the same inode.
   */
  remove(): Promise<void>;
}

/**
 * Has a server accept connections that `publish` then leads to it. Rejects with an error of the file system;
 * EEXIST where the path is something else than a socket.
 *
 * @param mode who may connect: all whom the folder and the mode let write
 */
export async function listenFor(server: net.Server, path: string, mode?: number): Promise<UnixSocket> {
  const found = await lstat(path).catch(() => null);
  if (found !== null && !found.isSocket()) {
    throw Object.assign(new Error(`EEXIST: ${path} is not a socket`), { code: "EEXIST" });
  }
  const bound = join(dirname(path), `.${randomBytes(NAME_BYTES).toString("base64url")}`);
  await bind(server, bound, mode);
  try {
    if (mode !== undefined) await chmod(bound, mode);
    const { dev, ino } = await lstat(bound);
    let isPublished = false;
    let isRemoved = false;
    return {
      publish: async () => {
        if (isPublished) return;
        isPublished = true;
        await rename(bound, path);
      },
      remove: async () => {
        if (isRemoved) return;
        isRemoved = true;
        const facts = await lstat(path).catch(() => null);
        if (facts !== null && facts.dev === dev && facts.ino === ino) await unlink(path);
      },
    };
  } catch (error) {
    server.close();
    throw error;
  }
}

async function bind(server: net.Server, path: string, mode: number | undefined): Promise<void> {
  // Who connects before the mode is set would stay connected. It is the process's: a thread cannot mask.
  const umask = mode !== undefined && isMainThread ? process.umask(ALL_PERMISSIONS & ~mode) : null;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  try {
    // Binds before it returns, or never.
    server.listen({ path, exclusive: true }, () => {
      server.off("error", reject);
      resolve();
    });
  } finally {
    if (umask !== null) process.umask(umask);
  }
  await promise;
}

/** `listenFor`, and `publish` at once. */
export async function listenAtPath(server: net.Server, path: string, mode?: number): Promise<UnixSocket> {
  const socket = await listenFor(server, path, mode);
  await socket.publish();
  return socket;
}

/** Whether anyone answers at the path. */
export async function isServed(path: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = net.connect({ path });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    // What is there and will not let us in is no ruin: only a refused connect tells of nobody.
    socket.once("error", (error: NodeJS.ErrnoException) =>
      resolve(error.code !== "ECONNREFUSED" && error.code !== "ENOENT"),
    );
  });
}
