import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"

import { gateway, list, refusals } from "./Component.types.ts"

describe("what does not compile", () => {
  it("is refused at run time too, and the option is named", () => {
    assert.deepStrictEqual(Object.fromEntries(refusals.map(({ said, what }) => [what, said])), {
      "no parts": "probes",
      "no alternatives": "probes",
      "missing rungs": 'x.runbook["OutOfMemory"]',
      "no runbook at all": 'x.runbook["OutOfMemory"]',
      "dead rung": 'x.runbook["OutOfMemory"]',
      "misspelt rung": 'x.runbook["NotListening"]',
      "dead rung through a variable": 'x.runbook["OutOfMemory"]',
      "dead rung through a spread": 'x.runbook["OutOfMemory"]',
      "dead escalation": 'x.runbook["QueueStuck"]',
      "empty ladder": 'x.runbook["NotListening"]',
      undefined: 'x.runbook["NotListening"]',
      "an answer that is none": 'x.runbook["OutOfMemory"]',
      "the timeout of a combinator": 'x.runbook["Probe/Timeout"]',
      "the second probe": 'x.runbook["QueueStuck"]',
      "the part of a combined probe": 'x.runbook["QueueStuck"]',
      "widened signatures": 'x.runbook["OutOfMemory"]',
      "widened signatures with rungs": 'x.runbook["OutOfMemory"]',
      "a probe added to a preset": 'a.runbook["QueueStuck"]'
    })
  })

  it("and what compiles is there", () => {
    assert.deepStrictEqual([...gateway.signatures.keys()], [...gateway.runbook.keys()])
    assert.deepStrictEqual(
      list.map((component) => component.name),
      ["gateway", "o"]
    )
  })
})

const packageFolder = Path.join(import.meta.dirname, "..")
const repository = Path.join(packageFolder, "..", "..")

/** Compiles a module as a user of this package would, with the compiler of the repository. */
const compile = (source: string): { readonly code: number | null; readonly output: string } => {
  // Below node_modules no other program looks for sources.
  const folder = Fs.mkdtempSync(Path.join(packageFolder, "node_modules", ".types-"))
  try {
    Fs.writeFileSync(Path.join(folder, "stack.ts"), source)
    const compilerOptions = {
      noEmit: true,
      composite: false,
      incremental: false,
      emitDeclarationOnly: false,
      declaration: false,
      declarationMap: false,
      rewriteRelativeImportExtensions: false
    }
    Fs.writeFileSync(
      Path.join(folder, "tsconfig.json"),
      JSON.stringify({ extends: "../../../../tsconfig.base.json", compilerOptions, files: ["stack.ts"] })
    )
    const tsc = Path.join(repository, "node_modules", ".bin", "tsc")
    const { status, stderr, stdout } = ChildProcess.spawnSync(tsc, ["--noEmit", "--pretty", "false"], {
      cwd: folder,
      encoding: "utf8"
    })
    return { code: status, output: stdout + stderr }
  } finally {
    Fs.rmSync(folder, { recursive: true, force: true })
  }
}

const component = (rungs: ReadonlyArray<string>): string => `
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Component from "../../src/Component.ts"
import * as Probe from "../../src/Probe.ts"
import * as Remediator from "../../src/Remediator.ts"
import * as Verdict from "../../src/Verdict.ts"

class Silent extends Schema.TaggedClass<Silent>()("Gateway/Silent", { port: Schema.Int }) {}
class Refusing extends Schema.TaggedClass<Refusing>()("Gateway/Refusing", { status: Schema.Int }) {}
class Unpaired extends Schema.TaggedClass<Unpaired>()("Gateway/Unpaired", {}) {}

const restart = Remediator.make({
  id: "restart", description: "restart it", blastRadius: "process", reversible: true, apply: () => Effect.void
})
const answers = Probe.make({
  name: "answers", reports: [Silent, Refusing, Unpaired], check: Effect.succeed(Verdict.healthy)
})
export const gateway = Component.make({ name: "gateway", probes: [answers] }, {
  ${rungs.join(",\n  ")}
})
`

describe("the compiler", { timeout: 60_000 }, () => {
  const silent = `"Gateway/Silent": [restart]`
  const refusing = `"Gateway/Refusing": Component.observe("it says why")`
  const unpaired = `"Gateway/Unpaired": Component.escalate("a human approves the device")`

  it("names every signature that has no answer", () => {
    const { code, output } = compile(component([silent]))
    assert.notStrictEqual(code, 0, output)
    assert.include(output, "Gateway/Refusing")
    assert.include(output, "Gateway/Unpaired")
    assert.match(output, /missing the following properties .*Gateway\/Refusing.*Gateway\/Unpaired/s)
    assert.notMatch(output, /following properties[^]*:[^]*Gateway\/Silent[^]*Gateway\/Refusing/, "only those")
  })

  it("names the one that is left", () => {
    const { code, output } = compile(component([silent, refusing]))
    assert.notStrictEqual(code, 0, output)
    assert.match(output, /Gateway\/Unpaired["']* is missing/)
  })

  it("names a rung that answers nothing", () => {
    const { code, output } = compile(component([silent, refusing, unpaired, `"Gateway/Bored": [restart]`]))
    assert.notStrictEqual(code, 0, output)
    assert.include(output, "Gateway/Bored")
  })

  it("is content once every signature is answered", () => {
    const { code, output } = compile(component([silent, refusing, unpaired]))
    assert.strictEqual(code, 0, output)
    assert.strictEqual(output, "")
  })

  it("is content with the example in the readme", () => {
    const readme = Fs.readFileSync(Path.join(packageFolder, "README.md"), "utf8")
    const [, example = ""] = /```ts\n(.*?)```/s.exec(readme) ?? []
    const source = example.replace("@nexobot/core", "../../src/index.ts")
    assert.notStrictEqual(source, example)
    assert.deepStrictEqual(compile(source), { code: 0, output: "" })
    const without = compile(source.replace(/, "Gateway\/Unpaired": .*? }/s, " }"))
    assert.match(without.output, /Gateway\/Unpaired["']* is missing/, "and says what it says there")
  })
})
