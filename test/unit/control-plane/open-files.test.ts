import { afterEach, describe, expect, test, vi } from "vitest";

import {
  hintAtOpenFiles,
  resolveMaxConnections,
  socketBudget,
} from "../../../src/control-plane/open-files.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

/** What Node's diagnostic report says of the soft limit of open files. */
function reportLimit(soft: number | string | undefined): void {
  const userLimits = soft === undefined ? {} : { open_files: { soft, hard: "unlimited" } };
  vi.spyOn(process.report, "getReport").mockReturnValue({ userLimits });
}

describe("limits.maxConnections", () => {
  test("is what is configured, whatever the limit of open files", () => {
    reportLimit(1_024);
    expect(resolveMaxConnections(100_000)).toBe(100_000);
  });

  test.each([
    [1_024, 384],
    [1_048_576, 524_160],
    [257, 1],
    [100, 1],
    ["unlimited", Math.floor((Number.MAX_SAFE_INTEGER - 256) / 2)],
    [undefined, 384],
  ])("auto with a limit of %s is %d", (soft, connections) => {
    reportLimit(soft);
    expect(resolveMaxConnections("auto")).toBe(connections);
  });

  test("auto finds this process's own limit, and leaves the report as it was", () => {
    const report = process.report as typeof process.report & { excludeNetwork: boolean };
    const { excludeNetwork } = report;
    expect(resolveMaxConnections("auto")).toBeGreaterThan(1);
    expect(report.excludeNetwork).toBe(excludeNetwork);
  });
});

function hintOf(configured: number | "auto", soft: number | string): unknown[] {
  reportLimit(soft);
  const given: unknown[] = [];
  hintAtOpenFiles(configured, { give: (...hint) => void given.push(hint) });
  return given;
}

describe("a hint at the limit of open files", () => {
  test("is given where few connections fit, with the command that helps", () => {
    expect(hintOf("auto", 1_024)).toEqual([
      [
        "open files",
        "the open-file limit of 1024 allows 384 connections only",
        {
          fix: "ulimit -n 65536, LimitNOFILE=65536 in the systemd unit, or --ulimit nofile=65536 of Docker",
        },
      ],
    ]);
  });

  test("is given where fewer fit than are configured", () => {
    expect(hintOf(10_000, 20_000)).toEqual([
      [
        "open files",
        "the open-file limit of 20000 is less than the 20256 that limits.maxConnections needs",
        {
          fix: "ulimit -n 20256, LimitNOFILE=20256 in the systemd unit, or --ulimit nofile=20256 of Docker",
        },
      ],
    ]);
  });

  test.each([
    ["auto", 65_536],
    ["auto", "unlimited"],
    [10_000, 20_256],
    [100, 1_024],
  ] as const)("is not given with %s and a limit of %s", (configured, soft) => {
    expect(hintOf(configured, soft)).toEqual([]);
  });
});

describe("the budget of sockets", () => {
  test.each([
    [1_024, 896],
    [20_000, 19_872],
    [150, 75],
    ["unlimited", Number.MAX_SAFE_INTEGER - 128],
  ])("with a limit of %s is %d, and has a cell for each thread", (soft, room) => {
    reportLimit(soft);
    const budget = socketBudget(3);
    expect(budget.room).toBe(room);
    expect([...new Int32Array(budget.counts)]).toEqual([0, 0, 0]);
    expect([1, 3, 64].map((threads) => socketBudget(threads).kept)).toEqual([32, 11, 1]);
    // Two for each connection, and still some for who asks for one.
    expect(budget.room).toBeGreaterThan(2 * resolveMaxConnections("auto"));
  });
});
