import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

import * as TestFolder from "../../testing/src/TestFolder.ts"
import * as HeapLimit from "../src/internal/heapLimit.ts"

const megabyte = 1_048_576
const heap = "--max-old-space-size=732"

const derive = (command: string, args: ReadonlyArray<string>, more: Partial<HeapLimit.Program> = {}) =>
  HeapLimit.derive({ command, args, env: {}, memoryLimit: 1024 * megabyte, ...more })

const heapOf = (memoryLimit: number | undefined) => derive("node", [], { memoryLimit }).args[0]

/** Runs it to its end. */
const run = (command: string, { args, env }: Pick<HeapLimit.Program, "args" | "env">) =>
  Effect.callback<{ readonly code: number | null; readonly signal: string | null; readonly said: string }>((resume) => {
    const stdio: ChildProcess.StdioOptions = ["ignore", "pipe", "ignore"]
    const child = ChildProcess.spawn(command, args, { env: { PATH: process.env["PATH"], ...env }, stdio })
    let said = ""
    child.stdout?.on("data", (data: Buffer) => (said += data.toString()))
    child.once("close", (code, signal) => resume(Effect.succeed({ code, signal, said })))
  })

const limitCode = "console.log(require('node:v8').getHeapStatistics().heap_size_limit)"

/** The limit is on the old space; the young one is on top, with 192 MB at most in Node 24. */
const isAbout = (said: string, megabytes: number) => {
  const limit = Number(said) / megabyte
  assert.isTrue(limit >= megabytes && limit <= megabytes + 200, `${limit} MB, not about ${megabytes}`)
}

describe("heapLimit", () => {
  it("tells Node by an argument, before its script", () => {
    for (const command of ["node", "/usr/local/bin/node", "nodejs", process.execPath]) {
      assert.deepStrictEqual(derive(command, ["--inspect", "app.js", "x"]), {
        args: [heap, "--inspect", "app.js", "x"],
        env: {}
      })
    }
  })

  it("tells what starts Node by the environment, after what is there", () => {
    const started: ReadonlyArray<readonly [string, ReadonlyArray<string>]> = [
      ["npm", ["start"]],
      ["npx", ["next", "dev"]],
      ["/app/node_modules/.bin/tsx", ["src/main.ts"]],
      ["sh", ["-c", "node app.js"]],
      ["/bin/bash", ["start-dev.sh"]],
      ["env", ["A=b", "node", "app.js"]],
      ["nice", ["-n", "5", "/usr/bin/npm", "start"]]
    ]
    for (const [command, args] of started) {
      const { args: same, env } = derive(command, args, { env: { NODE_OPTIONS: "--enable-source-maps", A: "b" } })
      assert.strictEqual(same, args)
      assert.deepStrictEqual(env, { NODE_OPTIONS: `--enable-source-maps ${heap}`, A: "b" })
      assert.strictEqual(derive(command, args).env["NODE_OPTIONS"], heap)
    }
  })

  it("leaves other programs alone", () => {
    for (const [command, ...args] of [
      ["perl", "app.pl"],
      ["deno", "run", "app.ts"],
      ["bun", "app.ts"],
      ["/bin/true"],
      ["env", "A=b", "python3"],
      ["no such program"],
      ["/"],
      [""]
    ]) {
      assert.deepStrictEqual(derive(command ?? "", args), { args, env: {} })
    }
  })

  it("never overrules a limit that is given", () => {
    for (const given of [
      "--max-old-space-size=100",
      "--max_old_space_size=100",
      "--max-old-space-size",
      "--max-heap-size=90",
      "--max-old-space-size-percentage=50"
    ]) {
      assert.deepStrictEqual(derive("node", [given, "app.js"]).args, [given, "app.js"])
      const env = { NODE_OPTIONS: `--trace-gc ${given}` }
      assert.deepStrictEqual(derive("npm", ["start"], { env }), { args: ["start"], env })
      assert.deepStrictEqual(derive("node", ["app.js"], { env }), { args: ["app.js"], env })
      assert.deepStrictEqual(derive("sh", ["-c", `node ${given} app.js`]).env, {})
    }
  })

  it("leaves out the limit without a memory limit, or when hardly a heap would be left", () => {
    assert.isUndefined(heapOf(undefined))
    assert.isUndefined(heapOf(69 * megabyte))
    assert.strictEqual(heapOf(70 * megabyte), "--max-old-space-size=16")
    assert.strictEqual(heapOf(100 * megabyte), "--max-old-space-size=39")
    assert.strictEqual(heapOf(2048 * megabyte), "--max-old-space-size=1500")
  })

  it.live("finds out who runs a script by its first line, in the path and the folder of the child", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const script = (name: string, line: string) =>
        Fs.writeFileSync(Path.join(folder, name), `${line}\nrest\n`, { mode: 0o755 })
      const lines: Record<string, boolean> = {
        "#!/usr/bin/env node": true,
        "#!/usr/bin/env -S node --enable-source-maps": true,
        "#! /bin/sh -e": true,
        "#!/usr/local/bin/node": true,
        "#!/usr/bin/env python3": false,
        "#!/usr/bin/perl": false,
        "\u007fELF": false
      }
      for (const [index, [line, isNode]] of Object.entries(lines).entries()) {
        const name = `program${index}`
        script(name, line)
        const expected = isNode ? heap : undefined
        assert.strictEqual(
          derive(name, [], { env: { PATH: `/nowhere:${folder}` } }).env["NODE_OPTIONS"],
          expected,
          line
        )
        assert.strictEqual(derive(`./${name}`, [], { cwd: folder }).env["NODE_OPTIONS"], expected, line)
        assert.strictEqual(derive(Path.join(folder, name), []).env["NODE_OPTIONS"], expected, line)
      }
      Fs.mkdirSync(Path.join(folder, "empty"))
      assert.deepStrictEqual(derive(Path.join(folder, "empty"), []).env, {})
    })
  )

  it.live("V8 takes it, in either way", () =>
    Effect.gen(function* () {
      const direct = yield* run(process.execPath, derive(process.execPath, ["-e", limitCode]))
      isAbout(direct.said, 732)
      const shell = yield* run("sh", derive("sh", ["-c", '"$0" -e "$1"', process.execPath, limitCode]))
      isAbout(shell.said, 732)
    })
  )

  it.live("who runs out of heap is aborted by V8: a signal, and no exit code", () =>
    Effect.gen(function* () {
      const script = fileURLToPath(new URL("fixtures/heap.mjs", import.meta.url))
      const program = derive(process.execPath, [script], { memoryLimit: 80 * megabyte })
      const { code, signal } = yield* run(process.execPath, program)
      assert.deepStrictEqual({ code, signal }, { code: null, signal: "SIGABRT" })
    })
  )
})
