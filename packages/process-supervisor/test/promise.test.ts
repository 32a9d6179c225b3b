import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"

import { assert, describe, it } from "@effect/vitest"
import { OptionError } from "@nexobot/core/Options"
import { lifecycle, ProcessControlError } from "@nexobot/core/ProcessControl"
import * as Effect from "effect/Effect"

import { readEcosystem, startSupervisor, type StartOptions } from "../src/promise.ts"
import { carriers, fixture, pidOf } from "./support.ts"

const idle = { name: "a", command: process.execPath, args: [fixture("idle.mjs")] }

const rejects = async (options: StartOptions): Promise<unknown> =>
  startSupervisor(options).then(
    () => "started",
    (cause: unknown) => cause
  )

describe("startSupervisor", () => {
  it("starts, tells, restarts, stops and closes", async () => {
    await using supervisor = await startSupervisor({ id: "promise-face", processes: [idle, { ...idle, name: "b" }] })
    const before = await supervisor.status("a")
    assert.strictEqual(before.state, "Running")
    assert.strictEqual(await Effect.runPromise(Effect.provideContext(lifecycle("a"), supervisor.context)), "Running")

    process.kill(pidOf(before), "SIGKILL")
    const seen: Array<string> = []
    for await (const event of supervisor.events()) {
      if (event.name === "a") seen.push(event._tag)
      if (event._tag === "Spawned" && event.startedBy === "policy") break
    }
    assert.deepStrictEqual(seen, ["Spawned", "Ready", "Exited", "RestartDecided", "Spawned"])

    await supervisor.restart("a")
    assert.strictEqual((await supervisor.status("a")).startedBy, "request")
    assert.lengthOf((await supervisor.stop("a")).signalled, 1)
    assert.deepStrictEqual(
      (await supervisor.list()).map((status) => `${status.name} ${status.state}`),
      ["a Stopped", "b Running"]
    )
    const unknown: unknown = await supervisor.stop("c").catch((cause: unknown) => cause)
    assert.instanceOf(unknown, ProcessControlError)
    await supervisor.close()
    assert.deepStrictEqual(await Effect.runPromise(carriers("promise-face/")), [])
    assert.strictEqual((await supervisor.status("b")).state, "Stopped")
  })

  it("restart policies are plain options", async () => {
    await using supervisor = await startSupervisor({
      processes: [
        {
          ...idle,
          args: [fixture("exit.mjs"), "1"],
          restartPolicy: {
            type: "transient",
            backoff: { initial: 1, factor: 1, max: "2 millis" },
            intensity: { limit: 2, window: "1 minute" },
            stableAfter: "1 minute"
          }
        }
      ]
    })
    for await (const event of supervisor.events()) {
      if (event._tag === "GaveUp") break
    }
    assert.deepInclude(await supervisor.status("a"), { state: "Failed", restarts: 2 })
  })

  it("waits until a process says that it is ready", async () => {
    let asked = 0
    const ready = async () => {
      asked += 1
      if (asked === 1) throw new Error("not yet")
      return asked > 2
    }
    await using supervisor = await startSupervisor({ processes: [{ ...idle, ready }] })
    assert.strictEqual(asked, 3)
    assert.strictEqual((await supervisor.status("a")).state, "Running")
  })

  it("an abortion stops everything, before the start, during it, and later", async () => {
    const reason = new Error("enough")
    assert.strictEqual(await rejects({ processes: [idle], signal: AbortSignal.abort(reason) }), reason)

    const during = new AbortController()
    const id = "promise-abort"
    const starting = rejects({ id, processes: [{ ...idle, ready: () => false }], signal: during.signal })
    while ((await Effect.runPromise(carriers(id))).length === 0) await sleep(10)
    during.abort(reason)
    assert.strictEqual(await starting, reason)
    assert.deepStrictEqual(await Effect.runPromise(carriers(id)), [])

    const later = new AbortController()
    const supervisor = await startSupervisor({ id, processes: [idle], signal: later.signal })
    later.abort()
    await supervisor.close()
    assert.deepStrictEqual(await Effect.runPromise(carriers(id)), [])
  })

  it("runs what PM2's file names", async () => {
    const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "promise-ecosystem-"))
    try {
      const file = Path.join(folder, "ecosystem.config.cjs")
      const app = { name: "web", script: fixture("idle.mjs"), max_memory_restart: "200M" }
      Fs.writeFileSync(file, `module.exports = ${JSON.stringify({ apps: [app] })}`)
      const { apps, report } = await readEcosystem(file)
      assert.isTrue(report.some(({ field, outcome }) => field === "max_memory_restart" && outcome === "changed"))
      await using supervisor = await startSupervisor({ processes: apps })
      assert.strictEqual((await supervisor.status("web")).state, "Running")
      const missing: unknown = await readEcosystem(`${file}.js`).catch((cause: unknown) => cause)
      assert.deepInclude(missing, { _tag: "EcosystemError" })
    } finally {
      Fs.rmSync(folder, { recursive: true })
    }
  })

  it("refuses what cannot work, naming it", async () => {
    const refused = [
      [{ processes: [idle, idle] }, "name"],
      [{ processes: [], id: "a b" }, "id"],
      [{ processes: [null] }, "processes"],
      [{ processes: ["web"] }, "processes"],
      [{ processes: [{ name: "group", members: [null] }] }, "processes"],
      [{ processes: [{ ...idle, ready: true }] }, "ready"],
      [{ processes: [{ ...idle, restartPolicy: { delay: 5 } }] }, "delay"],
      [{ processes: [{ ...idle, restartPolicy: { backoff: { max: -1 } } }] }, "max"],
      [{ processes: [], ids: "a" }, "ids"]
    ] as const
    for (const [options, option] of refused) {
      const cause: unknown = await startSupervisor(options as never).catch((error: unknown) => error)
      assert.instanceOf(cause, OptionError)
      assert.strictEqual(cause.option, option)
    }
  })
})
