import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["packages/*/test/**/*.test.ts", "examples/*/test/**/*.test.ts", "test/**/*.test.ts"],
    testTimeout: 30_000,
    // As many as there are cores, not one less: most tests wait for a server or a process.
    maxWorkers: "100%",
    coverage: { provider: "v8", include: ["packages/*/src/**"] }
  }
})
