import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"

import * as OwnerLock from "../src/OwnerLock.ts"
import type * as ProcessIdentity from "../src/ProcessIdentity.ts"
import { ProcessTable } from "../src/ProcessTable.ts"
import {
  cannotBeNobody,
  child,
  eventually,
  exitOf,
  fixture,
  identityOf,
  idle,
  lookAsNobody,
  tableWith,
  temporaryFolder,
  zombie
} from "./support.ts"

/** The path of a lock in a folder of its own. */
const place = Effect.map(temporaryFolder, (folder) => Path.join(folder, "gateway.lock"))

const write = (path: string, owner: unknown) =>
  Effect.sync(() => Fs.writeFileSync(path, typeof owner === "string" ? owner : JSON.stringify(owner)))

const isSocket = (name: string) => /^\.owner-[0-9a-f]{12}$/.test(name)

/** What lies in the folder of a lock; the sockets of owners, whose names are random, come last. */
const beside = (path: string) => {
  const names = Fs.readdirSync(Path.dirname(path)).toSorted()
  return [...names.filter((name) => !isSocket(name)), ...names.filter(isSocket).map(() => "(socket)")]
}

const reasonOf = (error: OwnerLock.OwnerLockError | { readonly _tag: "Unsupported" }): string =>
  error._tag === "Unsupported" ? error._tag : error.reason._tag

/** A process that has ended. */
const dead = Effect.gen(function* () {
  const running = yield* child(idle)
  running.process.kill("SIGKILL")
  yield* exitOf(running)
  return running.identity
})

/** Any kind of proof that the owner is dead. */
const staleOwners = {
  "no such process": Effect.map(dead, (owner) => [owner, `no process ${owner.pid} exists`] as const),
  "no such process, by pid alone": Effect.map(dead, ({ pid }) => [{ pid }, `no process ${pid} exists`] as const),
  "a pid given to a later process": Effect.map(
    child(idle),
    ({ identity }) => [{ ...identity, startTime: identity.startTime - 1 }, "belongs to a later process"] as const
  ),
  "another boot": Effect.map(
    child(idle),
    ({ identity }) => [{ ...identity, bootId: "00000000-0000-0000-0000-000000000000" }, "before the last boot"] as const
  ),
  "a zombie": Effect.map(zombie, (pid) => [{ pid }, `process ${pid} is a zombie`] as const)
}

describe("status", () => {
  it.live("is Free where there is no file", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* OwnerLock.status(yield* place), { _tag: "Free" })
    })
  )

  for (const [name, stale] of Object.entries(staleOwners)) {
    it.live(`is Stale: ${name}`, () =>
      Effect.gen(function* () {
        const path = yield* place
        const [owner, proof] = yield* stale
        yield* write(path, owner)
        const status = yield* OwnerLock.status(path)
        assert.deepInclude(status, { _tag: "Stale", owner, content: JSON.stringify(owner) })
        assert.include(status._tag === "Stale" ? status.proof : "", proof)
      })
    )
  }

  it.live("is Held while the owner lives, with or without proof of its identity", () =>
    Effect.gen(function* () {
      const path = yield* place
      const { identity } = yield* child(idle)
      const { pid, startTime } = identity
      for (const owner of [identity, { pid }, { pid, startTime }]) {
        yield* write(path, owner)
        assert.deepStrictEqual(yield* OwnerLock.status(path), { _tag: "Held", owner })
      }
    })
  )

  it.live("understands the locks of other gateways", () =>
    Effect.gen(function* () {
      const path = yield* place
      const { identity } = yield* child(idle)
      const { pid, startTime } = identity
      const others = { createdAt: "2026-01-01T00:00:00.000Z", configPath: "/home/bob/.gateway/gateway.json" }
      yield* write(path, { pid, startTime, ...others })
      assert.deepInclude(yield* OwnerLock.status(path), { _tag: "Held" })
      yield* write(path, { pid, startTime: startTime - 1, ...others })
      assert.deepInclude(yield* OwnerLock.status(path), { _tag: "Stale" })
    })
  )

  it.live("is Unreadable when the file has more bytes than any lock, and reads no more of it", () =>
    Effect.gen(function* () {
      const path = yield* place
      yield* write(path, `{"pid":${process.pid}}`)
      Fs.truncateSync(path, 4_000_000_000)
      assert.deepStrictEqual(yield* OwnerLock.status(path), { _tag: "Unreadable", why: "more than 65536 bytes" })
    })
  )

  it.live("is Unreadable when the file names nobody", () =>
    Effect.gen(function* () {
      const path = yield* place
      const contents = ["", "{", "null", "[]", "123", '"7"', "{}", '{"pid":"7"}', '{"pid":1.5}', '{"pid":0}']
      for (const content of [...contents, '{"pid":-1}', '{"pid":7,"startTime":"soon"}', "\u0000\u0000\u0000"]) {
        yield* write(path, content)
        assert.strictEqual((yield* OwnerLock.status(path))._tag, "Unreadable", content)
      }
    })
  )

  it.live("fails where there is something that is no file", () =>
    Effect.gen(function* () {
      const path = yield* place
      Fs.mkdirSync(path)
      const error = yield* Effect.flip(OwnerLock.status(path))
      assert.strictEqual(reasonOf(error), "Unusable")
      assert.match(error.message, /gateway\.lock cannot be used: it is a directory \(EISDIR\), not a file/)
    })
  )

  it.live("fails at a FIFO that nobody writes to, and does not wait for it; so does taking it", () =>
    Effect.gen(function* () {
      const path = yield* place
      assert.strictEqual(ChildProcess.spawnSync("mkfifo", [path]).status, 0)
      for (const attempt of [OwnerLock.status(path), OwnerLock.take(path), OwnerLock.clearStale(path)]) {
        const error = yield* Effect.flip(attempt).pipe(Effect.timeout("5 seconds"))
        assert.match(error.message, /gateway\.lock cannot be used: it is a FIFO, not a file/)
      }
      assert.isTrue(Fs.lstatSync(path).isFIFO())
    })
  )

  it.live("does not take another boot for proven where the boot id is not known", () =>
    Effect.gen(function* () {
      const path = yield* place
      const { identity } = yield* child(idle)
      yield* write(path, identity)
      const table = yield* tableWith({ bootId: Effect.succeed("") })
      const status = yield* Effect.provideService(OwnerLock.status(path), ProcessTable, table)
      assert.strictEqual(status._tag, "Held")
    })
  )

  it.live.skipIf(cannotBeNobody())("fails where the file may not be read", () =>
    Effect.gen(function* () {
      const path = yield* place
      Fs.chmodSync(Path.dirname(path), 0o755)
      yield* write(path, { pid: 1 })
      Fs.chmodSync(path, 0o600)
      const { failure } = lookAsNobody("OwnerLock", `module.status(${JSON.stringify(path)})`)
      assert.deepInclude(failure, { _tag: "OwnerLockError" })
      assert.include(JSON.stringify(failure), "EACCES")
    })
  )
})

describe("take", () => {
  it.live("names this process, for its eyes only, and leaves nothing else", () =>
    Effect.gen(function* () {
      const path = yield* place
      yield* OwnerLock.take(path)
      const status = yield* OwnerLock.status(path)
      assert.deepStrictEqual(Object.keys(status), ["_tag", "owner"])
      const owner = status._tag === "Held" ? status.owner : assert.fail(status._tag)
      const { host, pidNamespace, ...identity } = owner
      assert.deepStrictEqual(identity, yield* identityOf(process.pid))
      assert.strictEqual(Fs.readlinkSync("/proc/self/ns/pid"), `pid:[${pidNamespace}]`)
      assert.isNotEmpty(host)
      assert.strictEqual(Fs.statSync(path).mode & 0o777, 0o600)
      assert.deepStrictEqual(beside(path), ["gateway.lock", "(socket)"])
      const socket = Fs.readdirSync(Path.dirname(path)).find(isSocket) ?? ""
      const stats = Fs.lstatSync(Path.join(Path.dirname(path), socket))
      assert.isTrue(stats.isSocket())
      assert.strictEqual(stats.mode & 0o777, 0o600)
    })
  )

  it.live("gives it back when the scope closes", () =>
    Effect.gen(function* () {
      const path = yield* place
      yield* Effect.scoped(OwnerLock.take(path))
      assert.deepStrictEqual(beside(path), [])
      yield* Effect.scoped(OwnerLock.take(path))
      assert.deepStrictEqual(beside(path), [])
    })
  )

  it.live("gives back only what is its own", () =>
    Effect.gen(function* () {
      const path = yield* place
      const scope = yield* Scope.make()
      yield* Scope.provide(OwnerLock.take(path), scope)
      const { identity } = yield* child(idle)
      yield* write(path, identity)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* OwnerLock.status(path), { _tag: "Held", owner: identity })
    })
  )

  it.live("is refused while another process has it, which is named", () =>
    Effect.gen(function* () {
      const path = yield* place
      const { identity } = yield* child(idle)
      yield* write(path, identity)
      const error = yield* Effect.flip(OwnerLock.take(path))
      assert.strictEqual(reasonOf(error), "Held")
      assert.strictEqual(error.message, `${path} is held by the running process ${identity.pid}`)
      assert.deepStrictEqual(yield* OwnerLock.status(path), { _tag: "Held", owner: identity })
      assert.deepStrictEqual(beside(path), ["gateway.lock"])
    })
  )

  it.live("goes to exactly one of many fibers", () =>
    Effect.gen(function* () {
      const path = yield* place
      const exits = yield* Effect.all(
        Array.from({ length: 20 }, () => Effect.flip(OwnerLock.take(path)).pipe(Effect.map(reasonOf), Effect.exit)),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(exits.filter(Exit.isFailure).length, 1)
      for (const exit of exits) if (Exit.isSuccess(exit)) assert.strictEqual(exit.value, "Held")
      assert.deepStrictEqual(beside(path), ["gateway.lock", "(socket)"])
    })
  )

  for (const [name, stale] of Object.entries(staleOwners)) {
    it.live(`takes a stale one over: ${name}`, () =>
      Effect.gen(function* () {
        const path = yield* place
        const [owner] = yield* stale
        yield* write(path, owner)
        yield* OwnerLock.take(path)
        const status = yield* OwnerLock.status(path)
        assert.strictEqual(status._tag === "Held" ? status.owner.pid : status._tag, process.pid)
        assert.deepStrictEqual(beside(path), ["gateway.lock", "(socket)"])
      })
    )
  }

  it.live("does not touch one that names nobody", () =>
    Effect.gen(function* () {
      const path = yield* place
      yield* write(path, "mine!")
      const error = yield* Effect.flip(OwnerLock.take(path))
      assert.match(error.message, /cannot be used: 5 characters that name no owner/)
      assert.strictEqual(Fs.readFileSync(path, "utf8"), "mine!")
    })
  )

  it.live("fails where there is no folder", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* place, "nowhere", "x.lock")
      const error = yield* Effect.flip(OwnerLock.take(path))
      assert.strictEqual(reasonOf(error), "Unusable")
      assert.include(error.message, "ENOENT")
    })
  )

  it.live("takes over what another left when it was killed while it cleared a stale lock", () =>
    Effect.gen(function* () {
      const path = yield* place
      const owner = yield* dead
      for (const left of [path, `${path}.clearing`, `${path}.clearing.clearing`, `${path}.stale`]) {
        yield* write(left, owner)
      }
      yield* OwnerLock.take(path)
      assert.strictEqual((yield* OwnerLock.status(path))._tag, "Held")
      assert.deepStrictEqual(beside(path), ["gateway.lock", "(socket)"])
    })
  )
})

describe("an owner elsewhere", () => {
  /** The fields that a lock has which was taken here. */
  const fieldsHere = Effect.gen(function* () {
    const path = yield* place
    yield* OwnerLock.take(path)
    const status = yield* OwnerLock.status(path)
    return status._tag === "Held" ? status.owner : assert.fail(status._tag)
  }).pipe(Effect.scoped)

  const otherBoot = "00000000-0000-0000-0000-000000000000"
  const cases: ReadonlyArray<readonly [name: string, owner: Partial<OwnerLock.LockOwner>, found: string]> = [
    ["in another pid namespace", { pidNamespace: "1" }, "in another container (pid namespace 1)"],
    ["in another pid namespace, of a host with another name", { pidNamespace: "1", host: "x" }, "in another container"],
    ["on another machine", { bootId: otherBoot, host: "x" }, "on another machine (x)"],
    [
      "in a container on another machine",
      { bootId: otherBoot, host: "x", pidNamespace: "1" },
      "on another machine (x)"
    ],
    // One kernel, whatever it is called.
    ["in a container that shares this pid namespace", { host: "x" }, "Stale no process"],
    ["on this machine before the last boot", { bootId: otherBoot }, "Stale it was written before the last boot"],
    ["in a container before the last boot", { bootId: otherBoot, pidNamespace: "1" }, "Stale it was written before"]
  ]
  for (const [name, fields, found] of cases) {
    it.live(`${name}: ${found}`, () =>
      Effect.gen(function* () {
        const path = yield* place
        const { pid, startTime } = yield* dead
        const owner = { ...(yield* fieldsHere), pid, startTime, ...fields }
        yield* write(path, owner)
        const status = yield* OwnerLock.status(path)
        if (found.startsWith("Stale")) {
          assert.include(`${status._tag} ${status._tag === "Stale" ? status.proof : ""}`, found)
          return
        }
        assert.deepInclude(status, { _tag: "Held", owner })
        assert.include(status._tag === "Held" ? status.elsewhere : "", found)
        const error = yield* Effect.flip(OwnerLock.take(path))
        assert.strictEqual(reasonOf(error), "Held")
        assert.include(error.message, `held by process ${pid} ${found}`)
        assert.include(error.message, "remove the file when you know that it is gone")
        assert.strictEqual(reasonOf(yield* Effect.flip(OwnerLock.clearStale(path))), "NotStale")
        assert.deepStrictEqual(beside(path), ["gateway.lock"])
      })
    )
  }

  it.live("is not told by a machine that hides its boot id, except by its name and its pid namespace", () =>
    Effect.gen(function* () {
      const path = yield* place
      const owner = { ...(yield* fieldsHere), pid: (yield* dead).pid }
      const table = yield* tableWith({ bootId: Effect.succeed("") })
      for (const [fields, expected] of [
        [{ host: "x" }, "Held"],
        [{ pidNamespace: "1" }, "Held"],
        [{}, "Stale"]
      ] as const) {
        yield* write(path, { ...owner, ...fields })
        const status = yield* Effect.provideService(OwnerLock.status(path), ProcessTable, table)
        assert.strictEqual(status._tag, expected)
      }
    })
  )
})

describe("processes that race", () => {
  const racers = 4
  const rounds = 25

  const racer = Effect.gen(function* () {
    const running = yield* Effect.acquireRelease(
      Effect.sync(() =>
        ChildProcess.spawn(process.execPath, [fixture("take-lock.mjs")], { stdio: ["pipe", "pipe", "inherit"] })
      ),
      (spawned) => Effect.sync(() => spawned.kill("SIGKILL"))
    )
    let text = ""
    running.stdout.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
    const line = (index: number) =>
      eventually(
        `line ${index} of process ${running.pid}`,
        Effect.sync(() => {
          const lines = text.split("\n")
          return lines.length > index + 1 ? lines[index] : undefined
        })
      )
    yield* line(0)
    return { pid: running.pid, take: (path: string) => running.stdin.write(`${path}\n`), line }
  })

  it.live(
    `for one stale lock: exactly one wins, ${rounds} times`,
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const owner = yield* dead
        const all = yield* Effect.all(
          Array.from({ length: racers }, () => racer),
          { concurrency: "unbounded" }
        )
        for (let round = 1; round <= rounds; round += 1) {
          const path = Path.join(folder, `${round}`, "gateway.lock")
          Fs.mkdirSync(Path.dirname(path))
          yield* write(path, owner)
          for (const { take } of all) take(path)
          const outcomes = yield* Effect.forEach(all, ({ line }) => line(round), { concurrency: "unbounded" })
          const winners = all.filter((_, index) => outcomes[index] === "won")
          assert.strictEqual(winners.length, 1, outcomes.join("\n"))
          const status = yield* OwnerLock.status(path)
          assert.strictEqual(status._tag === "Held" ? status.owner.pid : status._tag, winners[0]?.pid)
          for (const outcome of outcomes) {
            if (outcome !== "won") assert.match(outcome, /^lost Held .* held by the running process \d+$/)
          }
          assert.deepStrictEqual(beside(path), ["gateway.lock", "(socket)"])
        }
      }),
    120_000
  )
})

describe("clearStale", () => {
  for (const [name, stale] of Object.entries(staleOwners)) {
    it.live(`removes it: ${name}`, () =>
      Effect.gen(function* () {
        const path = yield* place
        const [owner] = yield* stale
        yield* write(path, owner)
        yield* OwnerLock.clearStale(path)
        assert.deepStrictEqual(beside(path), [])
      })
    )
  }

  it.live("refuses one whose owner lives, one that names nobody, and one that is not there", () =>
    Effect.gen(function* () {
      const path = yield* place
      const { identity } = yield* child(idle)
      const refused = (status: string) =>
        Effect.map(Effect.flip(OwnerLock.clearStale(path)), (error) => {
          assert.strictEqual(reasonOf(error), "NotStale")
          assert.strictEqual(error.message, `${path} is not stale: ${status}`)
        })
      yield* refused("Free")
      yield* write(path, "who?")
      yield* refused("Unreadable")
      yield* write(path, identity)
      yield* refused("Held")
      assert.strictEqual(Fs.readFileSync(path, "utf8"), JSON.stringify(identity))
      assert.deepStrictEqual(beside(path), ["gateway.lock"])
    })
  )

  it.live("refuses while another process is clearing it", () =>
    Effect.gen(function* () {
      const path = yield* place
      const { identity } = yield* child(idle)
      const owner = yield* dead
      yield* write(path, owner)
      yield* write(`${path}.clearing`, identity)
      const error = yield* Effect.flip(OwnerLock.clearStale(path))
      assert.strictEqual(error.message, `${path} is not stale: process ${identity.pid} is clearing it`)
      assert.deepInclude(yield* OwnerLock.status(path), { _tag: "Stale", owner })
    })
  )

  /** A program with ways of its own that replaces the lock while its `time`-th judgement is being made. */
  const replacing = Effect.fnUntraced(function* (path: string, time: number, owner: ProcessIdentity.ProcessIdentity) {
    const real = yield* ProcessTable
    let judged = 0
    return yield* tableWith({
      stat: (pid) =>
        real.stat(pid).pipe(
          Effect.tap((stat) =>
            Effect.sync(() => {
              if (stat !== undefined) return
              judged += 1
              if (judged === time) Fs.writeFileSync(path, JSON.stringify(owner))
            })
          )
        )
    })
  })

  for (const [time, why] of [
    [1, "Held"],
    [2, "taken by a new owner meanwhile"]
  ] as const) {
    it.live(`leaves a lock that was replaced meanwhile: ${why}`, () =>
      Effect.gen(function* () {
        const path = yield* place
        const { identity } = yield* child(idle)
        yield* write(path, yield* dead)
        const error = yield* OwnerLock.clearStale(path).pipe(
          Effect.flip,
          Effect.provideService(ProcessTable, yield* replacing(path, time, identity))
        )
        assert.strictEqual(error.message, `${path} is not stale: ${why}`)
        assert.deepStrictEqual(yield* OwnerLock.status(path), { _tag: "Held", owner: identity })
        assert.deepStrictEqual(beside(path), ["gateway.lock"])
      })
    )
  }

  it.live("does not even move the lock of a process that was quicker: a third could take it then", () =>
    Effect.gen(function* () {
      const path = yield* place
      const { identity } = yield* child(idle)
      yield* write(path, yield* dead)
      const replaced = yield* replacing(path, 1, identity)
      // Renaming or linking a file changes its time of change.
      const changed = () => Fs.statSync(path, { bigint: true }).ctimeNs
      let then = 0n
      const stat = (pid: number) => Effect.tap(replaced.stat(pid), () => Effect.sync(() => (then = changed())))
      yield* OwnerLock.clearStale(path).pipe(
        Effect.flip,
        Effect.provideServiceEffect(ProcessTable, tableWith({ stat }))
      )
      assert.strictEqual(changed(), then)
    })
  )

  it.live("so does who takes the lock: it is refused, by name", () =>
    Effect.gen(function* () {
      const path = yield* place
      const { identity } = yield* child(idle)
      yield* write(path, yield* dead)
      const error = yield* OwnerLock.take(path).pipe(
        Effect.flip,
        Effect.provideService(ProcessTable, yield* replacing(path, 2, identity))
      )
      assert.strictEqual(error.message, `${path} is held by the running process ${identity.pid}`)
      assert.deepStrictEqual(beside(path), ["gateway.lock"])
    })
  )
})
