import { readFileSync } from "node:fs"
import { join } from "node:path"

import { expect, it } from "vitest"

it("runs on the Node that the manifest names, whatever the system's is", () => {
  const manifest = JSON.parse(readFileSync(join(import.meta.dirname, "../package.json"), "utf8"))
  expect(process.version).toBe(`v${manifest.devDependencies.node}`)
})
