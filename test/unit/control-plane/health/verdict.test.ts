import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { Verdict } from "../../../../src/control-plane/health/verdict.ts";

const thresholds = { healthyAfter: 2, unhealthyAfter: 3 };

/** `+` for a check that passed; the answer has U or D where the result decided, `.` elsewhere. */
function play(results: string, verdict = new Verdict()): string {
  return results
    .split("")
    .map((result) => (verdict.record(result === "+", thresholds) ? (verdict.isUp ? "U" : "D") : "."))
    .join("");
}

describe("Verdict", () => {
  test.each([
    ["+", "U"],
    ["-", "D"],
    ["+--", "U.."],
    ["+---", "U..D"],
    ["+--+--+--", "U........"],
    ["-+", "D."],
    ["-++", "D.U"],
    ["-+-+-+-", "D......"],
    ["+---++---", "U..D.U..D"],
    ["+----", "U..D."],
  ])("%s is %s", (results, decisions) => {
    expect(play(results)).toBe(decisions);
  });

  test("one that starts anew needs its thresholds again, but stays what it was", () => {
    const verdict = new Verdict();
    play("+--", verdict);
    verdict.startAnew();
    expect(verdict.isUp).toBe(true);
    expect(play("--", verdict)).toBe("..");
    expect(play("-", verdict)).toBe("D");
  });

  test("tells a failing check from a backend that is down", () => {
    const verdict = new Verdict();
    expect(verdict.isFailing).toBe(false);
    play("+-", verdict);
    expect(verdict).toMatchObject({ isUp: true, isFailing: true });
    play("--+", verdict);
    expect(verdict).toMatchObject({ isUp: false, isFailing: false });
  });

  test("after the first result it changes only by as many equal ones in a row as the thresholds say", () => {
    fc.assert(
      fc.property(
        fc.array(fc.boolean(), { minLength: 1 }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 4 }),
        (results, healthyAfter, unhealthyAfter) => {
          const verdict = new Verdict();
          let expected: boolean | null = null;
          results.forEach((hasPassed, index) => {
            const needed = hasPassed ? healthyAfter : unhealthyAfter;
            const last = results.slice(Math.max(0, index + 1 - needed), index + 1);
            const isEnough = last.length === needed && last.every((one) => one === hasPassed);
            const isDecided = expected === null || (hasPassed !== expected && isEnough);
            if (isDecided) expected = hasPassed;
            expect(verdict.record(hasPassed, { healthyAfter, unhealthyAfter })).toBe(isDecided);
            expect(verdict.isUp).toBe(expected);
          });
        },
      ),
    );
  });
});
