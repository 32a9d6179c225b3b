import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import * as ProcessExit from "@nexobot/core/ProcessExit"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import * as Verdict from "@nexobot/core/Verdict"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"

import * as Containers from "../src/internal/containment/index.ts"
import * as ProcessSpec from "../src/ProcessSpec.ts"
import { named, skipWithoutTier } from "./containment.ts"
import { guardians, run, stack } from "./stack.ts"
import {
  carriers,
  eventually,
  eventsUntil,
  identityOf,
  node,
  pidOf,
  reaches,
  supervise,
  temporaryFolder,
  textOf
} from "./support.ts"
import { earlier, freshId, given, nextLife, remembered, survivor } from "./survivalSupport.ts"

const isMissing = { cgroup: await skipWithoutTier("cgroup"), "pid-namespace": await skipWithoutTier("pid-namespace") }

class Silent extends Schema.TaggedClass<Silent>("Silent")("Silent", {}) {}

describe("what survives its supervisor", () => {
  it.live("is adopted by the next life with its pid, age and restarts; the others are gone", () =>
    Effect.gen(function* () {
      const [folder, id] = [yield* temporaryFolder, freshId()]
      const { crash, dies, file, keep, pids } = yield* earlier(folder, id)
      yield* ProcessIdentity.signal(keep, "SIGKILL")
      yield* remembered(folder, id, '"restarts":1')
      const again = (yield* carriers(`${id}/keep/`))[0] ?? 0
      yield* crash
      yield* eventually(
        "who is to die has died",
        Effect.map(ProcessIdentity.isAlive(dies), (lives) => (lives ? undefined : true))
      )
      // Old enough that its age cannot be taken for that of its supervisor.
      yield* Effect.sleep("1100 millis")
      const supervisor = yield* nextLife(folder, id, file)
      const status = yield* supervisor.status("keep")
      assert.deepInclude(status, { state: "Running", restarts: 1 })
      assert.strictEqual(pidOf(status), again)
      assert.isAbove(Duration.toMillis(status.uptime ?? Duration.zero), 1000)
      assert.strictEqual(pidOf(yield* supervisor.status("tree")), pids.main)
      assert.lengthOf(yield* carriers(`${id}/dies/`), 1)
      const events = yield* eventsUntil(supervisor, (event) => event._tag === "Ready" && event.name === "dies")
      const tags = events.flatMap((event) => (event.name === "dies" ? [] : [`${event._tag} ${event.name}`]))
      assert.sameMembers(tags, ["Adopted keep", "Adopted tree"])

      // What it has left in the group, outside of it and without a parent ends with it.
      const { signalled, survivors } = yield* supervisor.stop("tree")
      assert.deepStrictEqual(survivors, [])
      assert.sameMembers(
        signalled.map(({ pid }) => pid),
        Object.values(pids)
      )
      assert.deepStrictEqual(yield* carriers(`${id}/tree/`), [])
      assert.strictEqual((yield* supervisor.status("tree")).state, "Stopped")

      // Nobody is its parent, so that nobody knows how it ended.
      yield* ProcessIdentity.signal(yield* identityOf(again), "SIGKILL")
      const next = yield* reaches(supervisor, "keep", "Running", ({ restarts }) => restarts === 2)
      assert.notStrictEqual(pidOf(next), again)
      assert.deepStrictEqual(next.lastExit?._tag, "AdoptedUnknown")
    })
  )

  it.live("is adopted twice in a row", () =>
    Effect.gen(function* () {
      const [folder, id] = [yield* temporaryFolder, freshId()]
      const first = yield* earlier(folder, id)
      yield* first.crash
      const second = yield* earlier(folder, id)
      assert.deepStrictEqual(second.keep, first.keep)
      assert.notDeepEqual(second.dies, first.dies)
      yield* second.crash
      const third = yield* nextLife(folder, id, first.file)
      assert.deepStrictEqual((yield* third.status("keep")).identity, first.keep)
      assert.strictEqual(pidOf(yield* third.status("tree")), first.pids.main)
      assert.lengthOf(yield* carriers(`${id}/`), 1 + 3 + 1)
    })
  )

  it.live("is watched by its probe, and replaced when that says so", () =>
    Effect.gen(function* () {
      const [folder, id] = [yield* temporaryFolder, freshId()]
      const { crash, file, keep } = yield* earlier(folder, id)
      yield* crash
      const isSick = yield* Ref.make(false)
      const probe = Probe.make({
        name: "answers",
        reports: [Silent],
        check: Effect.map(Ref.get(isSick), (sick) => (sick ? Verdict.unhealthy(new Silent({})) : Verdict.healthy))
      })
      const watched = ProcessSpec.make({
        name: "keep",
        ...run("idle.mjs"),
        ...survivor,
        liveness: { probe, interval: "20 millis", failures: 2 }
      })
      const supervisor = yield* nextLife(folder, id, file, watched)
      assert.deepStrictEqual((yield* supervisor.status("keep")).identity, keep)
      yield* Ref.set(isSick, true)
      const events = yield* eventsUntil(supervisor, ({ _tag, name }) => _tag === "Exited" && name === "keep")
      assert.deepInclude(events.at(-1), { identity: keep })
      assert.deepInclude(
        events.find(({ _tag }) => _tag === "Unfit"),
        {
          exit: new ProcessExit.LivenessFailed({ why: "answers: Silent" })
        }
      )
      yield* Ref.set(isSick, false)
      yield* reaches(supervisor, "keep", "Running", ({ identity }) => identity?.pid !== keep.pid)
      assert.isFalse(yield* ProcessIdentity.isAlive(keep))
    })
  )

  it.live("is ended and started anew when it is not what is to run now", () =>
    Effect.gen(function* () {
      const [folder, id] = [yield* temporaryFolder, freshId()]
      const { crash, file, keep } = yield* earlier(folder, id)
      yield* crash
      const supervisor = yield* nextLife(
        folder,
        id,
        file,
        node("keep", ["idle.mjs"], { ...survivor, env: { NEW: "1" } })
      )
      const status = yield* supervisor.status("keep")
      assert.strictEqual(status.state, "Running")
      assert.notStrictEqual(pidOf(status), keep.pid)
      assert.isFalse(yield* ProcessIdentity.isAlive(keep))
      assert.deepStrictEqual(yield* carriers(`${id}/keep/`), [pidOf(status)])
    })
  )

  it.live("is ended and started anew when its state cannot be believed: its mark alone does not say what it is", () =>
    Effect.gen(function* () {
      const [folder, id] = [yield* temporaryFolder, freshId()]
      const { crash, file, keep, pids } = yield* earlier(folder, id)
      yield* crash
      Fs.writeFileSync(Path.join(folder, `${id}.state.json`), "{", { mode: 0o600 })
      const supervisor = yield* nextLife(folder, id, file)
      const status = yield* supervisor.status("keep")
      assert.strictEqual(status.state, "Running")
      for (const one of [keep.pid, ...Object.values(pids)]) assert.isUndefined(yield* ProcessIdentity.of(one))
      assert.deepStrictEqual(yield* carriers(`${id}/keep/`), [pidOf(status)])
      assert.lengthOf(
        Fs.readdirSync(folder).filter((name) => name.includes(".damaged-")),
        1
      )
    })
  )

  it.live("is reloaded, restarted and signalled as any other, and its log goes on", () =>
    Effect.gen(function* () {
      const [folder, id] = [yield* temporaryFolder, freshId()]
      const log = Path.join(folder, "says.log")
      const script = `trap 'echo signalled' USR2; echo "$NEXO_LIFE"; while :; do sleep 0.05; done`
      const says = { name: "says", command: "/bin/sh", args: ["-c", script], log, ...survivor }
      const first = yield* stack({ id, stateFolder: folder, processes: [says] })
      const old = yield* given(first.children["says"])
      yield* remembered(folder, id, `"pid":${old.pid},`)
      assert.strictEqual(yield* textOf(log), "1\n")
      yield* first.crash
      const supervisor = yield* supervise([ProcessSpec.make(says)], { id, stateFolder: folder })
      assert.deepStrictEqual((yield* supervisor.status("says")).identity, old)
      yield* supervisor.signal("says", "SIGUSR2")
      const reads = (text: string) =>
        eventually(
          `the log says ${JSON.stringify(text)}`,
          Effect.sync(() => Fs.readFileSync(log, "utf8") === text || undefined)
        )
      yield* reads("1\nsignalled\n")
      yield* supervisor.reload("says")
      const reloaded = yield* supervisor.status("says")
      assert.deepInclude(reloaded, { state: "Running", restarts: 0 })
      assert.isFalse(yield* ProcessIdentity.isAlive(old))
      yield* reads("1\nsignalled\n2\n")
      yield* supervisor.restart("says")
      yield* reads("1\nsignalled\n2\n3\n")
      assert.notStrictEqual(pidOf(yield* supervisor.status("says")), pidOf(reloaded))
      yield* supervisor.stop("says")
      assert.deepStrictEqual(yield* carriers(`${id}/`), [])
    })
  )

  for (const tier of ["cgroup", "pid-namespace"] as const) {
    it.live.skipIf(isMissing[tier])(`is in its ${tier} still, out of which nobody has got`, () =>
      Effect.gen(function* () {
        const [folder, id] = [yield* temporaryFolder, freshId()]
        yield* Effect.addFinalizer(() => Containers.removeLeft(id))
        const words = `8${process.pid}.${tier === "cgroup" ? 1 : 2}`
        const script = `trap 'exit 4' TERM; setsid env -i sh -c 'sleep ${words} &'; while :; do sleep 0.05; done`
        const held = { name: "held", command: "/bin/sh", args: ["-c", script], containment: tier, ...survivor }
        const first = yield* stack({ id, stateFolder: folder, processes: [held] })
        const old = yield* given(first.children["held"])
        yield* remembered(folder, id, `"pid":${old.pid},`)
        const hidden = eventually(
          "somebody hides",
          Effect.map(named(`sleep ${words}`, true), (pids) => (pids.length === 1 ? pids : undefined))
        )
        yield* hidden
        yield* first.crash
        const supervisor = yield* supervise([ProcessSpec.make(held)], { id, stateFolder: folder })
        assert.deepStrictEqual((yield* supervisor.status("held")).identity, old)
        yield* hidden
        const { escalated, survivors } = yield* supervisor.stop("held")
        assert.deepStrictEqual([survivors, yield* named(words)], [[], []])
        assert.notInclude(
          escalated.map(({ pid }) => pid),
          old.pid
        )
        yield* supervisor.start("held")
        yield* hidden
      })
    )
  }

  it.live("is stopped when its supervisor ends in good order", () =>
    Effect.gen(function* () {
      const [folder, id] = [yield* temporaryFolder, freshId()]
      const { close, keep } = yield* earlier(folder, id)
      assert.strictEqual(yield* close, 0)
      assert.isFalse(yield* ProcessIdentity.isAlive(keep))
      assert.deepStrictEqual(yield* carriers(`${id}/`), [])
      assert.deepStrictEqual(yield* guardians(id), [])
    })
  )
})
