// Admission against its model: random sequences of all that can happen to it.
import * as fc from "fast-check";
import { expect, test } from "vitest";

import type { Decision } from "../../../src/control-plane/admission.ts";
import { AdmissionModel, AdmissionUnderTest, expectEqual, type Pools } from "./admission-model.ts";

type Step = fc.Command<AdmissionModel, AdmissionUnderTest>;

const NO_TRIES: ReadonlySet<string> = new Set();

const backend = fc.record(
  {
    id: fc.constantFrom("a", "b", "c", "d"),
    weight: fc.integer({ min: 1, max: 3 }),
    capacity: fc.integer({ min: 1, max: 4 }),
  },
  { requiredKeys: ["id"] },
);

const pool = fc.record({
  backends: fc.uniqueArray(backend, { minLength: 1, maxLength: 4, selector: ({ id }) => id }),
  retries: fc.integer({ min: 0, max: 3 }),
});

const pools: fc.Arbitrary<Pools> = fc
  .record({ chat: pool, game: pool }, { requiredKeys: [] })
  .filter((each) => Object.keys(each).length > 0);

const maxConnections = fc.integer({ min: 1, max: 12 });

const worker = fc.integer({ min: 1, max: 3 });

const steps: fc.Arbitrary<Step>[] = [
  fc.tuple(worker, fc.constantFrom("chat", "game", "unknown")).map(([worker, name]) => admit(worker, name)),
  fc.nat().map((which) => exchange(which)),
  fc.nat().map((which) => open(which)),
  fc.nat().map((which) => release(which)),
  worker.map((worker) => die(worker)),
  fc.tuple(pools, maxConnections).map(([pools, max]) => reload(pools, max)),
  fc.constant(unknownGrants()),
];

/** Drawn seldom: after it nothing is let in any more. */
const drainStep = fc.constant(startDraining());

test("admission equals its model after any sequence of steps, and no backend is above its capacity", () => {
  const often = steps.flatMap((step, index) => Array.from({ length: index < 4 ? 4 : 1 }, () => step));
  const sequences = fc.commands([...often, drainStep], { maxCommands: 60 });
  const property = fc.property(pools, maxConnections, sequences, (pools, max, sequence) => {
    const state = { model: new AdmissionModel(pools, max), real: new AdmissionUnderTest(pools, max) };
    fc.modelRun(() => state, sequence);
    expect(state.real.admission.connections).toBe(state.model.held.length);
  });
  fc.assert(property, { numRuns: 300 });
});

function admit(worker: number, name: string): Step {
  return step(`admit(${worker}, ${name})`, (model, real) => {
    const id = model.nextId++;
    const decision = real.admit(worker, id, name);
    if (model.isDraining) return expectRefused(decision, "draining");
    if (model.held.length >= model.maxConnections) return expectRefused(decision, "connections_full");
    const best = model.best(name, NO_TRIES);
    if (best.length === 0) {
      return expectRefused(decision, model.listed(name).length > 0 ? "backends_full" : "no_backend");
    }
    const backend = grantedBackend(decision, id, name);
    expect(best).toContain(backend);
    model.held.push({ worker, id, pool: name, tried: new Set([backend]), backend, isOpen: false });
  });
}

function exchange(which: number): Step {
  return step(`exchange(${which})`, (model, real) => {
    const slot = pick(
      model.held.filter(({ isOpen }) => !isOpen),
      which,
    );
    if (slot === undefined) return;
    const decision = real.admission.exchange(slot.worker, slot.id, "backend_failed");
    const retries = model.pools[slot.pool]?.retries;
    const best = model.best(slot.pool, slot.tried);
    const isAllowed = retries !== undefined && slot.tried.size <= retries && !model.isDraining;
    if (!isAllowed || best.length === 0) return expectRefused(decision, "backend_failed");
    slot.backend = grantedBackend(decision, slot.id, slot.pool);
    expect(best).toContain(slot.backend);
    slot.tried.add(slot.backend);
  });
}

function open(which: number): Step {
  return step(`open(${which})`, (model, real) => {
    const slot = pick(model.held, which);
    if (slot === undefined) return;
    expect(real.admission.open(slot.worker, slot.id)).toBe(slot.isOpen ? null : slot.pool);
    slot.isOpen = true;
  });
}

function release(which: number): Step {
  return step(`release(${which})`, (model, real) => {
    const slot = pick(model.held, which);
    if (slot === undefined) return;
    expect(real.admission.release(slot.worker, slot.id)).not.toBeNull();
    model.held = model.held.filter((other) => other !== slot);
    // A second release of the same grant gives nothing back.
    expect(real.admission.release(slot.worker, slot.id)).toBeNull();
  });
}

function die(worker: number): Step {
  return step(`die(${worker})`, (model, real) => {
    const lost = model.held.filter((slot) => slot.worker === worker);
    expect(real.admission.releaseWorker(worker)).toBe(lost.length);
    model.held = model.held.filter((slot) => slot.worker !== worker);
  });
}

function reload(pools: Pools, maxConnections: number): Step {
  return step(`reload(${JSON.stringify(pools)}, ${maxConnections})`, (model, real) => {
    real.configure(pools, maxConnections);
    model.pools = pools;
    model.maxConnections = maxConnections;
  });
}

function unknownGrants(): Step {
  return step("unknownGrants", (_, real) => {
    expect(real.admission.release(99, 1)).toBeNull();
    expect(real.admission.open(99, 1)).toBeNull();
    expectRefused(real.admission.exchange(99, 1, "backend_timeout"), "backend_timeout");
    expect(real.admission.releaseWorker(99)).toBe(0);
  });
}

function startDraining(): Step {
  return step("startDraining", (model, real) => {
    real.admission.startDraining();
    model.isDraining = true;
  });
}

function step(name: string, run: (model: AdmissionModel, real: AdmissionUnderTest) => void): Step {
  return {
    check: () => true,
    run: (model, real) => {
      run(model, real);
      expectEqual(real, model);
    },
    toString: () => name,
  };
}

function pick<T>(list: readonly T[], which: number): T | undefined {
  return list[which % list.length];
}

function grantedBackend(decision: Decision, id: number, pool: string): string {
  expect(decision).toMatchObject({ grant: { id, pool } });
  return "grant" in decision ? decision.grant.backend : "";
}

function expectRefused(decision: Decision, code: string): void {
  expect(decision).toEqual({ refused: code });
}
