/**
 * Keeps processes running: starts them, restarts them by their policies, and ends whole trees, so that nothing is left
 * when its scope closes.
 *
 * @since 0.1.0
 */
import { randomUUID } from "node:crypto"

import * as Options from "@nexobot/core/Options"
import * as ProcessControl from "@nexobot/core/ProcessControl"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { ProcessTable, Unsupported } from "@nexobot/core/ProcessTable"
import * as Redaction from "@nexobot/core/Redaction"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

import * as Group from "./Group.ts"
import * as Adoption from "./internal/adoption.ts"
import * as Conductor from "./internal/conductor.ts"
import * as Cookie from "./internal/cookie.ts"
import { publishDecision } from "./internal/decisions.ts"
import * as Events from "./internal/events.ts"
import { expand, type Expanded } from "./internal/expand.ts"
import * as Guardian from "./internal/guardian.ts"
import * as AppLog from "./internal/logs/appLog.ts"
import type * as Machine from "./internal/machine.ts"
import * as Meters from "./internal/meters.ts"
import { ownershipOf } from "./internal/ownership.ts"
import { inOrder } from "./internal/plan.ts"
import * as PortClaim from "./internal/portClaim.ts"
import * as Preflight from "./internal/preflight.ts"
import { redactorFor } from "./internal/redactor.ts"
import * as Requests from "./internal/requests.ts"
import type { Run } from "./internal/run.ts"
import * as Sampler from "./internal/sampler.ts"
import * as StateFile from "./internal/stateFile.ts"
import { takeOver } from "./internal/takeOver.ts"
import * as Tree from "./internal/tree.ts"
import * as Units from "./internal/unit.ts"
import { ownFiles, watchFiles } from "./internal/watchFiles.ts"
import type { LogLine, LogStats } from "./ProcessLog.ts"
import type * as ProcessSpec from "./ProcessSpec.ts"
import type { SupervisorEvent } from "./SupervisorEvent.ts"

/**
 * `ProcessControl`, and what only this implementation has. Where a process is named, a group can be: then it is meant for
 * each of its members.
 *
 * @category services
 * @since 0.1.0
 */
export class Supervisor extends Context.Service<
  Supervisor,
  ProcessControl.ProcessControl["Service"] & {
    /** By which the cookie of every child begins. */
    readonly id: string
    /** Starts what is stopped, ended or failed, with a fresh restart policy; leaves alone what runs. */
    readonly start: (process: string) => Effect.Effect<void, ProcessControl.ProcessControlError>
    /**
     * Starts a new one beside the old one, and ends the old one when the new one is ready. Fails with `ReloadFailed` when
     * it does not become ready: the old one runs as before. Members of a group one after the other.
     */
    readonly reload: (process: string) => Effect.Effect<void, ProcessControl.ProcessControlError>
    /** Stops all, each after those that depend on it; `failures` names those of whom something outlived SIGKILL. */
    readonly stopAll: Effect.Effect<{
      readonly receipt: ProcessIdentity.Receipt
      readonly failures: ReadonlyArray<ProcessControl.ProcessControlError>
    }>
    /** Begins with the latest 256 events, and ends with the supervisor. */
    readonly events: Stream.Stream<SupervisorEvent>
    /**
     * What a process, or each of them, writes from now on, without what looks like a secret and without the `Redacted`
     * values of any `env`. Not of those that survive the supervisor.
     */
    readonly logs: (process?: string) => Stream.Stream<LogLine, ProcessControl.ProcessControlError>
    /** What became of every byte of its output. */
    readonly logStats: (process: string) => Effect.Effect<LogStats, ProcessControl.ProcessControlError>
    /** Bytes that each process may use, where it has a limit. */
    readonly memoryLimits: ReadonlyMap<string, number>
  }
>()("@nexobot/process-supervisor/Supervisor") {}

/**
 * @category models
 * @since 0.1.0
 */
export interface SupervisorOptions {
  /**
   * Names this supervisor for ever: with the same id, a later life recognises what an earlier one left behind. Letters,
   * digits and `_ . -`; random unless told, and then nothing of an earlier life is recognised.
   *
   * Supervisors that live at the same time in different processes may have the same id: they leave each other's children
   * alone. Within one process they may not: there each takes the other's children for its own.
   */
  readonly id?: string
  /** Whether the processes start with the layer; `true` unless told. */
  readonly autoStart?: boolean
  /** As of a group; `one_for_one` unless told. */
  readonly strategy?: Group.Strategy
  /** How often it restarts a group that escalated, before that one is given up; 3 in 5 minutes unless told. */
  readonly intensity?: Group.GroupOptions<[]>["intensity"]
  /**
   * A folder for its state and its lock, and then it needs an `id`. No second supervisor with that id has the folder at the
   * same time, and a later life takes over what survives, and ends what an earlier life left otherwise. Without it nothing
   * survives.
   */
  readonly stateFolder?: string
}

/**
 * Why a supervisor cannot be had.
 *
 * @category errors
 * @since 0.1.0
 */
export type SupervisorError = Unsupported | StateFile.StateFileError

const checks = Options.checks("Supervisor")

const checked = <R>(members: ReadonlyArray<Group.Member<R>>, options: SupervisorOptions) => {
  checks.known(options, ["id", "autoStart", "strategy", "intensity", "stateFolder"])
  const { stateFolder } = options
  if (stateFolder !== undefined && options.id === undefined) {
    checks.fail("id", undefined, "a name: its state is kept under it in stateFolder")
  }
  const id = options.id ?? randomUUID()
  if (!/^[\w.-]+$/.test(id)) checks.fail("id", id, "letters, digits and _ . -")
  const expanded = expand(members, {
    strategy: checks.oneOf("strategy", options.strategy ?? "one_for_one", [
      "one_for_one",
      "one_for_all",
      "rest_for_one"
    ]),
    intensity: Group.intensityOf(options.intensity ?? { limit: 3, window: "5 minutes" })
  })
  const survivor = [...expanded.specs.values()].find((spec) => spec.onSupervisorDeath === "survive")
  if (survivor !== undefined && stateFolder === undefined) {
    checks.fail(
      "stateFolder",
      undefined,
      `a folder: ${survivor.name} survives, and is found again by what is kept there`
    )
  }
  return {
    id,
    expanded,
    stateFolder: stateFolder === undefined ? undefined : checks.nonEmptyString("stateFolder", stateFolder),
    autoStart: checks.boolean("autoStart", options.autoStart ?? true)
  }
}

/** Not on the way of a start, and not loaded with the rest. */
const warnOfSelfWatching = Effect.fnUntraced(function* (specs: Iterable<ProcessSpec.Any>) {
  const { advice, detect } = yield* Effect.promise(() => import("./SelfWatching.ts"))
  const warnings = new Set<string>()
  for (const { args, command, cwd = process.cwd(), name } of specs) {
    const found = detect({ command, args, cwd })
    // Once for all instances.
    if (found !== undefined) warnings.add(`${name.replace(/:\d+$/, "")}: ${advice(found)}`)
  }
  for (const warning of warnings) yield* Effect.logWarning(warning)
})

/** The process that supervises: this one. */
const itself = Effect.filterOrFail(
  ProcessIdentity.of(process.pid),
  (identity) => identity !== undefined,
  () => new Unsupported({ feature: "finding the supervisor itself", platform: process.platform })
)

const make = Effect.fnUntraced(function* <R>(
  { plan, specs, groups }: Expanded<R>,
  { autoStart, id, stateFolder }: Omit<ReturnType<typeof checked>, "expanded">
): Effect.fn.Return<Supervisor["Service"], SupervisorError, R | Scope.Scope> {
  const table = yield* ProcessTable
  // Also the proof that this platform has a table: later answers of "unsupported" are defects.
  const supervisor = yield* itself
  const { bootId } = supervisor
  const onTable = <A, R2>(effect: Effect.Effect<A, Unsupported, R2>) =>
    Effect.orDie(Effect.provideService(effect, ProcessTable, table))
  const names = [...specs.keys()]
  const { redactor, learn } = yield* redactorFor([...specs.values()])
  const modeOf = (name: string) => specs.get(name)?.onSupervisorDeath ?? "die"

  const state = stateFolder === undefined ? undefined : yield* StateFile.open(stateFolder, id)
  if (state?.setAside !== undefined) {
    yield* Effect.logWarning(
      `the state of supervisor "${id}" is not believed: ${state.setAside.why}; it is kept in ${state.setAside.path}`
    )
  }
  const survivors = () => names.filter((name) => modeOf(name) === "survive")
  const guardian = yield* Guardian.make({ id, supervisor, survivors })
  const events = yield* Events.make
  const units = new Map<string, Units.Unit>()
  const runOf = (name: string) => units.get(name)?.run()
  const unitOf = (name: string): Units.Unit => {
    const unit = units.get(name)
    if (unit === undefined) throw new Error(`there is no ${name}`)
    return unit
  }
  const sampler = yield* Sampler.make()
  const clock = yield* Clock.Clock
  const meters = yield* Meters.make(id, names, (name) => ({
    used: () => {
      const since = runOf(name)?.since
      const uptimeSeconds = since === undefined ? undefined : Number(clock.monotonicTimeNanosUnsafe() - since) / 1e9
      return { ...sampler.usage(name), uptimeSeconds }
    },
    logStats: () => unitOf(name).log.stats(),
    lastExit: () => unitOf(name).lastExit()?._tag
  }))

  const ownership = (identity: ProcessIdentity.ProcessIdentity) => {
    const runs = [...units].flatMap(([name, unit]) => [...unit.lives()].map((run): [string, Run] => [name, run]))
    return onTable(ownershipOf(identity, { id, supervisor }, runs))
  }

  const conductor: Conductor.Conductor = yield* Conductor.make(plan, {
    decided: (decision) => {
      publishDecision(events, decision)
      meters.decided(decision)
    },
    stepped: meters.stepped,
    order: (order, now) => {
      meters.ordered(order)
      const unit = units.get(order.name)
      if (order._tag === "Stop") unit?.end(order.by, order.exit)
      else unit?.begin(order.startedBy, now.units.get(order.name)?.restarts ?? 0)
    }
  })

  const hashes = new Map(
    [...specs].map(([name, spec]) => [name, Adoption.hashOf({ ...spec, env: Object.keys(spec.env) })])
  )
  for (const [name, spec] of specs) {
    const log = yield* Effect.provideService(AppLog.make(name, spec.log), Redaction.Redactor, redactor)
    const unit = yield* Units.make(spec, log, {
      bootId,
      events,
      sampler,
      learn,
      cookie: (process) => ({ id, name: process, supervisor }),
      dispatch: (input) => conductor.dispatch(input),
      began: (run) => {
        meters.began(name)
        if (modeOf(name) === "die") guardian.add(run.identity, run.container.killFile)
        const restarts = conductor.state().units.get(name)?.restarts ?? 0
        state?.remember({
          name,
          restarts,
          identity: run.identity,
          life: run.life,
          mode: modeOf(name),
          spec: hashes.get(name) ?? "",
          since: run.bornAt
        })
      },
      ended: (run) => {
        guardian.remove(run.identity)
        state?.forget(name, run.identity)
      },
      claimPort: (port) =>
        PortClaim.claim({ port, process: name, ownership }).pipe(
          Effect.as(undefined),
          Effect.catch((held) => Effect.succeed(held)),
          Effect.provideService(Redaction.Redactor, redactor),
          onTable
        ),
      watchFiles: watchFiles(spec, ownFiles(specs.values(), id, stateFolder))
    })
    units.set(name, unit)
  }

  const ask = <E>(all: ReadonlyArray<string>, made: Machine.Input, about: Requests.Ask<E>) =>
    Requests.request(conductor, all, made, about)
  const hasStarted = Requests.started(unitOf, (name) => specs.get(name)?.ready === "spawned")

  // Registered before the first start, so that an interrupted start leaves nothing either.
  let closed = false
  yield* Effect.addFinalizer(() =>
    Effect.gen(function* () {
      closed = true
      yield* ask(names, { _tag: "Stop", names }, Requests.stopped)
      if ([...units.values()].some((unit) => !unit.isSwept())) guardian.leave()
      if (state !== undefined) yield* Effect.timeoutOption(state.flush, "1 second")
    })
  )

  /** The processes that a name stands for. */
  const find = (name: string): Effect.Effect<ReadonlyArray<Units.Unit>, ProcessControl.ProcessControlError> => {
    const found = (groups.get(name) ?? [name]).flatMap((one) => units.get(one) ?? [])
    return found.length > 0
      ? Effect.succeed(found)
      : Effect.fail(
          Requests.failed(name, new ProcessControl.UnknownProcess({ known: [...units.keys(), ...groups.keys()] }))
        )
  }
  const open = (name: string) =>
    Effect.tap(find(name), () => (closed ? Requests.unavailable(name, "its supervisor has ended") : Effect.void))

  const asked = (name: string, tag: "Start" | "Restart") =>
    Effect.gen(function* () {
      const all = (yield* open(name)).map((unit) => unit.name)
      yield* ask(all, { _tag: tag, names: all }, hasStarted)
    })

  const statusOf = Effect.fnUntraced(function* (unit: Units.Unit) {
    const { name } = unit
    const run = unit.run()
    const { restarts = 0, state: now = "Stopped" } = conductor.state().units.get(name) ?? {}
    const usage = sampler.usage(name)
    const status: ProcessControl.ProcessStatus = {
      name,
      restarts,
      state: now,
      lastExit: unit.lastExit(),
      identity: run?.identity,
      startedBy: run?.startedBy,
      uptime: run === undefined ? undefined : yield* run.signs.age,
      memory: run === undefined ? undefined : usage.memory,
      cpu: run === undefined ? undefined : usage.cpu
    }
    return status
  })

  const one = (name: string) =>
    Effect.flatMap(find(name), ([unit]) => (unit === undefined ? Effect.die(name) : Effect.succeed(unit)))

  yield* Effect.forkScoped(warnOfSelfWatching(specs.values()))
  if (state !== undefined) {
    const wanted = new Map(names.map((name) => [name, { mode: modeOf(name), spec: hashes.get(name) ?? "" }]))
    yield* onTable(takeOver(state, { id, supervisor, specs: wanted }, units))
  }
  // Those come first that others wait for, so that these are told from them in one pass.
  if (autoStart) yield* ask(inOrder(plan), { _tag: "Start", names }, Requests.settled(plan))

  return {
    id,
    events: events.stream,
    memoryLimits: new Map(
      [...specs].flatMap(([name, { memory }]) => (memory === undefined ? [] : [[name, memory.limit]]))
    ),
    list: Effect.suspend(() => Effect.forEach([...units.values()], statusOf)),
    status: (process) => Effect.flatMap(one(process), statusOf),
    tree: (process) => Effect.flatMap(one(process), (unit) => onTable(Tree.family(unit.run()?.identity))),
    start: (process) => asked(process, "Start"),
    restart: (process) => asked(process, "Restart"),
    stop: (process) =>
      Effect.gen(function* () {
        const found = yield* open(process)
        const all = found.map(({ name }) => name)
        yield* ask(all, { _tag: "Stop", names: all }, Requests.stopped)
        const receipt = Tree.together(found.map((unit) => unit.receipt()))
        if (receipt.survivors.length === 0) return receipt
        return yield* Requests.failed(
          process,
          new ProcessControl.Survivors({ pids: receipt.survivors.map(({ pid }) => pid) })
        )
      }),
    stopAll: Effect.gen(function* () {
      if (!closed) yield* ask(names, { _tag: "Stop", names }, Requests.stopped)
      const receipts = [...units].map(([name, unit]) => ({ name, receipt: unit.receipt() }))
      const failures = receipts.flatMap(({ name, receipt: { survivors: left } }) =>
        left.length === 0
          ? []
          : [Requests.failed(name, new ProcessControl.Survivors({ pids: left.map(({ pid }) => pid) }))]
      )
      return { receipt: Tree.together(receipts.map(({ receipt }) => receipt)), failures }
    }),
    reload: (process) =>
      Effect.flatMap(open(process), (found) => Effect.forEach(found, (unit) => unit.reload, { discard: true })),
    signal: (process, signal) =>
      Effect.flatMap(find(process), (found) => Effect.forEach(found, (unit) => unit.signal(signal), { discard: true })),
    ownership,
    logs: (process) =>
      process === undefined
        ? Stream.mergeAll(
            [...units.values()].map((unit) => unit.log.lines),
            { concurrency: "unbounded" }
          )
        : Stream.unwrap(
            Effect.map(find(process), (found) =>
              Stream.mergeAll(
                found.map((unit) => unit.log.lines),
                { concurrency: "unbounded" }
              )
            )
          ),
    logStats: (process) => Effect.map(one(process), (unit) => unit.log.stats())
  }
})

/**
 * A supervisor, and `ProcessControl` for probes and remedies.
 *
 * The processes start while the layer is built, each as soon as what it depends on allows, independent ones at the same
 * time. It is built when each has become ready, has failed once, or waits for something that is not supervised here. When
 * the scope closes they are stopped, each after those that depend on it.
 *
 * Throws `OptionError`. The layer fails with `Unsupported` where there is no `/proc`, and with `StateFileError`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <const M extends ReadonlyArray<Group.Member<unknown>>>(
  members: M,
  options: SupervisorOptions = {}
): Layer.Layer<Supervisor | ProcessControl.ProcessControl, SupervisorError, Group.Services<M[number]>> => {
  // The compiler cannot see that an array of different members needs the union of their services.
  const all: ReadonlyArray<Group.Member<Group.Services<M[number]>>> = members as never // oxlint-disable-line typescript/no-unsafe-type-assertion
  const { expanded, ...settings } = checked(all, options)
  return Layer.effectContext(
    Effect.map(make(expanded, settings), (supervisor) =>
      Context.make(Supervisor, supervisor).pipe(Context.add(ProcessControl.ProcessControl, supervisor))
    )
  )
}

/**
 * What is known to fail before anything starts: commands, folders and files that are not there or may not be used. A
 * supervisor looks as well, and what it finds is the `SpawnFailed` of that process, and of no other. Throws `OptionError`
 * as a supervisor of these would.
 *
 * @category operations
 * @since 0.1.0
 */
export const problems = <R>(
  members: ReadonlyArray<Group.Member<R>>
): Effect.Effect<ReadonlyArray<Preflight.SpecError>> => {
  const { expanded } = checked(members, { stateFolder: "/", id: "problems" })
  return Effect.map(Preflight.check([...expanded.specs.values()]), (found) => [...found.values()].flat())
}

export {
  /**
   * Its state folder cannot be used, or another supervisor has it.
   *
   * @category errors
   * @since 0.1.0
   */
  StateFileError
} from "./internal/stateFile.ts"

export {
  /**
   * An option of a process cannot work on this machine.
   *
   * @category errors
   * @since 0.1.0
   */
  SpecError
} from "./internal/specError.ts"

/**
 * Whether a process is what an earlier life of the supervisor with this id left behind: it bears that id, and whoever
 * supervised it is proven dead. For programs that look at their ports before they start; once a supervisor runs,
 * `ownership` says it, and by which process.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isLeftBehind = Effect.fnUntraced(function* (
  id: string,
  identity: ProcessIdentity.ProcessIdentity
): Effect.fn.Return<boolean, Unsupported> {
  if (identity.pid === process.pid || !(yield* ProcessIdentity.isAlive(identity))) return false
  const cookie = yield* Cookie.of(identity.pid)
  return cookie?.id === id && (yield* Cookie.isAbandoned(cookie))
})
