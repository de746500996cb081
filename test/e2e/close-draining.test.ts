// A shutdown waits for the frame in flight: it goes through whole before our Close, however long the peers
// have to answer that one.
import { expect, test } from "vitest";

import { opcodes } from "../support/frames.ts";
import { startRelay } from "../support/relay.ts";

const { binary } = opcodes;

test.for([["client"], ["backend"]] as const)(
  "a frame of the %s that is in flight at a shutdown is delivered before the Close",
  async ([from]) => {
    const relay = await startRelay({
      yaml: "timeouts: { close: 50ms, ping: off }\nshutdown: { spread: 0s }",
    });
    const { client, backend } = await relay.open();
    const [sender, receiver] = from === "client" ? [client, backend] : [backend, client];
    const frame = sender.encode({ opcode: binary, payload: Buffer.alloc(1_000, 7) });
    await sender.write(frame.subarray(0, 500));
    await receiver.untilReceivedBytes(500);
    const bystander = await relay.open();
    const drained = relay.weir.drain();
    // Nobody answers that one: by its end, the peers' time would be over.
    await bystander.client.nextClose();
    await bystander.client.untilPeerState("fin");
    await sender.write(frame.subarray(500));
    expect((await receiver.nextFrame()).payload).toEqual(Buffer.alloc(1_000, 7));
    expect((await receiver.nextClose()).code).toBe(1001);
    expect((await sender.nextClose()).code).toBe(1001);
    await drained;
  },
);
