import * as ChildProcess from "node:child_process"
import { getEventListeners } from "node:events"
import * as Http from "node:http"
import * as Net from "node:net"
import * as V8 from "node:v8"
import * as Vm from "node:vm"

import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"

import { bulkhead } from "../src/internal/promise/bulkhead.ts"
import { composeAll } from "../src/internal/promise/compose.ts"
import { type PromiseOwn, timeout } from "../src/internal/promise/timeout.ts"
import * as Outcome from "../src/Outcome.ts"
import * as Timeout from "../src/Timeout.ts"
import { busyFor, interruptAll, Interrupted } from "./interruption.ts"
import { eventually, identityOf, refusal } from "./support.ts"

const start = <A, E>(effect: Effect.Effect<A, E>) => Effect.forkChild(effect, { startImmediately: true })

/** Something that is gone as soon as somebody calls `release`, unless told otherwise. */
const thing = (description: string, answers: Partial<Timeout.Owned> = {}) => {
  const log: Array<string> = []
  const owned: Timeout.Owned = {
    description,
    release: Effect.sync(() => log.push("released")),
    isGone: Effect.sync(() => log.includes("released")),
    ...answers
  }
  return { log, owned }
}

/** The error of a call that is given up after a second, with the clock moved `more` beyond that. */
const expired = Effect.fnUntraced(function* <A, E>(
  call: Effect.Effect<A, E>,
  more: Duration.Input = 0,
  options: Partial<Timeout.TimeoutOptions> = {}
) {
  const fiber = yield* start(Effect.flip(Timeout.make({ after: "1 second", ...options }).policy(call)))
  yield* TestClock.adjust("1 second")
  yield* TestClock.adjust(more)
  assert.isDefined(fiber.pollUnsafe(), "the caller is held")
  const error = yield* Fiber.join(fiber)
  return error instanceof Timeout.TimeoutError ? error : yield* Effect.die(error)
})

/** A server that takes connections and never answers. */
const silentServer = Effect.gen(function* () {
  const sockets = new Set<Net.Socket>()
  let opened = 0
  const server = Net.createServer((socket) => {
    opened++
    sockets.add(socket)
    socket.on("error", () => {})
    socket.on("close", () => sockets.delete(socket))
    socket.resume()
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.void))
    }),
    () =>
      Effect.callback<void>((resume) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resume(Effect.void))
      })
  )
  const address = server.address()
  if (address === null || typeof address === "string") return yield* Effect.die("no port")
  return { port: address.port, open: () => sockets.size, opened: () => opened }
})

const handles = (kind: string) => process.getActiveResourcesInfo().filter((one) => one === kind).length

const connect = (port: number) =>
  Effect.callback<Net.Socket>((resume) => {
    const socket = Net.connect(port, "127.0.0.1")
    socket.on("error", () => {})
    socket.once("connect", () => resume(Effect.succeed(socket)))
  })

const sleeper = () => ChildProcess.spawn("sleep", ["600"], { stdio: ["ignore", "pipe", "ignore"] })

const deaf = `process.on("SIGTERM", () => {}); console.log("ready"); setInterval(() => {}, 1_000_000)`

const Surrounding = Context.Reference<object>("test/Surrounding", { defaultValue: () => ({}) })

const collectGarbage = () => {
  V8.setFlagsFromString("--expose-gc")
  Vm.runInNewContext("gc")()
}

describe("Timeout", () => {
  it.effect("passes what ends in time: success, failure, defects, interruption", () =>
    Effect.gen(function* () {
      const { policy } = Timeout.make({ after: "1 second" })
      for (const later of [Effect.void, Effect.sleep("999 millis")]) {
        const after = <A, E>(exit: Exit.Exit<A, E>) =>
          Effect.gen(function* () {
            const fiber = yield* start(Effect.exit(policy(Effect.andThen(later, exit))))
            yield* TestClock.adjust("999 millis")
            return yield* Fiber.join(fiber)
          })
        assert.deepStrictEqual(yield* after(Exit.succeed(1)), Exit.succeed(1))
        assert.deepStrictEqual(yield* after(Exit.fail("no")), Exit.fail("no"))
        assert.deepStrictEqual(yield* after(Exit.die("bug")), Exit.die("bug"))
      }
      assert.isTrue(Exit.hasInterrupts(yield* Effect.exit(policy(Effect.interrupt))))
    })
  )

  it.effect("gives up after `after`, not earlier, and interrupts the call", () =>
    Effect.gen(function* () {
      let interrupted = false
      const call = Effect.onInterrupt(Effect.never, () => Effect.sync(() => (interrupted = true)))
      const fiber = yield* start(Effect.flip(Timeout.make({ after: "1 second", name: "api" }).policy(call)))
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      const error = yield* Fiber.join(fiber)
      assert.isTrue(interrupted)
      assert.deepStrictEqual(
        [error.after, error.released, error.owned, error.survivors],
        [Duration.seconds(1), "unknown", [], []]
      )
      assert.include(error.message, 'the timeout "api" gave the call up after 1s')
      assert.isFalse(Outcome.isRefusal(error))
    })
  )

  it.effect("acceptance(core-and-probes 6): nobody knows what became of a call that owns nothing", () =>
    Effect.gen(function* () {
      const error = yield* expired(Effect.promise(() => new Promise<never>(() => {})))
      assert.strictEqual(error.released, "unknown")
      assert.include(error.message, "whether it still runs is not known")
    })
  )

  it.live("acceptance(core-and-probes 6): the server sees the connection close, and no handle is left", () =>
    Effect.gen(function* () {
      const server = yield* silentServer
      const before = handles("TCPSocketWrap")
      const call = Effect.gen(function* () {
        const socket = yield* connect(server.port)
        yield* Timeout.ownSocket(socket)
        socket.write("hello")
        return yield* Effect.never
      })
      const error = yield* Effect.flip(Timeout.make({ after: "200 millis" }).policy(call))
      assert.instanceOf(error, Timeout.TimeoutError)
      assert.deepStrictEqual([error.released, error.owned], ["proven", [`socket to 127.0.0.1:${server.port}`]])
      assert.include(error.message, "what it owned is gone")
      assert.strictEqual(server.opened(), 1)
      yield* eventually(
        "the server sees it close, and no handle is left",
        Effect.sync(() => (server.open() === 0 && handles("TCPSocketWrap") === before ? true : undefined))
      )
    })
  )

  it.live("acceptance(core-and-probes 6): so it does for a request of plain Node", () =>
    Effect.gen(function* () {
      const server = yield* silentServer
      const before = handles("TCPSocketWrap")
      const agent = new Http.Agent({ keepAlive: true })
      const error = yield* Effect.promise(() =>
        timeout({ after: "200 millis" })
          .execute(
            (_, own) =>
              new Promise<number | undefined>((resolve, reject) => {
                Http.get({ port: server.port, host: "127.0.0.1", agent }, (response) => resolve(response.statusCode))
                  .on("socket", (socket) => own.socket(socket, "the request"))
                  .on("error", reject)
              })
          )
          .catch((reason: unknown) => reason)
      )
      assert.instanceOf(error, Timeout.TimeoutError)
      assert.deepStrictEqual([error.released, error.owned], ["proven", ["the request"]])
      assert.strictEqual(server.opened(), 1)
      yield* eventually(
        "the server sees it close, and no handle is left",
        Effect.sync(() => (server.open() === 0 && handles("TCPSocketWrap") === before ? true : undefined))
      )
    })
  )

  it.live("acceptance(core-and-probes 6): a child is gone, and so are its handles", () =>
    Effect.gen(function* () {
      const before = [handles("ProcessWrap"), handles("PipeWrap")]
      let child: ChildProcess.ChildProcess | undefined
      const call = Effect.gen(function* () {
        child = sleeper()
        yield* Timeout.ownChild(child)
        return yield* Effect.never
      })
      const error = yield* Effect.flip(Timeout.make({ after: "100 millis" }).policy(call))
      assert.strictEqual(error.released, "proven")
      assert.deepStrictEqual(error.owned, [`child ${child?.pid} (sleep)`])
      assert.strictEqual(child?.signalCode, "SIGTERM")
      assert.throws(() => process.kill(child?.pid ?? 0, 0), /ESRCH/)
      yield* eventually(
        "no handle is left",
        Effect.sync(() =>
          handles("ProcessWrap") === before[0] && handles("PipeWrap") === before[1] ? true : undefined
        )
      )
    })
  )

  it.live("kills a child that ignores SIGTERM, after its grace", () =>
    Effect.gen(function* () {
      const child = ChildProcess.spawn(process.execPath, ["-e", deaf], { stdio: ["ignore", "pipe", "ignore"] })
      yield* Effect.callback<void>((resume) => {
        child.stdout.once("data", () => resume(Effect.void))
      })
      const call = Effect.andThen(Timeout.ownChild(child, { grace: "50 millis" }), Effect.never)
      const error = yield* Effect.flip(Timeout.make({ after: "10 millis", grace: "20 seconds" }).policy(call))
      assert.deepStrictEqual([error.released, child.signalCode], ["proven", "SIGKILL"])
    })
  )

  it.live("says so when a child is still there at the end of the grace; it is killed all the same", () =>
    Effect.gen(function* () {
      const child = ChildProcess.spawn(process.execPath, ["-e", deaf], { stdio: ["ignore", "pipe", "ignore"] })
      yield* Effect.callback<void>((resume) => {
        child.stdout.once("data", () => resume(Effect.void))
      })
      const call = Effect.andThen(Timeout.ownChild(child, { grace: "500 millis" }), Effect.never)
      const error = yield* Effect.flip(Timeout.make({ after: "10 millis", grace: "50 millis" }).policy(call))
      assert.deepStrictEqual([error.released, error.survivors], ["survivors", error.owned])
      assert.include(error.message, `still there, to be ended by hand: child ${child.pid}`)
      yield* eventually(
        "it is killed",
        Effect.sync(() => child.signalCode ?? undefined)
      )
      assert.strictEqual(child.signalCode, "SIGKILL")
    })
  )

  it.live("ends a process by its identity", () =>
    Effect.gen(function* () {
      const child = sleeper()
      const identity = yield* identityOf(child.pid ?? 0)
      const call = Effect.andThen(Timeout.ownProcess(identity), Effect.never)
      const error = yield* Effect.flip(Timeout.make({ after: "10 millis", grace: "20 seconds" }).policy(call))
      assert.deepStrictEqual([error.released, error.owned], ["proven", [`process ${child.pid}`]])
      yield* eventually(
        "it was reaped",
        Effect.sync(() => child.signalCode ?? undefined)
      )
    })
  )

  it.live("signals nobody for a child that could not be started", () =>
    Effect.gen(function* () {
      const child = ChildProcess.spawn("/no/such/program")
      child.on("error", () => {})
      const signals: Array<unknown> = []
      child.kill = (signal) => signals.push(signal) > 0
      const { description, isGone, release } = Timeout.child(child)
      yield* release
      assert.strictEqual(child.pid, undefined)
      assert.strictEqual(description, "a child that did not start")
      assert.deepStrictEqual(signals, [])
      yield* eventually(
        "its pipes are closed",
        Effect.map(isGone, (gone) => gone || undefined)
      )
    })
  )

  it.live("a child that ended by itself is left alone", () =>
    Effect.gen(function* () {
      const child = ChildProcess.spawn(process.execPath, ["-e", ""], { stdio: "ignore" })
      yield* Effect.callback<void>((resume) => {
        child.once("close", () => resume(Effect.void))
      })
      const signals: Array<unknown> = []
      child.kill = (signal) => signals.push(signal) > 0
      const { isGone, release } = Timeout.child(child)
      assert.isTrue(yield* isGone)
      yield* release
      assert.deepStrictEqual(signals, [])
    })
  )

  it.effect("releases what is still there, once, and not what the call has released itself", () =>
    Effect.gen(function* () {
      const left = thing("left")
      const mine = thing("mine")
      const call = Effect.gen(function* () {
        yield* Timeout.own(left.owned)
        yield* Timeout.own(mine.owned)
        return yield* Effect.onInterrupt(Effect.never, () => Effect.sync(() => mine.log.push("released")))
      })
      const error = yield* expired(call)
      assert.deepStrictEqual([error.released, error.owned], ["proven", ["left", "mine"]])
      assert.deepStrictEqual([left.log, mine.log], [["released"], ["released"]])
    })
  )

  it.effect("leaves alone what a call owns that ended in time, or failed", () =>
    Effect.gen(function* () {
      const { policy } = Timeout.make({ after: "1 second" })
      const { log, owned } = thing("socket")
      yield* policy(Timeout.own(owned))
      yield* Effect.exit(policy(Effect.andThen(Timeout.own(owned), Effect.fail("no"))))
      const slow = yield* start(policy(Effect.andThen(Timeout.own(owned), Effect.sleep("500 millis"))))
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(slow)
      assert.deepStrictEqual(log, [])
    })
  )

  it.effect("names survivors, and waits for them no longer than the grace", () =>
    Effect.gen(function* () {
      const stubborn = thing("stubborn", { isGone: Effect.succeed(false) })
      const gone = thing("gone")
      const call = Effect.andThen(Effect.andThen(Timeout.own(stubborn.owned), Timeout.own(gone.owned)), Effect.never)
      const fiber = yield* start(Effect.flip(Timeout.make({ after: "1 second", grace: "3 seconds" }).policy(call)))
      yield* TestClock.adjust("3999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      const error = yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        [error.released, error.owned, error.survivors],
        ["survivors", ["stubborn", "gone"], ["stubborn"]]
      )
      assert.deepStrictEqual(stubborn.log, ["released"])
    })
  )

  it.effect("has a grace of 2 seconds unless told", () =>
    Effect.gen(function* () {
      const { owned } = thing("stubborn", { isGone: Effect.succeed(false) })
      const call = Effect.andThen(Timeout.own(owned), Effect.never)
      const fiber = yield* start(Effect.flip(Timeout.make({ after: "1 second" }).policy(call)))
      yield* TestClock.adjust("2999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* Fiber.join(fiber)).released, "survivors")
    })
  )

  it.effect("sees what is gone a while after its release", () =>
    Effect.gen(function* () {
      let gone = false
      const { owned } = thing("slow", {
        release: Effect.andThen(
          Effect.sleep("500 millis"),
          Effect.sync(() => (gone = true))
        ),
        isGone: Effect.sync(() => gone)
      })
      const error = yield* expired(Effect.andThen(Timeout.own(owned), Effect.never), "600 millis")
      assert.strictEqual(error.released, "proven")
    })
  )

  const unknowable: ReadonlyArray<readonly [what: string, answers: Partial<Timeout.Owned>]> = [
    ["a look that fails", { isGone: Effect.fail("no /proc") }],
    ["a look that dies", { isGone: Effect.die("bug") }],
    ["a look that hangs", { isGone: Effect.never }],
    ["a look that hangs for ever", { isGone: Effect.uninterruptible(Effect.never) }]
  ]
  for (const [what, answers] of unknowable) {
    it.effect(`does not take ${what} for a proof, nor wait for it`, () =>
      Effect.gen(function* () {
        const call = Effect.andThen(Timeout.own(thing("dark", answers).owned), Effect.never)
        const error = yield* expired(call, "2 seconds")
        assert.deepStrictEqual([error.released, error.owned], ["unknown", ["dark"]])
      })
    )
  }

  const releases: ReadonlyArray<readonly [what: string, release: Effect.Effect<unknown, unknown>]> = [
    ["fails", Effect.fail("no")],
    ["dies", Effect.die("bug")],
    ["hangs for ever", Effect.uninterruptible(Effect.never)]
  ]
  for (const [what, release] of releases) {
    it.effect(`a release that ${what} shows in what is left, and holds up no other`, () =>
      Effect.gen(function* () {
        const other = thing("other")
        const bad = thing("bad", { release })
        const call = Effect.andThen(Effect.andThen(Timeout.own(bad.owned), Timeout.own(other.owned)), Effect.never)
        const error = yield* expired(call, "2 seconds")
        assert.deepStrictEqual([error.released, error.survivors], ["survivors", ["bad"]])
        assert.deepStrictEqual(other.log, ["released"])
      })
    )
  }

  it.effect("a call that ignores its interruption holds the caller for the grace, and goes on alone", () =>
    Effect.gen(function* () {
      const { log, owned } = thing("socket")
      let ended = false
      const call = Effect.uninterruptible(
        Effect.gen(function* () {
          yield* Timeout.own(owned)
          yield* Effect.sleep("1 minute")
          ended = true
        })
      )
      const error = yield* expired(call, "2 seconds")
      // All that it registered is gone; but who knows what it does next.
      assert.deepStrictEqual([error.released, error.owned, log], ["unknown", ["socket"], ["released"]])
      assert.isFalse(ended)
      yield* TestClock.adjust("1 minute")
      assert.isTrue(ended)
    })
  )

  it.effect("gives the call's own finalizers half the grace before it releases anything", () =>
    Effect.gen(function* () {
      const { log, owned } = thing("socket")
      const call = Effect.andThen(
        Timeout.own(owned),
        Effect.onInterrupt(Effect.never, () => Effect.sleep("1 minute"))
      )
      const fiber = yield* start(Effect.flip(Timeout.make({ after: "1 second", grace: "4 seconds" }).policy(call)))
      yield* TestClock.adjust("2999 millis")
      assert.deepStrictEqual(log, [])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(log, ["released"])
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).released, "unknown")
    })
  )

  it.effect("what is registered after the call was given up is released at once, and is no proof", () =>
    Effect.gen(function* () {
      const early = thing("early")
      const late = thing("late")
      const register = yield* Deferred.make<(owned: Timeout.Owned) => void>()
      const call = Effect.gen(function* () {
        yield* Deferred.succeed(register, yield* Timeout.owner)
        yield* Timeout.own(early.owned)
        return yield* Effect.never
      })
      const error = yield* expired(call)
      assert.strictEqual(error.released, "proven")
      const own = yield* Deferred.await(register)
      own(late.owned)
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(late.log, ["released"])
    })
  )

  it.effect("what is registered during the grace, too late to be looked at, makes it unknown", () =>
    Effect.gen(function* () {
      const early = thing("early", {
        release: Effect.sleep("1 second"),
        isGone: Effect.sync(() => late.log.length > 0)
      })
      const late = thing("late")
      const call = Effect.gen(function* () {
        const own = yield* Timeout.owner
        yield* Timeout.own(early.owned)
        yield* Effect.forkDetach(
          Effect.andThen(
            Effect.sleep("1500 millis"),
            Effect.sync(() => own(late.owned))
          )
        )
        return yield* Effect.never
      })
      const error = yield* expired(call, "1 second")
      assert.deepStrictEqual([error.released, late.log], ["unknown", ["released"]])
    })
  )

  it.effect("does nothing where no timeout guards the call, or the call has ended", () =>
    Effect.gen(function* () {
      const { log, owned } = thing("free")
      yield* Timeout.own(owned)
      const own = yield* Timeout.make({ after: "1 second" }).policy(Timeout.owner)
      own(owned)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(log, [])
    })
  )

  it.effect("one timeout aborts none of its siblings", () =>
    Effect.gen(function* () {
      const { policy } = Timeout.make({ after: "1 second" })
      const other = thing("of the sibling")
      const hung = yield* start(Effect.flip(policy(Effect.never)))
      yield* TestClock.adjust("500 millis")
      const sibling = yield* start(
        policy(Effect.andThen(Timeout.own(other.owned), Effect.as(Effect.sleep("900 millis"), "ran")))
      )
      yield* TestClock.adjust("500 millis")
      assert.strictEqual((yield* Fiber.join(hung))._tag, "TimeoutError")
      yield* TestClock.adjust("400 millis")
      assert.strictEqual(yield* Fiber.join(sibling), "ran")
      assert.deepStrictEqual(other.log, [])
    })
  )

  it.effect("a timeout around another knows what the inner call owns, and releases it once", () =>
    Effect.gen(function* () {
      const { log, owned } = thing("deep")
      const inner = Timeout.make({ after: "10 seconds" }).policy(Effect.andThen(Timeout.own(owned), Effect.never))
      const error = yield* expired(inner, 0, { name: "outer" })
      assert.deepStrictEqual(
        [error.name, error.released, error.owned, log],
        ["outer", "proven", ["deep"], ["released"]]
      )
    })
  )

  it.effect("a timeout around another does not release anew what the inner one cannot get rid of", () =>
    Effect.gen(function* () {
      const { log, owned } = thing("stubborn", { isGone: Effect.succeed(false) })
      const inner = Timeout.make({ after: "10 seconds" }).policy(Effect.andThen(Timeout.own(owned), Effect.never))
      const error = yield* expired(inner, "2 seconds", { name: "outer" })
      assert.deepStrictEqual([error.name, error.released, log], ["outer", "survivors", ["released"]])
    })
  )

  it.effect("a timeout around another forgets what an inner call owned that ended in time", () =>
    Effect.gen(function* () {
      const { log, owned } = thing("deep")
      const inner = Timeout.make({ after: "10 seconds" }).policy(Timeout.own(owned))
      const error = yield* expired(Effect.andThen(inner, Effect.never))
      assert.deepStrictEqual([error.released, error.owned, log], ["unknown", [], []])
    })
  )

  const outer = Timeout.make({ after: "1 hour", name: "outer" }).policy

  it.effect("a long one around many others holds nothing that is gone after they gave up", () =>
    Effect.gen(function* () {
      const inner = Timeout.make({ after: "1 second", grace: "1 second" }).policy
      /** Who looks at what, once the outer call is given up. */
      const looks: Array<string> = []
      const one = (name: string, goneAfter: Duration.Input) =>
        Effect.suspend(() => {
          let gone = false
          const release = Effect.andThen(
            Effect.sleep(goneAfter),
            Effect.sync(() => (gone = true))
          )
          const isGone = Effect.sync(() => {
            looks.push(name)
            return gone
          })
          return Effect.exit(inner(Effect.andThen(Timeout.own({ description: name, release, isGone }), Effect.never)))
        })
      const fiber = yield* start(
        Effect.flip(
          outer(
            Effect.gen(function* () {
              yield* one("gone at once", 0)
              yield* one("gone within the grace", "500 millis")
              yield* one("gone after it", "10 seconds")
              yield* Effect.sleep("1 minute")
              yield* one("never gone", "1 day")
              return yield* Effect.never
            })
          )
        )
      )
      for (let seconds = 0; seconds < 100; seconds++) yield* TestClock.adjust("1 second")
      looks.length = 0
      yield* TestClock.adjust("1 hour")
      const error = yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        [error.released, error.owned, error.survivors],
        ["survivors", ["never gone"], ["never gone"]]
      )
      assert.deepStrictEqual([...new Set(looks)], ["never gone"])
    })
  )

  it.effect("remembers that what it owned is gone, though no longer what it was", () =>
    Effect.gen(function* () {
      const inner = Timeout.make({ after: "1 second" }).policy
      const fiber = yield* start(
        Effect.flip(
          outer(
            Effect.andThen(
              Effect.exit(inner(Effect.andThen(Timeout.own(thing("early").owned), Effect.never))),
              Effect.never
            )
          )
        )
      )
      yield* TestClock.adjust("1 second")
      yield* TestClock.adjust("1 hour")
      const error = yield* Fiber.join(fiber)
      assert.deepStrictEqual([error.released, error.owned], ["proven", []])
      assert.include(error.message, "what it owned is gone")
    })
  )

  it.effect("nor of calls within those", () =>
    Effect.gen(function* () {
      const looks: Array<string> = []
      const nested = (depth: number, name: string): Effect.Effect<unknown> =>
        Effect.suspend(() => {
          let gone = false
          const owned: Timeout.Owned = {
            description: name,
            release: Effect.sync(() => (gone = true)),
            isGone: Effect.sync(() => (looks.push(name), gone))
          }
          const { policy } = Timeout.make({ after: `${4 - depth} seconds`, grace: "1 second" })
          return Effect.exit(
            policy(Effect.andThen(Timeout.own(owned), depth === 0 ? Effect.never : nested(depth - 1, `${name} within`)))
          )
        })
      const fiber = yield* start(Effect.flip(outer(Effect.andThen(nested(3, "deep"), Effect.never))))
      for (let seconds = 0; seconds < 20; seconds++) yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(
        ["deep", "deep within", "deep within within"].filter((name) => !looks.includes(name)),
        []
      )
      looks.length = 0
      yield* TestClock.adjust("1 hour")
      const error = yield* Fiber.join(fiber)
      assert.deepStrictEqual([error.released, error.owned, looks], ["proven", [], []])
    })
  )

  it.effect("nor anything of the surroundings of those", () =>
    Effect.gen(function* () {
      const inner = Timeout.make({ after: "1 second" }).policy
      const surroundings: Array<WeakRef<object>> = []
      const one = Effect.suspend(() => {
        const surrounding = {}
        surroundings.push(new WeakRef(surrounding))
        const call = inner(Effect.andThen(Timeout.own(thing("gone").owned), Effect.never))
        return Effect.provideService(Effect.exit(call), Surrounding, surrounding)
      })
      const fiber = yield* start(
        outer(
          Effect.andThen(
            Effect.forEach(Array.from({ length: 20 }), () => one, { discard: true }),
            Effect.never
          )
        )
      )
      for (let seconds = 0; seconds < 30; seconds++) yield* TestClock.adjust("1 second")
      assert.lengthOf(surroundings, 20)
      yield* Effect.promise(() => new Promise((resume) => setImmediate(resume)))
      collectGarbage()
      // The last may still be held by what runs it.
      assert.isAtMost(surroundings.filter((weak) => weak.deref() !== undefined).length, 2)
      yield* Fiber.interrupt(fiber)
    })
  )

  it.effect("a long one holds nothing that was registered late and is gone", () =>
    Effect.gen(function* () {
      const inner = Timeout.make({ after: "1 second" }).policy
      const own = yield* Deferred.make<(owned: Timeout.Owned) => void>()
      const late = thing("late")
      const fiber = yield* start(
        Effect.flip(
          outer(
            Effect.andThen(
              Effect.exit(
                inner(
                  Effect.andThen(
                    Effect.flatMap(Timeout.owner, (register) => Deferred.succeed(own, register)),
                    Effect.never
                  )
                )
              ),
              Effect.never
            )
          )
        )
      )
      yield* TestClock.adjust("1 second")
      const register = yield* Deferred.await(own)
      register(late.owned)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(late.log, ["released"])
      yield* TestClock.adjust("1 hour")
      const error = yield* Fiber.join(fiber)
      assert.deepStrictEqual([error.released, error.owned], ["unknown", []])
    })
  )

  it.effect.prop(
    "leaves nothing behind, at whatever operation calls are interrupted",
    [Schema.Array(Interrupted).check(Schema.isMaxLength(12))],
    ([calls]) =>
      Effect.gen(function* () {
        const { policy } = Timeout.make({ after: "1 hour" })
        let running = 0
        const owned = new Map<string, boolean>()
        yield* interruptAll(calls, (ends, index) => {
          const description = `${index}`
          const release = Effect.sync(() => owned.set(description, false))
          const isGone = Effect.sync(() => owned.get(description) === false)
          return policy(
            Effect.acquireUseRelease(
              Effect.andThen(
                Timeout.own({ description, release, isGone }),
                Effect.sync(() => {
                  owned.set(description, true)
                  running++
                })
              ),
              () => (ends ? busyFor(5, release) : Effect.never),
              () => Effect.sync(() => running--)
            )
          )
        })
        assert.strictEqual(running, 0)
        assert.deepStrictEqual(
          [...owned].filter(([, there]) => there),
          []
        )
      }),
    { arbitrary: { runs: 300, size: 12 } }
  )

  it.effect("who interrupts the caller interrupts the call, and what it owns is released", () =>
    Effect.gen(function* () {
      const { log, owned } = thing("socket")
      let interrupted = false
      const call = Effect.andThen(
        Timeout.own(owned),
        Effect.onInterrupt(Effect.never, () => Effect.sync(() => (interrupted = true)))
      )
      const fiber = yield* start(Timeout.make({ after: "1 second" }).policy(call))
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual([interrupted, log], [true, ["released"]])
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
    })
  )

  it.effect("guards a call within an uninterruptible region", () =>
    Effect.gen(function* () {
      const error = yield* expired(Effect.never)
      const { policy } = Timeout.make({ after: "1 second" })
      const fiber = yield* start(Effect.uninterruptible(Effect.flip(policy(Effect.never))))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber)).released, error.released)
    })
  )

  it.effect("counts expirations by name and by what was released", () =>
    Effect.gen(function* () {
      yield* expired(Effect.never, 0, { name: "counted" })
      yield* expired(Effect.andThen(Timeout.own(thing("x").owned), Effect.never), 0, { name: "counted" })
      for (const released of ["unknown", "proven"]) {
        const counter = Metric.counter("nexobot_timeout_expirations", {
          description: "Calls that a timeout gave up",
          incremental: true,
          attributes: { name: "counted", released }
        })
        assert.strictEqual((yield* Metric.value(counter)).count, 1, released)
      }
    })
  )

  const bad: ReadonlyArray<readonly [options: object, option: string]> = [
    [{}, "after"],
    [{ after: 0 }, "after"],
    [{ after: Number.POSITIVE_INFINITY }, "after"],
    [{ after: "soon" }, "after"],
    [{ after: "1 second", grace: -1 }, "grace"],
    [{ after: "1 second", grace: Number.NaN }, "grace"],
    [{ after: "1 second", name: "" }, "name"],
    [{ after: "1 second", timeout: 1 }, "timeout"]
  ]
  for (const [options, option] of bad) {
    it(`refuses ${JSON.stringify(options)} for "${option}"`, () => {
      for (const make of [Timeout.make, timeout]) {
        assert.strictEqual(refusal(() => make(options as Timeout.TimeoutOptions)).option, option)
      }
    })
  }

  it("refuses a bad grace of a child or a process", () => {
    const child = ChildProcess.spawn("/no/such/program").on("error", () => {})
    const identity = { pid: 1, startTime: 1, bootId: "" }
    for (const options of [{ grace: -1 }, { grace: Number.NaN }, { patience: 1 }]) {
      const [option = ""] = Object.keys(options)
      assert.strictEqual(refusal(() => Timeout.child(child, options)).option, option)
      assert.strictEqual(refusal(() => Timeout.process(identity, options)).option, option)
    }
  })

  describe("for plain Node", () => {
    it("passes results and rejections", async () => {
      const { execute } = timeout({ after: "1 minute" })
      assert.strictEqual(await execute(() => 1), 1)
      assert.strictEqual(await execute(async () => Promise.reject(new Error("no"))).catch(String), "Error: no")
    })

    it("aborts the signal, and says that nobody knows what became of a promise", async () => {
      let aborted = false
      const error = await timeout({ after: 20 })
        .execute(
          (signal) =>
            new Promise<never>(() => {
              signal.addEventListener("abort", () => (aborted = true))
            })
        )
        .catch((reason: unknown) => reason)
      assert.instanceOf(error, Timeout.TimeoutError)
      assert.deepStrictEqual([aborted, error.released], [true, "unknown"])
    })

    it("releases what the call owns, registered at any time", async () => {
      let released = 0
      const error = await timeout({ after: 50 })
        .execute(async (signal, own) => {
          await Promise.resolve()
          own.resource({ description: "lock", release: async () => void released++, isGone: () => released > 0 })
          own.child(sleeper())
          return new Promise<never>(() => {})
        })
        .catch((reason: unknown) => reason)
      assert.instanceOf(error, Timeout.TimeoutError)
      assert.strictEqual(error.released, "proven")
      assert.deepStrictEqual([error.owned.length, released], [2, 1])
    })

    it("does not take a look that rejects for a proof", async () => {
      const error = await timeout({ after: 20, grace: 50 })
        .execute((_, own) => {
          own.resource({
            description: "lock",
            release: () => {},
            isGone: () => {
              throw new Error("no idea")
            }
          })
          return new Promise<never>(() => {})
        })
        .catch((reason: unknown) => reason)
      assert.instanceOf(error, Timeout.TimeoutError)
      assert.deepStrictEqual([error.released, error.owned], ["unknown", ["lock"]])
    })

    it("gives the call its register within a composed policy too, where it is the innermost", async () => {
      const composed = composeAll(bulkhead({ concurrency: 1 }), timeout({ after: 20 }))
      let released = false
      const error = await composed
        .execute((_: AbortSignal, own?: PromiseOwn) => {
          own?.resource({ description: "lock", release: () => (released = true), isGone: () => released })
          return new Promise<never>(() => {})
        })
        .catch((reason: unknown) => reason)
      assert.instanceOf(error, Timeout.TimeoutError)
      assert.deepStrictEqual([error.released, error.owned], ["proven", ["lock"]])
    })

    it("the caller's signal aborts the call and releases what it owns", async () => {
      const abort = new AbortController()
      let released = false
      const result = timeout({ after: "1 minute" })
        .execute(
          (_, own) => {
            own.resource({ description: "lock", release: () => void (released = true), isGone: () => released })
            return new Promise<never>(() => {})
          },
          { signal: abort.signal }
        )
        .catch((reason: unknown) => reason)
      abort.abort("enough")
      assert.strictEqual(await result, "enough")
      assert.isTrue(released)
    })

    for (const [when, ms] of [
      ["before it expires", 5],
      ["during the grace", 40]
    ] as const) {
      it(`an abort ${when} rejects at once with its reason; the release goes on`, async () => {
        const abort = new AbortController()
        const reason = new Error("left")
        const { promise: releasing, resolve } = Promise.withResolvers<void>()
        let isOver = false
        const result = timeout({ after: 20, grace: "1 minute" })
          .execute(
            (_, own) => {
              own.resource({ description: "slow", release: () => resolve(), isGone: () => isOver })
              return new Promise<never>(() => {})
            },
            { signal: abort.signal }
          )
          .catch((error: unknown) => error)
        setTimeout(() => abort.abort(reason), ms)
        // Not before the resource is gone would be never.
        assert.strictEqual(await result, reason)
        await releasing
        isOver = true
        assert.lengthOf(getEventListeners(abort.signal, "abort"), 0)
      })
    }
  })
})
