import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

import { assert, it } from "@effect/vitest"
import { Component, ProcessControl, Verdict } from "@nexobot/core"
import { probe, remediator } from "@nexobot/core/promise"
import { startRecovery } from "@nexobot/recovery/promise"

import { Down } from "./fixtures/signatures.ts"

const policy = { period: 20, fastPeriod: 10, fall: 1, rise: 1, stable: 20, within: 5000 }

const makeBot = () => {
  const bot = { down: false, started: 0 }
  const answers = probe({
    name: "answers",
    reports: [Down],
    check: async () => (bot.down ? Verdict.unhealthy(new Down({ port: 3000 })) : Verdict.healthy)
  })
  const start = remediator({
    id: "start bot",
    description: "start the bot",
    blastRadius: "process",
    reversible: true,
    refuse: async ({ port }: Down) => (port === 3000 ? undefined : "not my port"),
    apply: async () => {
      bot.started += 1
      bot.down = false
    }
  })
  return { bot, component: Component.make({ name: "bot", probes: [answers] }, { "Test/Down": [start] }) }
}

const reason = (promise: Promise<unknown>) =>
  promise.then(
    () => "nothing was refused",
    (error: unknown) => String(error)
  )

it("heals, reports and stops, without a line of Effect", async () => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "nexobot-promise-"))
  const journal = Path.join(folder, "journal.log")
  const { bot, component } = makeBot()
  {
    await using recovery = await startRecovery([component], { policy, journal })
    assert.deepStrictEqual(recovery.components, ["bot"])
    bot.down = true
    for await (const [state] of recovery.changes()) {
      if (bot.started > 0 && state?.status === "Healthy") break
    }
    assert.strictEqual(bot.started, 1)
    const [entry] = await recovery.log()
    assert.deepInclude(entry, { component: "bot", error: "Test/Down", action: "start bot", success: true })
    assert.deepInclude(await recovery.statistics(), { totalRecoveries: 1, successRate: 1 })
    assert.deepInclude(await recovery.recover("bot"), { outcome: "healthy" })
    const error = await recovery.recover("nobody").then(
      () => undefined,
      (cause: unknown) => cause
    )
    assert.deepInclude(error, { _tag: "UnknownComponent", known: ["bot"] })
  }
  assert.deepStrictEqual(Fs.readdirSync(folder), ["journal.log"])
  Fs.rmSync(folder, { recursive: true })
})

it("stops when its signal is aborted, and its iterations end", async () => {
  const { component } = makeBot()
  const abort = new AbortController()
  const recovery = await startRecovery([component], { policy, signal: abort.signal })
  let seen = 0
  for await (const _states of recovery.changes()) {
    seen += 1
    abort.abort()
  }
  assert.isAbove(seen, 0)
})

it("rejects when it is aborted before it runs, and leaves nothing running", async () => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "nexobot-promise-"))
  const { bot, component } = makeBot()
  bot.down = true
  const abort = new AbortController()
  const starting = startRecovery([component], { policy, signal: abort.signal, journal: Path.join(folder, "a.log") })
  abort.abort(new Error("changed my mind"))
  assert.include(await reason(starting), "changed my mind")
  assert.include(await reason(startRecovery([component], { signal: AbortSignal.abort(new Error("too late")) })), "late")
  assert.notInclude(Fs.readdirSync(folder), "a.log.lock")
  Fs.rmSync(folder, { recursive: true })
})

it("hides the secrets that it is told", async () => {
  const { bot, component } = makeBot()
  const leaky = probe({
    name: "leaky",
    reports: [Down],
    check: async () => Verdict.unhealthy(new Down({ port: 3000 }), ["password is hunter2!"])
  })
  const leaking = Component.make({ name: "leaking", probes: [leaky] }, { "Test/Down": Component.escalate("hunter2!") })
  await using recovery = await startRecovery([component, leaking], { policy, secrets: ["hunter2!"] })
  const outcome = await recovery.recover("leaking")
  assert.notInclude(JSON.stringify([outcome, await recovery.states(), await recovery.log()]), "hunter2!")
  assert.strictEqual(bot.started, 0)
})

it("rejects bad options and an unusable journal", async () => {
  const { component } = makeBot()
  assert.include(await reason(startRecovery([component], { policy: { period: -5 } })), '"period" is -5')
  assert.include(await reason(startRecovery([component], { journal: "/dev/null/x" })), "/dev/null")
})

/** Checked by the compiler, never called: services that nobody provides do not compile. */
export const types = () => {
  const supervised = Component.make(
    { name: "bot", probes: makeBot().component.probes, lifecycle: ProcessControl.lifecycle("bot") },
    { "Test/Down": Component.escalate("look at it") }
  )
  // @ts-expect-error ProcessControl is missing
  void startRecovery([supervised])
  // @ts-expect-error ProcessControl is missing
  void startRecovery([supervised], { journal: "x" })
}
