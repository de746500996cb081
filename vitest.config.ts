import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    // Most tests wait for a process or a socket: one file more than there are cores fills the gaps.
    maxWorkers: availableParallelism() + 1,
    // Longer than any one wait of `until.ts`, whose error says what did not come.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Most of a test's time is Weir's start, and most of that is compiling the same sources again.
    env: { NODE_COMPILE_CACHE: "node_modules/.cache/compile" },
  },
});
