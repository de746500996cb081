// An owner for a pipe on its own, to whom nothing that it meets means anything.

import type { PipeOwner } from "../../src/data-plane/pipe-owner.ts";

function ignore(): void {}

export const NOBODY: PipeOwner = {
  onCloseReceived: ignore,
  onCloseSent: ignore,
  onProtocolError: ignore,
  onMessageTooBig: ignore,
  onControlFlood: ignore,
  onLimited: ignore,
  onDelayed: ignore,
  onRateExceeded: ignore,
  onSourceEnd: ignore,
  onSourceClosed: ignore,
  onDrain: ignore,
};
