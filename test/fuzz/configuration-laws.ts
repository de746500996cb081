// What holds for every configuration, whatever stands in it: it is loaded or refused with reasons, each at its
// place, and what was loaded can be used.

import assert from "node:assert/strict";
import { formatProblem, type LoadResult, parseConfig } from "../../src/config/load.ts";
import { Origins } from "../../src/data-plane/origins.ts";
import { Routes } from "../../src/data-plane/routes.ts";
import { AddressBlocks, AddressRules } from "../../src/data-plane/client-address.ts";

/** As the text of a target is called. */
export const FUZZED_FILE = "/fuzz/weir.yaml";

/** @param lines of the text that it came from; null for an object */
export function checkLoaded(loaded: LoadResult, lines: number | null): void {
  for (const problem of loaded.warnings) checkProblem(problem, lines);
  if (!loaded.ok) {
    assert(loaded.errors.length > 0, "refused without a reason");
    for (const problem of loaded.errors) checkProblem(problem, lines);
    return;
  }
  const { config } = loaded;
  assert.doesNotThrow(() => structuredClone(config), "no worker thread could be given it");
  assert(config.listeners.length > 0 && Object.keys(config.pools).length > 0);
  const routes = new Routes(config.routes);
  assert(config.routes.every((route) => Object.hasOwn(config.pools, route.pool) && routes.find(route.id)));
  void new Origins(config.routes);
  void new AddressBlocks(config.trustedProxies);
  for (const rules of [...config.listeners, ...config.routes]) void new AddressRules(rules);
  const again = parseConfig(config);
  assert(again.ok && again.config === config, "what was loaded is not taken as it is");
}

function checkProblem(problem: Parameters<typeof formatProblem>[0], lines: number | null): void {
  const { line, column, message } = problem;
  assert(message !== "", "a problem that says nothing");
  assert(!/Invalid input|\[object/.test(message), `a problem that nobody has words for: ${message}`);
  assert(!/[\r\n]/.test(formatProblem(problem)), `a problem of several lines: ${formatProblem(problem)}`);
  if (lines === null || problem.file !== FUZZED_FILE) return;
  assert(line !== null && line >= 1 && line <= lines, `line ${line} of ${lines}`);
  assert(column !== null && column >= 1, `column ${column}`);
}
