import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // Most of a test's time is Weir's start, and most of that is compiling the same sources again.
    env: { NODE_COMPILE_CACHE: "node_modules/.cache/compile" },
  },
});
