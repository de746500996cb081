// Ties a socket's events to the pipe that reads it: by functions that all sockets share, and not by closures.

import type { Socket } from "node:net";
import type { Pipe } from "./pipe.ts";

const PIPE = Symbol("pipe that reads this socket");

interface RelayedSocket extends Socket {
  [PIPE]?: Pipe;
}

/** Begins to read the pipe's source. */
export function attachPipe(pipe: Pipe): void {
  const socket: RelayedSocket = pipe.source;
  socket[PIPE] = pipe;
  socket.on("data", onData);
  socket.on("end", onEnd);
  socket.on("drain", onDrain);
  socket.on("close", onClose);
  if (socket.closed) pipe.owner.onSourceClosed(pipe);
  else pipe.resumeSource();
}

function onData(this: RelayedSocket, chunk: Buffer): void {
  this[PIPE]?.onData(chunk);
}

function onEnd(this: RelayedSocket): void {
  this[PIPE]?.onEnd();
}

function onDrain(this: RelayedSocket): void {
  this[PIPE]?.owner.onDrain(this[PIPE]);
}

function onClose(this: RelayedSocket): void {
  this[PIPE]?.owner.onSourceClosed(this[PIPE]);
}
