// A shutdown waits for the frame in flight: it goes through whole before our Close, however long the peers
// have to answer that one.
import { expect, test } from "vitest";

import { opcodes } from "../support/frames.ts";
import { startRelay } from "../support/relay.ts";

const { binary } = opcodes;

test.for([["client"], ["backend"]] as const)(
  "a frame of the %s that is in flight at a shutdown is delivered before the Close",
  async ([from]) => {
    const relay = await startRelay({ yaml: "timeouts: { close: 50ms }" });
    const { client, backend } = await relay.open();
    const [sender, receiver] = from === "client" ? [client, backend] : [backend, client];
    const frame = sender.encode({ opcode: binary, payload: Buffer.alloc(1_000, 7) });
    await sender.write(frame.subarray(0, 500));
    await receiver.untilReceivedBytes(500);
    const drained = relay.weir.drain();
    // The other direction is at a frame boundary: its Close comes at once, and its time passes.
    expect((await sender.nextClose()).code).toBe(1001);
    await sender.write(frame.subarray(500));
    expect((await receiver.nextFrame()).payload).toEqual(Buffer.alloc(1_000, 7));
    expect((await receiver.nextClose()).code).toBe(1001);
    await drained;
  },
);
