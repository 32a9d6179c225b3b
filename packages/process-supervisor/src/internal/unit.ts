/** One supervised process: the life of its children, and what is asked of it, one request at a time. */
import * as ProcessControl from "@nexobot/core/ProcessControl"
import * as ProcessExit from "@nexobot/core/ProcessExit"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { ProcessTable } from "@nexobot/core/ProcessTable"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"

import type { ProcessSpec } from "../ProcessSpec.ts"
import * as RestartPolicy from "../RestartPolicy.ts"
import * as Event from "../SupervisorEvent.ts"
import * as Children from "./child.ts"
import * as Cookie from "./cookie.ts"
import type { Common, Events } from "./events.ts"
import * as Tree from "./tree.ts"

type State = ProcessControl.ProcessState
type StartedBy = "request" | "policy"

export interface Unit {
  readonly name: string
  readonly status: Effect.Effect<ProcessControl.ProcessStatus>
  /** The child that runs now. */
  readonly identity: () => ProcessIdentity.ProcessIdentity | undefined
  readonly start: Effect.Effect<void, ProcessControl.ProcessControlError>
  readonly stop: Effect.Effect<ProcessIdentity.Receipt, ProcessControl.ProcessControlError>
  readonly restart: Effect.Effect<void, ProcessControl.ProcessControlError>
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void, ProcessControl.ProcessControlError>
  /** Stops it for good. */
  readonly close: Effect.Effect<void, ProcessControl.ProcessControlError>
  /** Waits while it is starting or waits for a restart, for its start grace at most. */
  readonly settled: Effect.Effect<void>
}

interface Run {
  readonly child: Children.Child
  readonly startedBy: StartedBy
  /** Monotonic nanoseconds. */
  readonly since: bigint
}

const elapsed = (since: bigint) => Effect.map(Clock.monotonicTimeNanos, (now) => Duration.nanos(now - since))

const readyPoll = Schedule.spaced("25 millis")

export const make = Effect.fnUntraced(function* <R>(
  spec: ProcessSpec<R>,
  supervisor: { readonly cookie: Cookie.Cookie; readonly bootId: string; readonly events: Events }
): Effect.fn.Return<Unit, never, R | Scope.Scope> {
  const { bootId, cookie, events } = supervisor
  const { name } = spec
  const mark = Cookie.format(cookie)
  // Closed after the unit is: a probe that is slow to be interrupted must not delay the stop.
  const background = yield* Scope.fork(yield* Effect.scope)
  const services = yield* Effect.context<R>()
  const table = yield* ProcessTable
  const turn = yield* Semaphore.make(1)
  const settled = yield* Latch.make(true)

  let state: State = "Stopped"
  let run: Run | undefined
  let lastExit: ProcessExit.ProcessExit | undefined
  let restarts = 0
  let closed = false
  let keeper: Fiber.Fiber<void> | undefined

  /** Whoever waits for the new state goes on only after its event: the journal stays in order. */
  const enter = (next: State, event: (at: Common) => Event.SupervisorEvent) =>
    Effect.suspend(() => {
      state = next
      const announced = events.publish(name, event)
      return next === "Starting" || next === "Waiting"
        ? Effect.andThen(settled.close, announced)
        : Effect.andThen(announced, settled.open)
    })

  const error = (reason: ProcessControl.ProcessControlError["reason"]) =>
    new ProcessControl.ProcessControlError({ process: name, reason })

  /** Records an end once, whoever learns of it first: the keeper or a stop. */
  const record = Effect.fnUntraced(function* (
    exit: ProcessExit.ProcessExit,
    of: Run | undefined
  ): Effect.fn.Return<Duration.Duration> {
    const ranFor = of === undefined ? Duration.zero : yield* elapsed(of.since)
    if (of !== undefined && run !== of) return ranFor
    run = undefined
    lastExit = exit
    yield* events.publish(name, (at) => new Event.Exited({ ...at, exit, identity: of?.child.identity, ranFor }))
    return ranFor
  })

  const becomeReady = (of: Run) =>
    Effect.suspend(() => {
      if (run !== of || state !== "Starting") return Effect.void
      return enter("Running", (at) => new Event.Ready({ ...at, identity: of.child.identity }))
    })

  const awaitReady = Effect.fnUntraced(function* (of: Run): Effect.fn.Return<void> {
    if (spec.ready === undefined) return yield* becomeReady(of)
    const ready = yield* Effect.exit(Effect.provideContext(spec.ready.check, services)).pipe(
      // A probe that dies says nothing, as everywhere.
      Effect.map((exit) => exit._tag === "Success" && ["Healthy", "Degraded"].includes(exit.value._tag)),
      Effect.repeat({ schedule: readyPoll, until: (isReady) => isReady }),
      Effect.timeoutOption(spec.startGrace)
    )
    if (Option.isSome(ready)) return yield* becomeReady(of)
    if (run !== of || state !== "Starting") return
    const after = spec.startGrace
    yield* enter("Running", (at) => new Event.ReadinessTimeout({ ...at, identity: of.child.identity, after }))
  })

  const spawn = Effect.fnUntraced(function* (startedBy: StartedBy) {
    const child = yield* Children.spawn(spec, mark, bootId)
    const spawned: Run = { child, startedBy, since: yield* Clock.monotonicTimeNanos }
    run = spawned
    const identity = child.identity
    yield* enter("Starting", (at) => new Event.Spawned({ ...at, identity, startedBy, restarts }))
    return spawned
  }, Effect.uninterruptible)

  /** The end of a run. Readiness is watched meanwhile and no longer. */
  const ended = Effect.fnUntraced(function* (of: Run) {
    const readiness = yield* Effect.forkIn(awaitReady(of), background, { startImmediately: true })
    const end = yield* Deferred.await(of.child.end).pipe(
      // Not awaited: a probe that is slow to be interrupted must not delay the restart.
      Effect.ensuring(Effect.sync(() => readiness.interruptUnsafe()))
    )
    const exit = Children.exitOf(of.child, end)
    yield* Effect.orDie(Tree.killGroup(of.child.identity))
    return { exit, ranFor: yield* record(exit, of) }
  })

  const spawnByPolicy = spawn("policy").pipe(
    Effect.catch((exit) => Effect.as(record(exit, undefined), exit)),
    Effect.uninterruptible
  )

  /** Follows one life, from a requested start to the policy's last word. */
  const keep = Effect.fnUntraced(function* (first: Run): Effect.fn.Return<void> {
    const policy = yield* RestartPolicy.driver(spec.restartPolicy)
    let outcome: Run | ProcessExit.SpawnFailed = first
    while (true) {
      const { exit, ranFor } = "child" in outcome ? yield* ended(outcome) : { exit: outcome, ranFor: Duration.zero }
      const decision: RestartPolicy.Decision = yield* policy.decide(exit, ranFor)
      if (decision._tag === "Done") {
        return yield* enter("Ended", (at) => new Event.Ended(at))
      }
      if (decision._tag === "GiveUp") {
        return yield* enter("Failed", (at) => new Event.GaveUp({ ...at, reason: decision.reason }))
      }
      yield* enter("Waiting", (at) => new Event.RestartDecided({ ...at, after: decision.after }))
      // Sleeping for nothing would still cost a turn of the event loop.
      if (Duration.isPositive(decision.after)) yield* Effect.sleep(decision.after)
      restarts += 1
      outcome = yield* spawnByPolicy
    }
  })

  /** A request that cannot be spawned fails at once: whoever asked gets the answer. */
  const begin = Effect.gen(function* () {
    if (closed) return yield* error(new ProcessControl.Unavailable({ why: "its supervisor has ended" }))
    const first = yield* spawn("request").pipe(
      Effect.catch((exit) =>
        Effect.gen(function* () {
          yield* record(exit, undefined)
          yield* enter("Failed", (at) => new Event.GaveUp({ ...at, reason: "SpawnFailed" }))
          return yield* error(new ProcessControl.Unavailable({ why: ProcessExit.describe(exit) }))
        })
      )
    )
    keeper = yield* Effect.forkIn(keep(first), background, { startImmediately: true })
  })

  const end = Effect.gen(function* () {
    yield* enter("Stopping", (at) => new Event.StopRequested(at))
    if (keeper !== undefined) yield* Fiber.interrupt(keeper)
    keeper = undefined
    const stopped = run
    stopped?.child.sent.add(spec.stopSignal)
    const identity = stopped?.child.identity
    const options = { grace: spec.stopGrace, signal: spec.stopSignal }
    const receipt = yield* Tree.sweep(identity, cookie, options)
    if (stopped !== undefined) {
      if (receipt.escalated.some((one) => ProcessIdentity.equals(one, stopped.child.identity))) {
        stopped.child.sent.add("SIGKILL")
      }
      const last = yield* Effect.timeoutOption(Deferred.await(stopped.child.end), "1 second")
      if (Option.isSome(last)) yield* record(Children.exitOf(stopped.child, last.value), stopped)
      // Whoever was forked meanwhile without our environment is still in the group.
      yield* Tree.killGroup(stopped.child.identity)
    }
    yield* enter("Stopped", (at) => new Event.Stopped({ ...at, receipt }))
    if (receipt.survivors.length === 0) return receipt
    return yield* error(new ProcessControl.Survivors({ pids: receipt.survivors.map((one) => one.pid) }))
  }).pipe(Effect.catchTag("Unsupported", Effect.die))

  // Waiting for one's turn can be interrupted; a stop or start that has begun is brought to its end.
  const exclusive = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    turn.withPermit(Effect.uninterruptible(Effect.provideService(effect, ProcessTable, table)))

  return {
    name,
    identity: () => run?.child.identity,
    status: Effect.gen(function* () {
      const uptime = run === undefined ? undefined : yield* elapsed(run.since)
      return { name, state, identity: run?.child.identity, uptime, restarts, lastExit, startedBy: run?.startedBy }
    }),
    start: exclusive(Effect.suspend(() => (["Stopped", "Ended", "Failed"].includes(state) ? begin : Effect.void))),
    stop: exclusive(end),
    restart: exclusive(Effect.andThen(end, begin)),
    close: Effect.suspend(() => {
      closed = true
      return Effect.asVoid(exclusive(end))
    }),
    signal: (signal) =>
      Effect.suspend(() => {
        if (run === undefined) return error(new ProcessControl.NotRunning({}))
        run.child.sent.add(signal)
        return ProcessIdentity.signal(run.child.identity, signal).pipe(
          Effect.orDie,
          Effect.provideService(ProcessTable, table),
          Effect.filterOrFail(
            (sent) => sent,
            () => error(new ProcessControl.NotRunning({}))
          ),
          Effect.asVoid
        )
      }),
    settled: Effect.asVoid(Effect.timeoutOption(settled.await, spec.startGrace))
  }
})
