// Ends an answer so that its client can see that it is not whole.

import type http from "node:http";
import type { Socket } from "node:net";

/** Destroys the client's socket, but for the answers that come before this one: those it still gets. */
export function cutAnswer(response: http.ServerResponse): void {
  // A pipelined answer has no socket before its turn; Node would then send what was written of it, and go on.
  if (response.socket === null) response.once("socket", (socket: Socket) => socket.destroy());
  response.destroy();
}
