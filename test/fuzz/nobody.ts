// The owner of a pipe that is told everything and does nothing about it.

import type { PipeOwner } from "../../src/data-plane/pipe-owner.ts";

export const nobody: PipeOwner = {
  onCloseReceived() {},
  onCloseSent() {},
  onFinished() {},
  onProtocolError() {},
  onMessageTooBig() {},
  onControlFlood() {},
  onLimited() {},
  onDelayed() {},
  onRateExceeded() {},
  onSourceEnd() {},
  onSourceClosed() {},
  onDrain() {},
};
