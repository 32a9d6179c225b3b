import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import * as Verdict from "@nexobot/core/Verdict"
import { refusal } from "@nexobot/testing/Expect"
import * as TestFolder from "@nexobot/testing/TestFolder"
import * as Effect from "effect/Effect"

import * as EnvironmentProbe from "../src/EnvironmentProbe.ts"
import { probeContract } from "./ProbeContract.ts"
import { signatureOf } from "./support.ts"

const { patterns } = EnvironmentProbe

const make = (options: Omit<EnvironmentProbe.EnvironmentProbeOptions, "name">) =>
  EnvironmentProbe.make({ name: "environment", ...options })

/** What a probe says of one variable with this value. */
const judging = (value: string, variable: EnvironmentProbe.Variable) =>
  make({ variables: { KEY: variable }, env: { KEY: value } }).check

const envFile = (text: string) =>
  Effect.map(TestFolder.make, (folder) => {
    const path = Path.join(folder, ".env")
    Fs.writeFileSync(path, text)
    return path
  })

const body = "Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8Qr9St0Uv1Wx2Yz3Ab4Cd5Ef6Gh7I"

const keys = {
  anthropic: `sk-ant-api03-${body}`,
  gemini: `AIza${body.slice(0, 35)}`,
  groq: `gsk_${body}`,
  openai: `sk-proj-${body}`,
  openRouter: `sk-or-v1-${body}`,
  stripe: `sk_live_${body}`,
  telegram: `123456789:${body.slice(0, 35)}`
} as const

const tags = (probe: Probe.Any) => probe.reports.map(Verdict.tagOf)

const asking = (options: Partial<EnvironmentProbe.EnvironmentProbeOptions> = {}, variable = {}) =>
  Probe.question(make({ variables: { A: { pattern: /a/, ...variable } }, ...options }))

describe("EnvironmentProbe", () => {
  it.effect("a variable of this process is seen when it is asked for, and without options anything will do", () =>
    Effect.gen(function* () {
      const probe = make({ variables: { PATH: {} } })
      assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
      assert.deepInclude(probe, { target: "environment", duringStartup: "judged", effects: "none" })
    })
  )

  it.effect("missing and empty ones are told, the first as the signature, all as evidence", () =>
    Effect.gen(function* () {
      const variables = { A: {}, B: {}, C: {}, D: { kind: "secret" } } as const
      assert.deepStrictEqual(
        yield* make({ variables, env: { B: "", C: " \t", D: "changeme" } }).check,
        Verdict.unhealthy(new EnvironmentProbe.Missing({ variable: "A" }), [
          "A is missing",
          "B is empty",
          "C is empty",
          "D: it is a placeholder"
        ])
      )
      assert.deepStrictEqual(
        yield* make({ variables, env: { A: "x", B: "", C: "x", D: body } }).check,
        Verdict.unhealthy(new EnvironmentProbe.Empty({ variable: "B" }), ["B is empty"])
      )
    })
  )

  it.effect("required: what need not be there may be empty, but not malformed", () =>
    Effect.gen(function* () {
      const variables = { KEY: { required: false, pattern: patterns.groq } }
      for (const env of [{}, { KEY: "" }, { KEY: undefined }, { KEY: keys.groq }]) {
        assert.deepStrictEqual(yield* make({ variables, env }).check, Verdict.healthy)
      }
      const verdict = yield* make({ variables, env: { KEY: "x" } }).check
      assert.deepInclude(signatureOf(verdict), { _tag: "Environment/Malformed" })
    })
  )

  it.effect("names that objects have by birth are no variables", () =>
    Effect.gen(function* () {
      const verdict = yield* make({ variables: { toString: {} }, env: {} }).check
      assert.deepInclude(signatureOf(verdict), { _tag: "Environment/Missing", variable: "toString" })
    })
  )

  it.effect("patterns: each takes its own keys, and tells whose the others are", () =>
    Effect.gen(function* () {
      const all = ["anthropic", "gemini", "groq", "openai", "openRouter", "stripe", "telegram"] as const
      for (const wanted of all) {
        for (const given of all) {
          const verdict = yield* judging(keys[given], { pattern: patterns[wanted] })
          if (wanted === given) assert.deepStrictEqual(verdict, Verdict.healthy)
          else assert.match(JSON.stringify(verdict), /it has the form of a key of [A-Z]\w+"/)
        }
      }
      const verdict = yield* judging(keys.openai, { pattern: patterns.groq })
      assert.deepInclude(signatureOf(verdict), { why: "it has the form of a key of OpenAI" })
    })
  )

  it.effect("pattern and kind: what is wrong is said, and never a part of the value", () =>
    Effect.gen(function* () {
      const groq = { pattern: patterns.groq }
      const secret = { kind: "secret" } as const
      const cases: ReadonlyArray<readonly [string, EnvironmentProbe.Variable, string | undefined]> = [
        [` ${keys.groq}`, groq, "there is white space around it"],
        [`${keys.groq}\r`, groq, "there is white space around it"],
        [`"${keys.groq}"`, groq, "there are quotes around it"],
        [`'${keys.groq}'`, secret, "there are quotes around it"],
        [`"${keys.groq}`, groq, "there is a quote at one of its ends"],
        [`${keys.groq}\nX=1`, groq, "there is a line end or another control character in it"],
        [`gsk-${body}`, groq, "dashes and underscores are mixed up in it"],
        [`sk_ant_api03_${body}`, { pattern: patterns.anthropic }, "dashes and underscores are mixed up in it"],
        [`sk-ant_api03-${body}`, { pattern: patterns.anthropic }, undefined],
        [`gsk_abc`, groq, "it does not match its pattern"],
        [`gsk_your_key`, { ...groq, ...secret }, "it does not match its pattern"],
        ["your-api-key-here", { ...groq, ...secret }, "it is a placeholder"],
        ["<GROQ_API_KEY>", secret, "it is a placeholder"],
        ["xxxxxxxx", secret, "it is a placeholder"],
        ["changeme123", secret, "it is a placeholder"],
        ["REPLACE_ME", secret, "it is a placeholder"],
        ["*****", secret, "it is a placeholder"],
        ["two words", secret, "there is white space in it"],
        ["two words", { kind: "text" }, undefined],
        [" changeme ", {}, undefined],
        ["8080", { pattern: "^\\d+$" }, undefined],
        ["80a", { pattern: "^\\d+$" }, "it does not match its pattern"],
        ['"80"', { pattern: /^"\d+"$/ }, undefined]
      ]
      for (const [value, variable, why] of cases) {
        const verdict = yield* judging(value, variable)
        if (verdict._tag === "Healthy") {
          assert.isUndefined(why, JSON.stringify(value))
          continue
        }
        const found = signatureOf(verdict)
        assert.strictEqual(found._tag === "Environment/Malformed" ? found.why : found._tag, why ?? anyMalformed(found))
        const said = JSON.stringify(verdict)
        const parts = value.length < 6 ? [] : [value.slice(0, 6), value.slice(-6), value.trim().slice(3, 9)]
        for (const part of parts) assert.notInclude(said, JSON.stringify(part).slice(1, -1))
      }
    })
  )

  it.effect("a global or sticky pattern matches each time", () =>
    Effect.gen(function* () {
      for (const pattern of [/^gsk_/g, /gsk_/y]) {
        const probe = make({ variables: { KEY: { pattern } }, env: { KEY: keys.groq } })
        for (const _ of [1, 2, 3]) assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
      }
    })
  )

  it.live("file: it is read at each check, as Node reads it", () =>
    Effect.gen(function* () {
      const file = yield* envFile(`# keys\nexport A=1\nGROQ_API_KEY="${keys.groq}" # mine\r\nEMPTY=\nünïcode=\xff`)
      const probe = make({ variables: { A: {}, GROQ_API_KEY: { pattern: patterns.groq } }, file })
      assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
      assert.strictEqual(probe.target, `file://${file}`)
      Fs.writeFileSync(file, `A=1\nGROQ_API_KEY="${keys.groq.slice(0, 10)}`)
      assert.deepInclude(signatureOf(yield* probe.check), { _tag: "Environment/Malformed" })
      Fs.writeFileSync(file, Buffer.from([0, 255, 254, 61, 10]))
      assert.deepInclude(signatureOf(yield* probe.check), { _tag: "Environment/Missing", variable: "A" })
    })
  )

  it.live("file: none, a folder, a pipe, an endless device and one that is too large are NoFile", () =>
    Effect.gen(function* () {
      const file = yield* envFile("a".repeat(1_000_000))
      const folder = Path.dirname(file)
      const pipe = Path.join(folder, "pipe")
      ChildProcess.spawnSync("mkfifo", [pipe])
      const loop = Path.join(folder, "loop")
      Fs.symlinkSync("loop", loop)
      for (const [path, why] of [
        [loop, "it is a link to itself"],
        [Path.join(folder, "none"), "it is not there"],
        [Path.join(file, "none"), "it is not there"],
        [folder, "it is a folder"],
        [pipe, "it is no file"],
        ["/dev/zero", "it is no file"],
        [file, "it has more than 100000 bytes"]
      ] as const) {
        assert.deepStrictEqual(
          yield* make({ variables: { A: {} }, file: path }).check,
          Verdict.unhealthy(new EnvironmentProbe.NoFile({ path, why }), [`${path}: ${why}`])
        )
      }
      const own = make({ variables: { PATH: {} }, file: "/proc/self/environ" })
      assert.notStrictEqual(signatureOf(yield* own.check)._tag, "Environment/NoFile")
    })
  )

  it("declares just what its options can find", () => {
    const plain = EnvironmentProbe.make({ name: "e", variables: { A: {}, B: { required: true } } })
    expectTypeOf(plain).toEqualTypeOf<Probe.Probe<EnvironmentProbe.Missing | EnvironmentProbe.Empty>>()
    assert.deepStrictEqual(tags(plain), ["Environment/Missing", "Environment/Empty"])
    const optional = EnvironmentProbe.make({ name: "e", variables: { A: { required: false, pattern: /a/ } } })
    expectTypeOf(optional).toEqualTypeOf<Probe.Probe<EnvironmentProbe.Malformed>>()
    assert.deepStrictEqual(tags(optional), ["Environment/Malformed"])
    const file = EnvironmentProbe.make({ name: "e", variables: { A: {}, B: { kind: "secret" } }, file: ".env" })
    expectTypeOf(file).toEqualTypeOf<Probe.Probe<Any>>()
    assert.lengthOf(tags(file), 4)
    const wide: EnvironmentProbe.EnvironmentProbeOptions = { name: "e", variables: { A: {} } }
    expectTypeOf(EnvironmentProbe.make(wide)).toEqualTypeOf<Probe.Probe<Any>>()
    // @ts-expect-error a misspelt option
    assert.strictEqual(refusal(() => EnvironmentProbe.make({ name: "e", variables: {}, path: "" })).option, "path")
  })

  it("asks the same with the same variables, and never shows their values", () => {
    assert.deepStrictEqual(asking(), asking())
    const others = [
      asking({}, { pattern: /b/ }),
      asking({}, { required: false }),
      asking({}, { kind: "secret" }),
      asking({ timeout: "1 second" }),
      asking({ file: ".env" }),
      asking({ variables: { B: { pattern: /a/ } } })
    ]
    for (const other of others) assert.notDeepEqual(other, asking())
    assert.notDeepEqual(asking({ file: ".env" }), asking({ file: "other.env" }))
    // Equal now, and perhaps not when it is read.
    const env = { A: "geheim" }
    assert.isUndefined(asking({ env }))
    assert.notInclude(JSON.stringify(make({ variables: { A: {} }, env })), "geheim")
  })

  it("shows no text that stands where it should not", () => {
    for (const options of [
      { file: "x", env: { T: "geheim99" } },
      { variables: { A: { pattern: "(geheim99" } } },
      { variables: { A: { kind: "geheim99" } } },
      { variables: { A: { required: "geheim99" } } },
      { variables: { A: "geheim99" } },
      { variables: { "A=geheim99": {} } },
      { variables: ["geheim99"] },
      { variables: "A=geheim99" },
      { env: "A=geheim99" },
      { env: { A: ["geheim99"] } }
    ]) {
      const error = refusal(() => make({ variables: { A: {} }, ...(options as object) }))
      assert.notInclude(`${error.message} ${JSON.stringify(error)} ${String(error.value)}`, "geheim")
    }
  })

  it("refuses options that cannot work, and names them", () => {
    const refused: ReadonlyArray<readonly [object, string]> = [
      [{ variables: {} }, "variables"],
      [{ variables: undefined }, "variables"],
      [{ variables: { "": {} } }, "variables"],
      [{ variables: { "A=B": {} } }, "variables"],
      [{ variables: { A: { patern: /a/ } } }, "variables.A.patern"],
      [{ variables: { A: { pattern: "(" } } }, "variables.A.pattern"],
      [{ variables: { A: { kind: "key" } } }, "variables.A.kind"],
      [{ variables: { A: { required: "yes" } } }, "variables.A.required"],
      [{ variables: { A: true } }, "variables.A"],
      [{ file: "" }, "file"],
      [{ file: ".env", env: {} }, "env"],
      [{ env: "PATH=/bin" }, "env"],
      [{ env: { PORT: 80 } }, "env"],
      [{ timeout: 0 }, "timeout"],
      [{ path: ".env" }, "path"]
    ]
    for (const [options, option] of refused) {
      const error = refusal(() => make({ variables: { A: {} }, ...options }))
      assert.deepStrictEqual([error.module, error.option], ["EnvironmentProbe", option])
    }
  })
})

const anyMalformed = (found: Any): string => (found._tag === "Environment/Malformed" ? found.why : "none")

type Any = EnvironmentProbe.Missing | EnvironmentProbe.Empty | EnvironmentProbe.Malformed | EnvironmentProbe.NoFile

const groqIn = (text: string) =>
  Effect.map(envFile(text), (file) => make({ variables: { GROQ_API_KEY: { pattern: patterns.groq } }, file }))

probeContract<Any>("EnvironmentProbe", {
  situations: {
    Healthy: groqIn(`GROQ_API_KEY=${keys.groq}`),
    "Environment/Missing": groqIn("OTHER=1"),
    "Environment/Empty": groqIn("GROQ_API_KEY="),
    "Environment/Malformed": groqIn("GROQ_API_KEY=gsk-1"),
    "Environment/NoFile": Effect.map(groqIn(""), () => make({ variables: { A: { kind: "secret" } }, file: "/no/.env" }))
  }
})
