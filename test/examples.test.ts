import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"

import { assert, describe, it } from "@effect/vitest"

const root = fileURLToPath(new URL("../examples/", import.meta.url))
const examples = ["policies", "probes", "supervisor"].flatMap((folder) =>
  Fs.readdirSync(Path.join(root, folder, "src"))
    .filter((name) => /^\d\d-/.test(name))
    .map((name) => Path.join(folder, "src", name))
)

const named = (extension: string) =>
  examples.filter((name) => name.endsWith(extension)).map((name) => name.slice(0, -extension.length))

/** As a user runs it: a process of its own, that ends by itself. */
const run = (name: string) =>
  promisify(ChildProcess.execFile)(process.execPath, [Path.basename(name)], {
    cwd: Path.join(root, Path.dirname(name)),
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"] },
    timeout: 20_000
  })

describe("the small examples", () => {
  it("come in pairs: Effect, and plain Node", () => {
    assert.isAtLeast(named(".ts").length, 10)
    assert.deepStrictEqual(named(".ts"), named(".mjs"))
  })

  it.concurrent.each(examples)("%s runs to its end and says what happened", async (name) => {
    const { stderr, stdout } = await run(name)
    assert.strictEqual(stderr, "")
    assert.isAbove(stdout.trim().length, 0)
  })
})
