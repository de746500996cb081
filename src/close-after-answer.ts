// The end of a client whose upgrade was refused: its server knows nothing more of the socket.

import type { Duplex } from "node:stream";

/** How long the client has to take its answer and close. */
const LINGER_MS = 2_000;

/**
 * Ends the socket and reads on for a moment: were it destroyed while bytes of the client are unread,
 * the system would send a RST, which can overtake the answer. Who does not close is cut.
 */
export function closeAfterAnswer(socket: Duplex): void {
  if (socket.destroyed) return;
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once("close", () => clearTimeout(timer));
  socket.end();
  socket.resume();
}
