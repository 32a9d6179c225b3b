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
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"

import * as Cookie from "./internal/cookie.ts"
import * as Events from "./internal/events.ts"
import * as Tree from "./internal/tree.ts"
import * as Units from "./internal/unit.ts"
import * as ProcessSpec from "./ProcessSpec.ts"
import type { SupervisorEvent } from "./SupervisorEvent.ts"

/**
 * `ProcessControl`, and what only this implementation has.
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
    /** Begins with the latest 256 events, and ends with the supervisor. */
    readonly events: Stream.Stream<SupervisorEvent>
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
}

const checks = Options.checks("Supervisor")

const checked = (specs: ReadonlyArray<ProcessSpec.Any>, options: SupervisorOptions) => {
  checks.known(options, ["id", "autoStart"])
  const id = options.id ?? randomUUID()
  if (!/^[\w.-]+$/.test(id)) checks.fail("id", id, "letters, digits and _ . -")
  const names = new Set<string>()
  for (const { name } of specs) {
    if (names.has(name)) checks.fail("specs", name, "one process for each name")
    names.add(name)
  }
  const autoStart = options.autoStart ?? true
  return {
    id,
    autoStart: typeof autoStart === "boolean" ? autoStart : checks.fail("autoStart", autoStart, "a boolean")
  }
}

/** The process that supervises: this one. */
const itself = Effect.filterOrFail(
  ProcessIdentity.of(process.pid),
  (identity) => identity !== undefined,
  () => new Unsupported({ feature: "finding the supervisor itself", platform: process.platform })
)

const make = Effect.fnUntraced(function* <R>(
  specs: ReadonlyArray<ProcessSpec.ProcessSpec<R>>,
  { autoStart, id }: { readonly id: string; readonly autoStart: boolean }
): Effect.fn.Return<Supervisor["Service"], Unsupported, R | Scope.Scope> {
  const table = yield* ProcessTable
  // Also the proof that this platform has a table: later answers of "unsupported" are defects.
  const supervisor = yield* itself
  const { bootId } = supervisor
  const events = yield* Events.make
  const units = yield* Effect.forEach(specs, (spec) =>
    Units.make(spec, { cookie: { id, name: spec.name, supervisor }, bootId, events })
  )
  const byName = new Map(units.map((unit) => [unit.name, unit]))

  const find = (process: string) => {
    const unit = byName.get(process)
    if (unit !== undefined) return Effect.succeed(unit)
    const reason = new ProcessControl.UnknownProcess({ known: [...byName.keys()] })
    return Effect.fail(new ProcessControl.ProcessControlError({ process, reason }))
  }

  const onTable = <A>(effect: Effect.Effect<A, Unsupported>) =>
    Effect.orDie(Effect.provideService(effect, ProcessTable, table))

  const ownership = Effect.fnUntraced(function* (identity: ProcessIdentity.ProcessIdentity) {
    const foreign: ProcessControl.Ownership = { _tag: "Foreign" }
    // We ourselves may be supervised by somebody with our id; that makes us nobody's orphan.
    if (identity.pid === process.pid || !(yield* ProcessIdentity.isAlive(identity))) return foreign
    // Descent is proof, whatever became of the environment on the way.
    for (const unit of units) {
      const child = unit.identity()
      if (child !== undefined && (yield* Tree.isMember(identity, child))) {
        return { _tag: "Current", process: unit.name } satisfies ProcessControl.Ownership
      }
    }
    const cookie = yield* Cookie.of(identity.pid)
    return cookie !== undefined && (yield* Cookie.isOurs(cookie, { id, supervisor }))
      ? ({ _tag: "Orphan", process: cookie.name } satisfies ProcessControl.Ownership)
      : foreign
  })

  // Registered before the first start, so that an interrupted start leaves nothing either.
  yield* Effect.addFinalizer(() =>
    Effect.forEach(
      units.toReversed(),
      (unit) => unit.close.pipe(Effect.catch((error) => Effect.logError(error.message))),
      { discard: true }
    )
  )
  if (autoStart) {
    // A process that cannot be started is `Failed`, for all to see; the others start nevertheless.
    yield* Effect.forEach(units, (unit) => Effect.andThen(Effect.ignore(unit.start), unit.settled), { discard: true })
  }

  return {
    id,
    events: events.stream,
    list: Effect.forEach(units, (unit) => unit.status),
    status: (process) => Effect.flatMap(find(process), (unit) => unit.status),
    tree: (process) => Effect.flatMap(find(process), (unit) => onTable(Tree.family(unit.identity()))),
    start: (process) => Effect.flatMap(find(process), (unit) => unit.start),
    stop: (process) => Effect.flatMap(find(process), (unit) => unit.stop),
    restart: (process) => Effect.flatMap(find(process), (unit) => unit.restart),
    signal: (process, signal) => Effect.flatMap(find(process), (unit) => unit.signal(signal)),
    ownership: (identity) => onTable(ownership(identity))
  }
})

/**
 * A supervisor, and `ProcessControl` for probes and remedies.
 *
 * The processes start in order while the layer is built, each after the one before it is ready, has failed, or has had
 * its start grace. They are stopped in reverse order when the scope closes.
 *
 * Throws `OptionError`. The layer fails with `Unsupported` where there is no `/proc`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <const P extends ReadonlyArray<ProcessSpec.Any>>(
  specs: P,
  options: SupervisorOptions = {}
): Layer.Layer<Supervisor | ProcessControl.ProcessControl, Unsupported, ProcessSpec.Services<P[number]>> => {
  const settings = checked(specs, options)
  // The compiler cannot see that an array of different specifications needs the union of their services.
  const processes: ReadonlyArray<ProcessSpec.ProcessSpec<ProcessSpec.Services<P[number]>>> = specs as never // oxlint-disable-line typescript/no-unsafe-type-assertion
  return Layer.effectContext(
    Effect.map(make(processes, settings), (supervisor) =>
      Context.make(Supervisor, supervisor).pipe(Context.add(ProcessControl.ProcessControl, supervisor))
    )
  )
}

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
