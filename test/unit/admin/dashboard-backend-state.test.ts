// What the dashboard and `weir top` say of a backend is the same, whatever the operator and the checks say.
import { expect, test } from "vitest";
import { poolLines } from "../../../src/commands/overview.ts";
import { textOf } from "../../../src/commands/lines.ts";

interface Standing {
  readonly listed: boolean;
  readonly state: "active" | "draining" | "down";
  readonly up: boolean;
  readonly ejected: boolean;
}

interface StateModule {
  readonly stateOf: (backend: Standing) => { text: string; level: string; isServing: boolean };
}

const script = new URL("../../../src/admin/dashboard/backend-state.js", import.meta.url);
const { stateOf } = (await import(script.href)) as StateModule;

const well: Standing = { listed: true, state: "active", up: true, ejected: false };

/** Of the table that a terminal shows, in a window of 80 columns. */
function inTerminal(standing: Standing): string {
  const failures = { connect: 0, timeout: 0, malformed: 0, status: 0, lost: 0 };
  const figures = { connections: 7, capacity: 100, weight: 1, failures, roundTripMs: 1.5 };
  const backend = { id: "a", url: "ws://10.0.0.1:1", ...figures, ...standing };
  const pool = { name: "chat", balance: "random", affinity: { by: "none", entries: 0 }, waiting: 0 };
  const lines = poolLines({ pools: [{ ...pool, backends: [backend] }] }, 80).map((line) =>
    textOf(line, 80, false),
  );
  return /^ +a +(.*\S) +7 +100 +1 +1\.5 ms/.exec(lines.at(-1) ?? "")?.[1] ?? lines.join("\n");
}

test.each<[Partial<Standing>, text: string, level: string]>([
  [{}, "active", "ok"],
  [{ state: "draining" }, "draining", "warn"],
  [{ state: "down" }, "down", "warn"],
  [{ listed: false }, "removed", "warn"],
  [{ up: false }, "unhealthy", "bad"],
  [{ ejected: true }, "ejected", "bad"],
  [{ up: false, ejected: true }, "unhealthy", "bad"],
  [{ state: "draining", up: false }, "draining, unhealthy", "bad"],
  [{ state: "draining", ejected: true }, "draining, ejected", "bad"],
  [{ state: "down", up: false }, "down, unhealthy", "bad"],
  [{ listed: false, state: "draining", up: false }, "removed, unhealthy", "bad"],
])("a backend that is %j is shown as %s", (standing, text, level) => {
  const backend = { ...well, ...standing };
  expect(stateOf(backend)).toEqual({ text, level, isServing: text === "active" });
  expect(inTerminal(backend)).toBe(text);
});
