// A short run of every fuzz target, always with the same inputs; `npm run fuzz` has the long ones. What fails
// here is had again by what the error says.

import { describe, expect, test } from "vitest";
import { type Outcome, runCampaign } from "./campaign.ts";
import { iterationOf, loadTarget } from "./target.ts";
import { TARGETS, targetUrl } from "./targets.ts";

const SEED = 1;

/** A second or so each, the start of the thread included. */
const ITERATIONS: Readonly<Record<(typeof TARGETS)[number], number>> = {
  "upgrade-head": 1_500,
  frames: 2_000,
  "backend-answer": 4_000,
  "proxy-header": 10_000,
  "configuration-text": 500,
  "configuration-data": 500,
  "header-values": 3_000,
  "refused-client": 5_000,
};

describe("no input", () => {
  test.each(TARGETS)("of %s makes it crash, hang, grow or break a law", async (name) => {
    const campaign = { target: targetUrl(name), seed: SEED, from: 0, iterations: ITERATIONS[name] };
    expect(await runCampaign(campaign)).toMatchObject({ kind: "passed" });
  });
});

describe("a campaign", () => {
  test("tells of a law that is broken, with the input", async () => {
    const outcome = await runPlanted("law", 10_000);
    expect(outcome).toMatchObject({ kind: "failed", reason: expect.stringContaining("planted law") });
    expect(outcome.kind === "failed" && outcome.input.includes(0)).toBe(true);
  });

  test("tells of a crash, and at which iteration", async () => {
    const outcome = await runPlanted("crash", 10_000);
    expect(outcome).toMatchObject({ kind: "failed", reason: expect.stringContaining("planted crash") });
    const iteration = outcome.kind === "failed" ? outcome.iteration : 0;
    const again = await runPlanted("crash", 1, iteration);
    expect(again).toMatchObject({ kind: "failed", iteration });
  });

  test("tells of a loop without end", async () => {
    const outcome = await runPlanted("hang", 10_000);
    expect(outcome).toMatchObject({ kind: "failed", reason: expect.stringContaining("hangs") });
  });

  test("tells of memory that grows", async () => {
    const outcome = await runPlanted("growth", 4_000);
    expect(outcome.kind).toBe("grown");
  });
});

test("an iteration has the same input whenever it is asked for, and another than its neighbour", async () => {
  const target = await loadTarget(targetUrl("proxy-header"));
  const [first, again, next] = [7, 7, 8].map((iteration) => iterationOf(target, SEED, iteration).input);
  expect(again).toEqual(first);
  expect(next).not.toEqual(first);
});

function runPlanted(name: string, iterations: number, from = 0): Promise<Outcome> {
  const target = new URL(`./planted/${name}.ts`, import.meta.url).href;
  return runCampaign({ target, seed: SEED, from, iterations, deadlineMs: 2_000 });
}
