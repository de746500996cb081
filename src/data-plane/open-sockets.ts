// Counts the sockets that this thread has open, of clients and to backends, where all threads see it: each takes
// one of the files that the process may have.

import type { Socket } from "node:net";

/** One for each thread, which alone writes it; none is shared before `shareCounts`. */
let cells: Int32Array = new Int32Array(1);
let own = 0;

/** Called once, before any socket is. What the thread that was here before had open is closed. */
export function shareCounts(counts: SharedArrayBuffer, thread: number): void {
  cells = new Int32Array(counts);
  own = thread;
  cells[own] = 0;
}

/** Called once for each socket as it is opened; it counts until it is closed. */
export function countSocket(socket: Socket): void {
  add(1);
  socket.on("close", onClosed);
}

/** Called for one that was counted, where its end is not waited for, or another is counted in its place. */
export function discountSocket(socket: Socket): void {
  if (!socket.listeners("close").includes(onClosed)) return;
  socket.off("close", onClosed);
  add(-1);
}

/** Of all threads. */
export function openSockets(): number {
  let sockets = 0;
  for (const count of cells) sockets += count;
  return sockets;
}

function onClosed(): void {
  add(-1);
}

function add(sockets: number): void {
  cells[own] = (cells[own] ?? 0) + sockets;
}
