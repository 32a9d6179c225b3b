/** The hands of a supervisor for one process: carries out the machine's orders, and tells it what happened. */
import * as ProcessControl from "@nexobot/core/ProcessControl"
import * as ProcessExit from "@nexobot/core/ProcessExit"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { ProcessTable } from "@nexobot/core/ProcessTable"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { constVoid } from "effect/Function"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"

import type { ProcessSpec } from "../ProcessSpec.ts"
import * as Event from "../SupervisorEvent.ts"
import type * as Cookie from "./cookie.ts"
import { format } from "./cookie.ts"
import type { Events } from "./events.ts"
import type { AppLog } from "./logs/appLog.ts"
import type * as Machine from "./machine.ts"
import * as Preflight from "./preflight.ts"
import * as Prerequisites from "./prerequisites.ts"
import * as Runs from "./run.ts"
import type { Sampler } from "./sampler.ts"
import * as Tree from "./tree.ts"
import * as Vigil from "./vigil.ts"

/** What all units of a supervisor share. */
export interface Shared {
  readonly cookie: (name: string) => Cookie.Cookie
  readonly bootId: string
  readonly events: Events
  readonly sampler: Sampler
  readonly dispatch: (input: Machine.Input) => void
  /** A life began; `undefined` is forgotten when it ends. */
  readonly began: (run: Runs.Run) => void
  readonly ended: (run: Runs.Run) => void
  /** Frees the port of an orphan of ours; who else holds it, if anybody does. */
  readonly claimPort: (port: number) => Effect.Effect<ProcessExit.PortHeld | undefined>
  /** Hides from now on what is a secret of these variables. */
  readonly learn: Runs.Birth["learn"]
  /** Tells each change of the files of the process; completes when they cannot be watched. */
  readonly watchFiles: (onChange: Effect.Effect<void>) => Effect.Effect<void>
}

export interface Unit {
  readonly name: string
  /** The child that runs now. */
  readonly run: () => Runs.Run | undefined
  /** Also one that is reloaded, and an old one that is drained. */
  readonly lives: () => Iterable<Runs.Run>
  readonly log: AppLog
  /** Restarts so far, for the journal. */
  readonly begin: (startedBy: Runs.Run["startedBy"], restarts: number) => void
  readonly end: (by: "request" | "group", exit: ProcessExit.ProcessExit | undefined) => void
  /** Looks after a life that an earlier supervisor began, and that is proven to be ours. */
  readonly adopt: (
    life: Pick<Runs.Run, "identity" | "life"> & { readonly restarts: number },
    age: Duration.Duration
  ) => Effect.Effect<void>
  readonly reload: Effect.Effect<void, ProcessControl.ProcessControlError>
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void, ProcessControl.ProcessControlError>
  readonly lastExit: () => ProcessExit.ProcessExit | undefined
  /** Nobody is left, as far as the last stop could see. */
  readonly isSwept: () => boolean
  /** What the last stop left and ended. */
  readonly receipt: () => ProcessIdentity.Receipt
}

const noReceipt: ProcessIdentity.Receipt = { signalled: [], escalated: [], survivors: [] }

const identitiesOf = (pids: Iterable<number>) =>
  Effect.map(Effect.forEach(pids, ProcessIdentity.of), (found) => found.filter((one) => one !== undefined))

/** How long a new one has to live that has nothing to show that it is ready. */
const proof = Duration.seconds(1)

const endPoll = Schedule.spaced("10 millis")

const awaitEnd = (of: Runs.Run, within: Duration.Input) =>
  Effect.timeoutOption(Effect.repeat(Effect.sync(of.hasEnded), { schedule: endPoll, until: (has) => has }), within)

export const make = Effect.fnUntraced(function* <R>(
  spec: ProcessSpec<R>,
  log: AppLog,
  shared: Shared
): Effect.fn.Return<Unit, never, R | Scope.Scope> {
  const { dispatch, events, sampler } = shared
  const { name } = spec
  const ours = shared.cookie(name)
  // Closed after the unit is: a probe that is slow to be interrupted must not delay a stop.
  const background = yield* Scope.fork(yield* Effect.scope)
  const services = yield* Effect.context<R>()
  const table = yield* ProcessTable
  const reloads = yield* Semaphore.make(1)

  let run: Runs.Run | undefined
  const lives = new Set<Runs.Run>()
  /** What is under way: a start, the watch over the run. */
  let starting: Fiber.Fiber<void> | undefined
  /** The reload that is under way, and those that wait for it. */
  const reloading = new Set<Fiber.Fiber<void, ProcessControl.ProcessControlError>>()
  /** A new one is not in its place yet. */
  let isReloading = false
  let vigil: Fiber.Fiber<void> | undefined
  /** The watch over its files, from the first life on: no change between two lives is missed. */
  let watching: Fiber.Fiber<void> | undefined
  let unwatch: () => void = constVoid
  let isEnding = false
  let life = 0
  let isSwept = true
  let receipt = noReceipt
  let lastExit: ProcessExit.ProcessExit | undefined

  const fork = <A, E>(effect: Effect.Effect<A, E, R>): Fiber.Fiber<A, E> =>
    Effect.runSync(Effect.forkIn(Effect.provideContext(effect, services), background, { startImmediately: true }))
  const onTable = <A, E, R2>(effect: Effect.Effect<A, E, R2>) => Effect.provideService(effect, ProcessTable, table)

  const stopWatching = (): void => {
    vigil?.interruptUnsafe()
    vigil = undefined
    unwatch()
  }

  const unfit = (of: Runs.Run, exit: ProcessExit.ProcessExit): Effect.Effect<void> =>
    Effect.sync(() => {
      if (run !== of || isEnding || of.hasEnded()) return
      events.publish(name, (at) => new Event.Unfit({ ...at, exit, identity: of.identity }))
      dispatch({ _tag: "Unfit", name, exit })
    })

  const recycle = (reason: ProcessExit.Recycled["why"]): Effect.Effect<void> =>
    Effect.sync(() => dispatch({ _tag: "Recycle", name, why: reason }))

  const watchFiles = (): void => {
    if (spec.watch !== undefined && (watching === undefined || watching.pollUnsafe() !== undefined)) {
      watching = fork(shared.watchFiles(recycle("FilesChanged")))
    }
  }

  const watchOver = (of: Runs.Run, isReady: boolean): void => {
    const limits = { memory: spec.memory, cpu: spec.cpu }
    // The group tier knows no more than the table of processes does.
    const members = of.container.tier === "group" ? {} : { members: () => Effect.runSync(of.container.members) }
    unwatch = sampler.watch(name, of.identity, limits, (breach) => Effect.runSync(unfit(of, breach)), members)
    const findings: Vigil.Findings = {
      ready: Effect.sync(() => {
        if (isReady || run !== of || isEnding || of.hasEnded()) return
        events.publish(name, (at) => new Event.Ready({ ...at, identity: of.identity }))
        dispatch({ _tag: "Ready", name })
      }),
      unfit: (exit) => unfit(of, exit),
      recycle
    }
    vigil = fork(Vigil.keep(isReady ? { ...spec, ready: "spawned" } : spec, of.signs, findings))
  }

  /** A run is over: nobody else is told of it after this. */
  const record = Effect.fnUntraced(function* (of: Runs.Run, exit: ProcessExit.ProcessExit) {
    const ranFor = yield* of.signs.age
    if (run === of) {
      stopWatching()
      run = undefined
      lastExit = exit
    }
    lives.delete(of)
    shared.ended(of)
    fork(of.release)
    events.publish(name, (at) => new Event.Exited({ ...at, exit, identity: of.identity, ranFor }))
    // Whoever was forked without our environment is still in the group.
    yield* onTable(Tree.killGroup(of.identity)).pipe(
      // Its end is to be told all the same.
      Effect.catchCause((cause) => Effect.logError(`what ${name} left in its group`, cause))
    )
    return ranFor
  })

  /** It ended, and nobody had ordered it. */
  const ended = Effect.fnUntraced(function* (of: Runs.Run) {
    const exit = yield* of.exit
    // Somebody may have ordered its stop meanwhile.
    if (run !== of || isEnding) return
    const ranFor = yield* record(of, exit)
    dispatch({ _tag: "Exited", name, exit, ranFor })
  })

  const onEnd = (of: Runs.Run): void => {
    // Of an old one, or of a new one that is not in its place yet, the reload takes care, and of one that is stopped, the
    // stop. While it is reloaded, the end of the old one is no loss if the new one becomes ready.
    if (run === of && !isEnding && !isReloading) fork(ended(of))
  }

  const launch = (startedBy: Runs.Run["startedBy"]) =>
    Effect.suspend(() => {
      life += 1
      return Runs.spawn({
        spec,
        life,
        startedBy,
        onEnd,
        log,
        learn: shared.learn,
        id: ours.id,
        cookie: format(ours),
        bootId: shared.bootId
      })
    }).pipe(
      onTable,
      Effect.tap((launched) =>
        Effect.sync(() => {
          lives.add(launched)
          shared.began(launched)
        })
      )
    )

  const notStarted = Effect.fnUntraced(function* (exit: ProcessExit.ProcessExit) {
    const ranFor = Duration.zero
    lastExit = exit
    events.publish(name, (at) => new Event.Exited({ ...at, exit, identity: undefined, ranFor }))
    dispatch({ _tag: "Exited", name, exit, ranFor })
  })

  const missing = ({ probe, why }: Prerequisites.Missing): void => {
    events.publish(name, (at) => new Event.WaitingFor({ ...at, probe, why }))
    dispatch({ _tag: "Held", name })
  }

  const spawn = Effect.fnUntraced(function* (startedBy: Runs.Run["startedBy"], restarts: number) {
    const spawned = yield* launch(startedBy)
    run = spawned
    const { identity } = spawned
    const containment = spec.containment
    events.publish(name, (at) => new Event.Spawned({ ...at, identity, startedBy, restarts, containment }))
    dispatch({ _tag: "Spawned", name })
    // Whoever was told may have stopped it, and it may have ended before it was known here.
    if (run !== spawned || isEnding) return
    if (spawned.hasEnded()) onEnd(spawned)
    else watchOver(spawned, false)
  }, Effect.uninterruptible)

  const begin = Effect.fnUntraced(
    function* (startedBy: Runs.Run["startedBy"], restarts: number) {
      if (spec.prerequisites.length > 0) yield* Prerequisites.hold(spec.prerequisites, missing)
      // Not on the way of a restart: what was there a moment ago is there.
      if (startedBy === "request") {
        const [problem] = (yield* Preflight.check([spec])).get(name) ?? []
        if (problem !== undefined) {
          return yield* notStarted(new ProcessExit.SpawnFailed({ code: problem.code, command: problem.message }))
        }
      }
      const held = spec.port === undefined ? undefined : yield* shared.claimPort(spec.port)
      if (held !== undefined) return yield* notStarted(held)
      yield* spawn(startedBy, restarts).pipe(Effect.catch(notStarted))
    },
    Effect.catchDefect((defect) => {
      // A mistake of ours: it must not leave the process in a start that never ends.
      const exit = new ProcessExit.SpawnFailed({ code: "DEFECT", command: spec.command })
      return Effect.andThen(
        Effect.logError(`starting ${name}`, defect),
        run === undefined ? notStarted(exit) : Effect.void
      )
    })
  )

  /** Ends a life, or whatever of any life is left, by the means of its containment. */
  const sweep = Effect.fnUntraced(
    function* (of: Runs.Run | undefined, only?: number) {
      const { stopGrace: grace, stopSignals: signals } = spec
      const whom = {
        ...(of === undefined ? {} : { members: of.container.members }),
        ...(only === undefined ? {} : { life: only })
      }
      for (const signal of signals) of?.sent.add(signal)
      let done = noReceipt
      // The one that was spawned is only its wrapping, which a stop signal must not end before what it wraps.
      if (of?.container.tier === "pid-namespace") {
        const main = yield* of.container.main
        if (main !== undefined) done = yield* ProcessIdentity.terminate([main], { grace, signals })
        if (done.escalated.length > 0) of.sent.add("SIGKILL")
        // It ends as the program did, unless it is killed before it has seen that.
        else yield* awaitEnd(of, "1 second")
      }
      if (of?.container.tier === "cgroup") {
        // It may not have entered yet. Nobody is signalled twice: many a program takes that for "at once".
        const others = (yield* of.container.members).filter((pid) => pid !== of.identity.pid)
        const everybody = [of.identity, ...(yield* identitiesOf(others))]
        done = yield* ProcessIdentity.terminate(everybody, { grace, signals })
      }
      // Before looks that could go on for long where somebody forks faster than he is found.
      if (of !== undefined) yield* of.container.kill
      return Tree.merge(done, yield* Tree.sweep(of?.identity, ours, { grace, signals, ...whom }))
    },
    onTable,
    Effect.orDie
  )

  const stoppedBy = Effect.fnUntraced(function* (of: Runs.Run, by: "request" | "group") {
    const how = yield* Effect.timeoutOption(of.exit, "1 second")
    if (Option.isNone(how)) return new ProcessExit.StopRequested({ by })
    if (how.value._tag === "Exited") return new ProcessExit.StopRequested({ by, code: how.value.code })
    if (how.value._tag === "Signaled") return new ProcessExit.StopRequested({ by, signal: how.value.signal })
    return new ProcessExit.StopRequested({ by })
  })

  /**
   * Where nobody can be looked for, as without a free descriptor: our own child has its number until we hear of its end.
   */
  const endBlindly = Effect.fnUntraced(function* (of: Runs.Run) {
    if (!of.isChild) return
    for (const signal of [...spec.stopSignals, "SIGKILL"] as const) {
      if (of.hasEnded()) return
      of.sent.add(signal)
      yield* table.kill(-of.identity.pid, signal)
      yield* awaitEnd(of, signal === "SIGKILL" ? "2 seconds" : spec.stopGrace)
    }
  })

  const stop = Effect.fnUntraced(
    function* (by: "request" | "group", exit: ProcessExit.ProcessExit | undefined) {
      // Interrupted, a reload ends the new one before anything else.
      yield* Fiber.interruptAll(reloading)
      if (starting !== undefined) yield* Fiber.interrupt(starting)
      starting = undefined
      const stopped = run
      stopWatching()
      isSwept = false
      receipt = yield* sweep(stopped)
      isSwept = true
      let ranFor = Duration.zero
      if (stopped !== undefined) {
        if (receipt.escalated.some((one) => ProcessIdentity.equals(one, stopped.identity))) stopped.sent.add("SIGKILL")
        ranFor = yield* record(stopped, exit ?? (yield* stoppedBy(stopped, by)))
      }
      const left = receipt
      events.publish(name, (at) => new Event.Stopped({ ...at, receipt: left }))
      isEnding = false
      dispatch({ _tag: "Stopped", name, ranFor, survivors: left.survivors.length > 0 })
    },
    Effect.catchDefect((defect) =>
      Effect.gen(function* () {
        yield* Effect.logError(`stopping ${name}`, defect)
        if (run !== undefined) yield* endBlindly(run)
        isEnding = false
        // Nobody knows what is left: nothing is started beside it.
        dispatch({ _tag: "Stopped", name, ranFor: Duration.zero, survivors: true })
        if (run?.hasEnded() === true) onEnd(run)
      })
    )
  )

  const failed = (reason: ProcessControl.ProcessControlError["reason"]) =>
    new ProcessControl.ProcessControlError({ process: name, reason })

  const discard = (of: Runs.Run) =>
    Effect.ensuring(
      Effect.andThen(sweep(of, of.life), Effect.orDie(onTable(Tree.killGroup(of.identity)))),
      Effect.sync(() => {
        lives.delete(of)
        shared.ended(of)
        fork(of.release)
      })
    )

  const notReloaded = (exit: ProcessExit.ProcessExit): void =>
    events.publish(name, (at) => new Event.ReloadFailed({ ...at, exit }))

  /** The new one, once it is ready; else how it ended, and nothing of it is left. Only the wait can be interrupted. */
  const successor = Effect.fnUntraced(function* (
    interruptible: <A, E>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  ) {
    const next = yield* launch("request")
    events.publish(name, (at) => new Event.Reloading({ ...at, identity: next.identity }))
    // Without anything to show it would take the place of the old one before it could fail, for example to listen.
    const proven = spec.ready === "spawned" && Duration.isZero(spec.minUptime) ? { ...spec, minUptime: proof } : spec
    const isReady = Vigil.awaitReady(proven, next.signs).pipe(
      Effect.map((ready) => (ready ? undefined : new ProcessExit.ReadinessTimeout({ after: spec.startGrace })))
    )
    const failure: ProcessExit.ProcessExit | undefined = yield* interruptible(
      Effect.raceFirst(isReady, next.exit)
    ).pipe(
      Effect.onInterrupt(() =>
        Effect.andThen(
          discard(next),
          Effect.sync(() => notReloaded(new ProcessExit.StopRequested({ by: "request" })))
        )
      )
    )
    if (failure === undefined && !next.hasEnded()) return next
    const exit = failure ?? (yield* next.exit)
    yield* discard(next)
    return yield* Effect.fail(exit)
  })

  const replace = Effect.fnUntraced(function* (old: Runs.Run, next: Runs.Run) {
    const wasGone = old.hasEnded()
    stopWatching()
    run = next
    isReloading = false
    events.publish(name, (at) => new Event.Reloaded({ ...at, identity: next.identity }))
    // The old one may not have been ready yet.
    dispatch({ _tag: "Ready", name })
    watchOver(next, true)
    if (next.hasEnded()) onEnd(next)
    yield* sweep(old, old.life)
    yield* record(old, wasGone ? yield* old.exit : new ProcessExit.Recycled({ why: "Reload" }))
  })

  const reload = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const old = run
      if (old === undefined || isEnding || old.hasEnded()) return yield* failed(new ProcessControl.NotRunning({}))
      isReloading = true
      const next = yield* Effect.mapError(successor(restore), (exit) => {
        notReloaded(exit)
        return failed(new ProcessControl.ReloadFailed({ exit }))
      })
      yield* replace(old, next)
    })
  ).pipe(
    Effect.ensuring(
      Effect.sync(() => {
        isReloading = false
        // Nothing took the place of the old one, and nobody listened meanwhile.
        if (run?.hasEnded() === true) onEnd(run)
      })
    )
  )

  /** Goes on when who asked for it does not wait any longer. */
  const reloadInTurn = Effect.suspend(() => {
    const fiber = fork(reloads.withPermit(reload))
    reloading.add(fiber)
    fiber.addObserver(() => reloading.delete(fiber))
    return Effect.flatMap(Fiber.await(fiber), (exit) =>
      Exit.hasInterrupts(exit)
        ? failed(new ProcessControl.Unavailable({ why: "it was stopped before it was reloaded" }))
        : exit
    )
  })

  return {
    name,
    log,
    run: () => run,
    lives: () => lives,
    lastExit: () => lastExit,
    isSwept: () => isSwept && receipt.survivors.length === 0,
    receipt: () => receipt,
    begin: (startedBy, restarts) => {
      // Also where nothing can be started: a change may mend it.
      watchFiles()
      starting = fork(begin(startedBy, restarts))
    },
    end: (by, exit) => {
      isEnding = true
      fork(Effect.uninterruptible(stop(by, exit)))
    },
    adopt: (found, age) =>
      Runs.adopt({ spec, onEnd, id: ours.id }, found, age).pipe(
        Scope.provide(background),
        onTable,
        Effect.map((adopted) => {
          run = adopted
          lives.add(adopted)
          life = adopted.life
          const { restarts } = found
          events.publish(name, (at) => new Event.Adopted({ ...at, restarts, identity: adopted.identity }))
          dispatch({ _tag: "Adopted", name, restarts })
          shared.began(adopted)
          watchFiles()
          watchOver(adopted, true)
        })
      ),
    reload: reloadInTurn,
    signal: (signal) =>
      Effect.suspend(() => {
        const target = run
        if (target === undefined) return failed(new ProcessControl.NotRunning({}))
        target.sent.add(signal)
        return target.container.main.pipe(
          Effect.flatMap((main) => (main === undefined ? Effect.succeed(false) : ProcessIdentity.signal(main, signal))),
          Effect.orDie,
          onTable,
          Effect.filterOrFail(
            (sent) => sent,
            () => failed(new ProcessControl.NotRunning({}))
          ),
          Effect.asVoid
        )
      })
  }
})
