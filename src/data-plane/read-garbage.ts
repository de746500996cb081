// Keeps the memory of large transfers low. Every read of a socket brings a buffer of its own, up to 64 KiB
// outside of V8's heap, which alone would let some 80 MiB of them pile up before it looks for the dead ones.

/** So much is read by a thread between two collections; they cost less than the page faults they save. */
const COLLECT_AFTER_BYTES = 12 * 1024 * 1024;

/** There in worker threads because the main thread exposes it; a young collection takes about 1 ms. */
const collect = globalThis.gc;

let readBytes = 0;

/** Called once per chunk. */
export function countRead(bytes: number): void {
  readBytes += bytes;
  if (readBytes < COLLECT_AFTER_BYTES) return;
  readBytes = 0;
  collect?.({ type: "minor", execution: "sync" });
}
