// How much of the write in progress the kernel has not taken yet. Node tells of a write only once all of it
// has gone, and a peer may take its time for 64 KiB although it reads all along.

/**
 * Nothing that Node documents tells it: `writableLength` and `bytesWritten` only change with whole writes. Its own
 * idle timeout of sockets goes by the same figure. Bytes; 0 where the socket does not tell.
 */
export function unsentBytes(socket: object): number {
  const handle: unknown = Reflect.get(socket, "_handle");
  if (typeof handle !== "object" || handle === null) return 0;
  const unsent: unknown = Reflect.get(handle, "writeQueueSize");
  return typeof unsent === "number" ? unsent : 0;
}
