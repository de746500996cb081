// What the threads say while the control plane is not ready: all of it, later, in its order.
import { expect, test } from "vitest";

import { HeldMessages } from "../../../../src/control-plane/takeover/held-messages.ts";
import type { Thread } from "../../../../src/control-plane/thread.ts";
import { Channel, type ToControl } from "../../../../src/shared-memory/channel.ts";

const threads = [1, 2].map((serial): Thread => ({
  serial,
  index: serial - 1,
  channel: new Channel({ postMessage: () => {} }),
}));
const [first, second] = threads as [Thread, Thread];
const retried = (pool: string): ToControl => ({ type: "dial-retried", pool });

function setUp() {
  const heard: [number, ToControl][] = [];
  return { heard, messages: new HeldMessages((thread, message) => heard.push([thread.serial, message])) };
}

test("everything passes at once while nothing is held", () => {
  const { heard, messages } = setUp();
  messages.onMessage(first, retried("a"));
  messages.onDeath(first);
  expect(heard).toEqual([[1, retried("a")]]);
});

test("what is held passes in its order, and what comes later behind it", () => {
  const { heard, messages } = setUp();
  messages.hold();
  messages.onMessage(first, retried("a"));
  messages.onMessage(second, retried("b"));
  messages.onMessage(first, retried("c"));
  expect(heard).toEqual([]);
  messages.release();
  messages.onMessage(second, retried("d"));
  expect(heard).toEqual([
    [1, retried("a")],
    [2, retried("b")],
    [1, retried("c")],
    [2, retried("d")],
  ]);
});

test("what a thread has said that is gone is void", () => {
  const { heard, messages } = setUp();
  messages.hold();
  messages.onMessage(first, retried("a"));
  messages.onMessage(second, retried("b"));
  messages.onDeath(first);
  messages.release();
  expect(heard).toEqual([[2, retried("b")]]);
});
