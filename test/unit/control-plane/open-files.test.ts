import { afterEach, describe, expect, test, vi } from "vitest";

import { resolveMaxConnections } from "../../../src/control-plane/open-files.ts";

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
