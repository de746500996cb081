import { expect, test } from "vitest";
import { TrafficSampler } from "../../../src/admin/traffic.ts";
import { Counter, Counters } from "../../../src/shared-memory/counters.ts";

test("is what came between two samples, by the time that really passed", () => {
  const counters = new Counters();
  const { cells } = counters.addBlock();
  const other = counters.addBlock().cells;
  const slot = counters.slotOf("vip", "chat");
  let nowMs = 5_000;
  const sampler = new TrafficSampler(counters, () => nowMs);
  expect(sampler.perSecond.messages.clientToBackend).toBe(0);
  cells[slot + Counter.messagesToBackend] = 10;
  other[slot + Counter.messagesToBackend] = 20;
  cells[slot + Counter.bytesToClient] = 7;
  nowMs += 2_000;
  sampler.sample();
  expect(sampler.totals.messages.clientToBackend).toBe(30);
  expect(sampler.perSecond.messages).toEqual({ clientToBackend: 15, backendToClient: 0 });
  expect(sampler.perSecond.bytes.backendToClient).toBe(4);
  cells[slot + Counter.messagesDropped] = 3;
  nowMs += 500;
  sampler.sample();
  expect(sampler.perSecond.messages.clientToBackend).toBe(0);
  expect(sampler.perSecond.limited).toEqual({ delay: 0, drop: 6, close: 0, log: 0 });
});

test("keeps its figures where no time has passed", () => {
  const counters = new Counters();
  const { cells } = counters.addBlock();
  let nowMs = 0;
  const sampler = new TrafficSampler(counters, () => nowMs);
  cells[counters.slotOf("vip", "chat") + Counter.messagesLogged] = 5;
  nowMs += 1_000;
  sampler.sample();
  sampler.sample();
  expect(sampler.perSecond.limited.log).toBe(5);
});
