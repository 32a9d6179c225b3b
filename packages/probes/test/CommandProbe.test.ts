import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import { ProcessTable } from "@nexobot/core/ProcessTable"
import * as Redaction from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"
import { eventually, refusal } from "@nexobot/testing/Expect"
import * as TestFolder from "@nexobot/testing/TestFolder"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import { expectTypeOf } from "vitest"

import * as CommandProbe from "../src/CommandProbe.ts"
import { run } from "../src/internal/command.ts"
import { probeContract } from "./ProbeContract.ts"
import { signatureOf } from "./support.ts"

const secret = "t0p/secret+value"

const shell = (script: string) =>
  ({ name: "command", file: "sh", args: ["-c", script], timeout: "20 seconds" }) as const
const running = (script: string) => CommandProbe.make(shell(script))
const found = <S extends Verdict.Signature>(probe: Probe.Probe<S>) => Effect.map(probe.check, signatureOf)

/** The pids that a script writes into a file, once it has written as many. */
const pidsIn = (file: string, count: number) =>
  eventually(
    `${count} pids are in ${file}`,
    Effect.sync(() => {
      const lines = Fs.existsSync(file) ? Fs.readFileSync(file, "utf8").split("\n") : []
      // The last one has no line end, and may be half a number.
      const pids = lines.slice(0, -1).map(Number)
      return pids.length === count ? pids : undefined
    })
  )

const gone = Effect.fnUntraced(function* (pids: ReadonlyArray<number>) {
  const table = yield* ProcessTable
  for (const pid of pids) {
    yield* eventually(
      `process ${pid} is gone`,
      Effect.map(table.stat(pid), (stat) => (stat === undefined || stat.state === "Z" ? true : undefined))
    )
  }
})

/** Neither it nor its child can be asked to end. */
const stubborn = (file: string) =>
  `trap '' TERM; (trap '' TERM; while :; do sleep 1; done) & echo $! >> ${file}; echo $$ >> ${file}; while :; do sleep 1; done`

const tags = (probe: Probe.Any) => probe.reports.map((one) => Verdict.tagOf(one))

const saying = (expectOutput: RegExp | string) =>
  CommandProbe.make({ ...shell("echo one; echo two; echo three >&2"), expectOutput })

const start = (options: object) => CommandProbe.make({ name: "command", file: "sh", ...options }).check

const asked = (options: object) => Probe.question(CommandProbe.make({ name: "a", file: "x", ...options }))

describe("CommandProbe", () => {
  it.live("0 is healthy, other codes and signals are not", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* running("exit 0").check, Verdict.healthy)
      assert.deepStrictEqual(
        yield* running("echo fine; echo broken >&2; exit 3").check,
        Verdict.unhealthy(new CommandProbe.Failed({ file: "sh", exitCode: 3, flooded: false, output: "broken" }), [
          "sh: exit code 3: broken"
        ])
      )
      assert.deepStrictEqual(
        yield* running("kill -SEGV $$").check,
        Verdict.unhealthy(new CommandProbe.Failed({ file: "sh", signal: "SIGSEGV", flooded: false, output: "" }), [
          "sh: ended by SIGSEGV"
        ])
      )
    })
  )

  it.live("expectExit, degradedExit, inconclusiveExit: as plugins of monitoring systems end", () =>
    Effect.gen(function* () {
      const plugin = (code: number) =>
        CommandProbe.make({
          ...shell(`echo "DISK $0"; exit ${code}`),
          degradedExit: [1],
          inconclusiveExit: [3]
        })
      assert.deepStrictEqual(yield* plugin(0).check, Verdict.healthy)
      assert.deepStrictEqual(
        yield* plugin(1).check,
        Verdict.degraded(new CommandProbe.Warned({ file: "sh", exitCode: 1, output: "DISK sh" }), [
          "sh: exit code 1: DISK sh"
        ])
      )
      assert.deepInclude(yield* found(plugin(2)), { _tag: "Command/Failed", exitCode: 2, output: "DISK sh" })
      assert.deepStrictEqual(yield* plugin(3).check, Verdict.inconclusive("sh: exit code 3: DISK sh"))
      const odd = CommandProbe.make({ ...shell("exit 7"), expectExit: [7, 8] })
      assert.deepStrictEqual(yield* odd.check, Verdict.healthy)
      assert.strictEqual(
        (yield* found(CommandProbe.make({ ...shell("exit 0"), expectExit: [7] })))._tag,
        "Command/Failed"
      )
    })
  )

  it.live("expectOutput: what stdout must match, also with global expressions, and as text", () =>
    Effect.gen(function* () {
      for (const expected of [/two/, /^two$/m, /one\ntwo\n$/, "o.e"]) {
        assert.deepStrictEqual(yield* saying(expected).check, Verdict.healthy)
      }
      const global = saying(/one/g)
      for (const _ of [1, 2, 3]) assert.deepStrictEqual(yield* global.check, Verdict.healthy)
      assert.deepStrictEqual(
        yield* saying(/three/).check,
        Verdict.unhealthy(new CommandProbe.UnexpectedOutput({ file: "sh", output: "one two" }), [
          "sh: unexpected output: one two"
        ])
      )
    })
  )

  it.live("what cannot be started makes the check inconclusive", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const plain = Path.join(folder, "plain")
      yield* Effect.sync(() => Fs.writeFileSync(plain, "", { mode: 0o600 }))
      assert.deepStrictEqual(
        yield* start({ file: "/nowhere/program" }),
        Verdict.inconclusive("/nowhere/program cannot be started: ENOENT")
      )
      assert.deepStrictEqual(
        yield* start({ file: plain }),
        Verdict.inconclusive(`${plain} cannot be started: this process may not (EACCES)`)
      )
      assert.strictEqual((yield* start({ cwd: Path.join(folder, "nowhere") }))._tag, "Inconclusive")
      const long = Array.from({ length: 40 }, () => "a".repeat(100_000))
      assert.deepStrictEqual(yield* start({ args: long }), Verdict.inconclusive("sh cannot be started: E2BIG"))
    })
  )

  it.live("an empty file runs well and says nothing: that is no check", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const file = (name: string, text: string) =>
        Effect.sync(() => Fs.writeFileSync(Path.join(folder, name), text, { mode: 0o700 }))
      yield* Effect.all([file("empty", ""), file("plain", "true\n")])
      const path = Path.join(folder, "empty")
      assert.deepStrictEqual(yield* start({ file: path }), Verdict.inconclusive(`${path} is an empty file`))
      const reason = Verdict.inconclusive("./empty is an empty file")
      assert.deepStrictEqual(yield* start({ file: "./empty", cwd: folder }), reason)
      const env = { PATH: `/nowhere:${folder}:/bin:/usr/bin` }
      assert.deepStrictEqual(yield* start({ file: "empty", env }), Verdict.inconclusive("empty is an empty file"))
      assert.deepStrictEqual(yield* start({ file: "true", env }), Verdict.healthy)
      assert.deepStrictEqual(yield* start({ file: "plain", env }), Verdict.healthy, "the shell runs it")
    })
  )

  it.live("cwd, args, input: no shell reads them", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const options = { name: "command", timeout: "20 seconds" } as const
      const here = CommandProbe.make({
        ...options,
        file: "pwd",
        args: ["-P"],
        cwd: folder,
        expectOutput: "nexobot-test-"
      })
      assert.deepStrictEqual(yield* here.check, Verdict.healthy)
      const plain = CommandProbe.make({
        ...options,
        file: "echo",
        args: ["$HOME; exit 1"],
        expectOutput: /^\$HOME; exit 1$/m
      })
      assert.deepStrictEqual(yield* plain.check, Verdict.healthy)
      const told = { ...options, file: "cat", expectOutput: /^hello\n$/ }
      assert.deepStrictEqual(yield* CommandProbe.make({ ...told, input: "hello\n" }).check, Verdict.healthy)
      assert.deepStrictEqual(
        yield* CommandProbe.make({ ...told, input: Redacted.make("hello\n") }).check,
        Verdict.healthy
      )
      const untold = CommandProbe.make({ ...options, file: "cat", expectOutput: /^$/ })
      assert.deepStrictEqual(yield* untold.check, Verdict.healthy)
      const unread = CommandProbe.make({ ...options, file: "true", input: "a".repeat(1_000_000) })
      assert.deepStrictEqual(yield* unread.check, Verdict.healthy)
    })
  )

  it.live("env and inheritEnv: the program gets these variables and no others", () =>
    Effect.gen(function* () {
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          process.env["NEXOBOT_TEST_KEY"] = secret
        }),
        () => Effect.sync(() => delete process.env["NEXOBOT_TEST_KEY"])
      )
      const file = Path.join(yield* TestFolder.make, "environment")
      const variables = (options: object) => {
        const args = ["/proc/self/environ", file]
        return Effect.map(CommandProbe.make({ name: "command", file: "cp", args, ...options }).check, (verdict) => {
          assert.deepStrictEqual(verdict, Verdict.healthy)
          const pairs = Fs.readFileSync(file, "utf8").split("\0").slice(0, -1)
          return pairs.map((pair) => pair.replace(/=.*/s, ""))
        })
      }
      const inherited = CommandProbe.defaultInheritEnv.filter((name) => process.env[name] !== undefined)
      assert.deepStrictEqual((yield* variables({})).toSorted(), inherited.toSorted())
      assert.deepStrictEqual(yield* variables({ inheritEnv: ["NEXOBOT_TEST_KEY", "NOWHERE"] }), ["NEXOBOT_TEST_KEY"])
      assert.deepStrictEqual(yield* variables({ inheritEnv: [], env: { A: "b" } }), ["A"])
    })
  )

  it.live("a secret that it is given appears in nothing that is found, though it says it", () =>
    Effect.gen(function* () {
      const script = 'read line; echo "$KEY $line"; echo "$KEY $line" >&2; exit $CODE'
      for (const code of ["0", "1", "2", "3"]) {
        const probe = CommandProbe.make({
          ...shell(script),
          env: { KEY: Redacted.make(secret), CODE: code },
          input: Redacted.make("an0ther-secret\n"),
          degradedExit: [1],
          inconclusiveExit: [3],
          expectOutput: /nothing/
        })
        const verdict = yield* probe.check
        assert.notStrictEqual(verdict._tag, "Healthy")
        assert.notInclude(JSON.stringify([verdict, probe]), secret)
        assert.notInclude(JSON.stringify([verdict, probe]), "an0ther-secret")
      }
      const known = Effect.provideService(
        running("echo known-secret; exit 1").check,
        Redaction.Redactor,
        Redaction.make(["known-secret"])
      )
      assert.notInclude(JSON.stringify(yield* known), "known-secret")
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          process.env["NEXOBOT_TEST_KEY"] = secret
        }),
        () => Effect.sync(() => delete process.env["NEXOBOT_TEST_KEY"])
      )
      const echo = shell('echo "$NEXOBOT_TEST_KEY in $PATH"; exit 1')
      const inherited = yield* CommandProbe.make({ ...echo, inheritEnv: ["PATH", "NEXOBOT_TEST_KEY"] }).check
      assert.notInclude(JSON.stringify(inherited), secret)
      assert.notInclude(JSON.stringify(inherited), `in ${Redaction.mask}`, "what every program gets is no secret")
      const argument = CommandProbe.make({
        name: "command",
        file: "x",
        args: ["--password=hunter2", "-k", secret],
        env: { K: Redacted.make(secret) }
      })
      assert.notInclude(argument.target, "hunter2")
      assert.notInclude(argument.target, secret)
      assert.isTrue(argument.target.startsWith("command:x --password="))
    })
  )

  it.live("maxOutput: what writes more is killed; what writes as much is not", () =>
    Effect.gen(function* () {
      const flooding = CommandProbe.make({ name: "command", file: "yes", timeout: "20 seconds" })
      assert.deepInclude(yield* found(flooding), { _tag: "Command/Failed", signal: "SIGKILL", flooded: true })
      const errors = yield* found(running("yes >&2"))
      assert.deepInclude(errors, { flooded: true, output: "y ".repeat(100) })
      const exactly = { ...shell("printf 'aaaaaaaaaa'"), expectOutput: /^a{10}$/ }
      assert.deepStrictEqual(yield* CommandProbe.make({ ...exactly, maxOutput: 10 }).check, Verdict.healthy)
      assert.strictEqual((yield* found(CommandProbe.make({ ...exactly, maxOutput: 9 })))._tag, "Command/Failed")
    })
  )

  it.live("output that is no UTF-8, or has control characters, is shown in one readable line", () =>
    Effect.gen(function* () {
      const strange = yield* found(running("printf '\\377\\033[31mred\\n\\tx\\000'; exit 1"))
      assert.deepInclude(strange, { output: "\u{fffd} [31mred x" })
    })
  )

  it.live("timeout: the whole group is killed, though it ignores SIGTERM", () =>
    Effect.gen(function* () {
      const file = Path.join(yield* TestFolder.make, "pids")
      const probe = CommandProbe.make({ ...shell(stubborn(file)), timeout: "2 seconds" })
      assert.deepStrictEqual(
        yield* probe.check,
        Verdict.unhealthy(new CommandProbe.Timeout({ file: "sh", after: Duration.seconds(2) }), [
          "sh: did not end in time"
        ])
      )
      yield* gone(yield* pidsIn(file, 2))
    })
  )

  it.live("an interruption leaves no process", () =>
    Effect.gen(function* () {
      const file = Path.join(yield* TestFolder.make, "pids")
      const fiber = yield* Effect.forkChild(running(stubborn(file)).check)
      const pids = yield* pidsIn(file, 2)
      yield* Fiber.interrupt(fiber)
      yield* gone(pids)
    })
  )

  it.live("what it leaves behind is ended with it, and does not keep the check", () =>
    Effect.gen(function* () {
      const file = Path.join(yield* TestFolder.make, "pids")
      const leaving = CommandProbe.make({ ...shell(`sleep 600 & echo $! >> ${file}; echo done`), expectOutput: "done" })
      assert.deepStrictEqual(yield* leaving.check, Verdict.healthy)
      yield* gone(yield* pidsIn(file, 1))
    })
  )

  it.live("who left the group keeps its output open, and not the check", () =>
    Effect.gen(function* () {
      const file = Path.join(yield* TestFolder.make, "pids")
      const script = `setsid sh -c 'echo $$ >> ${file}; exec sleep 600' & while [ ! -s ${file} ]; do :; done; echo done`
      const verdict = yield* CommandProbe.make({ ...shell(script), expectOutput: "done" }).check
      const [pid = 0] = yield* pidsIn(file, 1)
      yield* Effect.addFinalizer(() => Effect.sync(() => void process.kill(pid, "SIGKILL")))
      assert.deepStrictEqual(verdict, Verdict.healthy)
    })
  )

  it.live("run: tells how it ended and what it said", () =>
    Effect.gen(function* () {
      const said = { stdout: "out\n", stderr: "err\n", flooded: false }
      assert.deepStrictEqual(
        yield* run({ file: "sh", args: ["-c", "echo out; echo err >&2; exit 5"], maxOutput: 100 }),
        { exitCode: 5, signal: undefined, ...said }
      )
      assert.strictEqual(yield* Effect.flip(run({ file: "/nowhere", maxOutput: 1 })), "ENOENT")
      assert.strictEqual(yield* Effect.flip(run({ file: "a\0b", maxOutput: 1 })), "ERR_INVALID_ARG_VALUE")
    })
  )

  it("says what it runs; equal options ask the same", () => {
    const probe = CommandProbe.make({ name: "disk", file: "/usr/lib/check_disk", args: ["-w", "10%"] })
    assert.deepInclude(probe, { target: "command:/usr/lib/check_disk -w 10%", reach: "host", effects: "none" })
    assert.isTrue(Equal.equals(asked({ env: { A: Redacted.make("b") } }), asked({ env: { A: Redacted.make("b") } })))
    assert.isFalse(Equal.equals(asked({ env: { A: Redacted.make("b") } }), asked({ env: { A: Redacted.make("c") } })))
    assert.isFalse(Equal.equals(asked({ args: ["a"] }), asked({ args: ["b"] })))
    assert.isFalse(Equal.equals(asked({ expectOutput: /a/ }), asked({ expectOutput: /a/i })))
    assert.isFalse(Equal.equals(asked({ inheritEnv: ["A"] }), asked({ inheritEnv: [] })))
    const args = ["a"]
    const env = { A: "b" }
    const before = asked({ args, env })
    args[0] = "b"
    env.A = "c"
    assert.isTrue(Equal.equals(before, asked({ args: ["a"], env: { A: "b" } })))
    assert.notInclude(JSON.stringify(before), '"b"', "a value that nobody redacted is not shown either")
  })

  it("has the signatures of its options, in its type and at run time", () => {
    const plain = CommandProbe.make({ name: "a", file: "x" })
    expectTypeOf<Probe.Signatures<typeof plain>>().toEqualTypeOf<CommandProbe.Failed | CommandProbe.Timeout>()
    assert.deepStrictEqual(tags(plain), ["Command/Failed", "Command/Timeout"])
    const all = CommandProbe.make({ name: "a", file: "x", degradedExit: [1], expectOutput: "OK" })
    expectTypeOf<Probe.Signatures<typeof all>>().toEqualTypeOf<
      CommandProbe.Failed | CommandProbe.Timeout | CommandProbe.Warned | CommandProbe.UnexpectedOutput
    >()
    assert.deepStrictEqual(tags(all), [...tags(plain), "Command/Warned", "Command/UnexpectedOutput"])
    // @ts-expect-error a misspelt option
    assert.strictEqual(refusal(() => CommandProbe.make({ name: "a", file: "x", arguments: [] })).option, "arguments")
  })

  it("refuses options that cannot work, names them, and shows no secret", () => {
    const refused: ReadonlyArray<readonly [object, string]> = [
      [{ file: "" }, "file"],
      [{ file: "a\0b" }, "file"],
      [{ args: "-c" }, "args"],
      [{ args: ["a", 1] }, "args[1]"],
      [{ cwd: "" }, "cwd"],
      [{ env: { "A=B": "c" } }, "env"],
      [{ env: ["A"] }, "env"],
      [{ env: { A: 1 } }, "env.A"],
      [{ env: { A: Redacted.make(`${secret}\0`) } }, "env.A"],
      [{ env: { A: `${secret}\0` } }, "env.A"],
      [{ env: new Map([["A", secret]]) }, "env"],
      [{ env: secret }, "env"],
      [{ input: `${secret}\0` }, "input"],
      [{ inheritEnv: [""] }, "inheritEnv[0]"],
      [{ inheritEnv: "PATH" }, "inheritEnv"],
      [{ input: 1 }, "input"],
      [{ expectExit: [] }, "expectExit"],
      [{ expectExit: [256] }, "expectExit"],
      [{ degradedExit: [] }, "degradedExit"],
      [{ degradedExit: [0] }, "degradedExit"],
      [{ degradedExit: [1], inconclusiveExit: [1] }, "degradedExit"],
      [{ inconclusiveExit: [0] }, "inconclusiveExit"],
      [{ expectOutput: "(" }, "expectOutput"],
      [{ expectOutput: "" }, "expectOutput"],
      [{ expectOutput: 1 }, "expectOutput"],
      [{ maxOutput: 0 }, "maxOutput"],
      [{ timeout: 0 }, "timeout"],
      [{ shell: true }, "shell"]
    ]
    for (const [options, option] of refused) {
      const error = refusal(() => CommandProbe.make({ name: "command", file: "sh", ...options }))
      assert.deepStrictEqual([error.module, error.option], ["CommandProbe", option], JSON.stringify(options))
      assert.notInclude(`${error.message} ${String(error.value)}`, secret)
    }
    assert.strictEqual(refusal(() => CommandProbe.make({ name: "", file: "sh" })).option, "name")
  })
})

probeContract<CommandProbe.Found<CommandProbe.CommandProbeOptions>>("CommandProbe", {
  situations: {
    Healthy: Effect.succeed(running("exit 0")),
    Inconclusive: Effect.succeed(CommandProbe.make({ name: "command", file: "/nowhere/program" })),
    "Command/Failed": Effect.succeed(running("exit 1")),
    "Command/Timeout": Effect.succeed(
      CommandProbe.make({ name: "command", file: "sleep", args: ["600"], timeout: "30 millis" })
    ),
    "Command/Warned": Effect.succeed(CommandProbe.make({ ...shell("exit 1"), degradedExit: [1] })),
    "Command/UnexpectedOutput": Effect.succeed(CommandProbe.make({ ...shell("echo no"), expectOutput: "yes" }))
  },
  waiting: Effect.succeed(CommandProbe.make({ name: "command", file: "sleep", args: ["600"], timeout: "20 seconds" }))
})
