import prometheus from "prom-client";
import { describe, expect, test } from "vitest";

import { Exposition, labelsText, type LiveFamily, type Sample } from "../../../src/admin/exposition.ts";
import { Scrape } from "../../support/metrics.ts";

function family(name: string, samples: () => Iterable<Sample>): LiveFamily {
  return { name, help: "Help.", type: "gauge", samples };
}

test("writes the library's families and the live ones in one format", async () => {
  const registry = new prometheus.Registry();
  const counter = new prometheus.Counter({ name: "a_total", help: "A.", registers: [registry] });
  counter.inc(3);
  const exposition = new Exposition(registry);
  exposition.add(family("b", () => [["", 1]]));
  exposition.add(
    family("c", () => [
      ['x="1"', 0.5],
      ['x="2"', 2e21],
    ]),
  );
  expect(await exposition.text()).toBe(
    `# HELP a_total A.\n# TYPE a_total counter\na_total 3\n\n` +
      `# HELP b Help.\n# TYPE b gauge\nb 1\n\n` +
      `# HELP c Help.\n# TYPE c gauge\nc{x="1"} 0.5\nc{x="2"} 2e+21\n`,
  );
  expect(exposition.contentType).toMatch(/^text\/plain; version=0\.0\.4/);
});

test("a name that would break out of its label is escaped", async () => {
  const name = 'a",evil="1"} 9\n# \\';
  const exposition = new Exposition(new prometheus.Registry());
  exposition.add(family("b", () => [[labelsText({ pool: name, backend: "fine" }), 1]]));
  const text = await exposition.text();
  expect(text.trimEnd().split("\n")).toEqual([
    "# HELP b Help.",
    "# TYPE b gauge",
    String.raw`b{pool="a\",evil=\"1\"} 9\n# \\",backend="fine"} 1`,
  ]);
});

describe("a large family", () => {
  /** What it has been asked for so far. */
  let asked = 0;

  function* slow(count: number): Iterable<Sample> {
    for (let i = 0; i < count; i++) {
      asked += 1;
      const endMs = performance.now() + 0.02;
      while (performance.now() < endMs);
      yield [`i="${i}"`, i];
    }
  }

  test("is written in several turns of the event loop", async () => {
    asked = 0;
    const exposition = new Exposition(new prometheus.Registry());
    exposition.add(family("b", () => slow(3_000)));
    const seen: number[] = [];
    const watch = setInterval(() => seen.push(asked), 0);
    const text = await exposition.text();
    clearInterval(watch);
    expect(new Set(seen).size).toBeGreaterThan(2);
    expect(new Scrape(text).matching("b")).toHaveLength(3_000);
  });

  test("is read once by all who ask meanwhile, and anew by who asks later", async () => {
    asked = 0;
    const exposition = new Exposition(new prometheus.Registry());
    exposition.add(family("b", () => slow(500)));
    const [first, second] = await Promise.all([exposition.text(), exposition.text()]);
    expect(second).toBe(first);
    expect(asked).toBe(500);
    await exposition.text();
    expect(asked).toBe(1_000);
  });

  test("that fails fails its scrape only", async () => {
    let isBroken = true;
    const exposition = new Exposition(new prometheus.Registry());
    exposition.add(
      family("b", () => {
        if (isBroken) throw new Error("broken");
        return [["", 1]];
      }),
    );
    await expect(exposition.text()).rejects.toThrow("broken");
    isBroken = false;
    expect(await exposition.text()).toContain("b 1");
  });
});
