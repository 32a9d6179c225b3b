/**
 * `ProcessControl` by a table that the test writes, over real processes that it started itself: what is true of them is
 * read from `/proc`, as with a real supervisor. No restart policy: what ends stays ended.
 *
 * @since 0.1.0
 */
import * as Control from "@nexobot/core/ProcessControl"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { descendants } from "@nexobot/core/ProcessTable"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"

import { idle } from "./TestProcess.ts"

/**
 * What is said of one process; all of it may be left out. `Running` if it has an identity, else `Stopped`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry extends Partial<Omit<Control.ProcessStatus, "name">> {
  /** What it left behind. */
  readonly orphans?: ReadonlyArray<ProcessIdentity.ProcessIdentity>
  /** Why it cannot be started. */
  readonly broken?: string
}

/**
 * By the names of the processes. It is read anew at every question, so that a test may change it, and give an accessor
 * in place of an entry; stops and restarts write to it.
 *
 * @category models
 * @since 0.1.0
 */
export type Processes = Record<string, Entry>

/**
 * @category models
 * @since 0.1.0
 */
export interface TestProcessControl {
  /** For what is tested. */
  readonly context: Context.Context<Control.ProcessControl>
  /** The very table that was given. */
  readonly processes: Processes
  /** What was asked to change, in order: `restart web`, `stop web`, `signal web SIGHUP`. */
  readonly requests: ReadonlyArray<string>
}

type Identity = ProcessIdentity.ProcessIdentity
type Service = Control.ProcessControl["Service"]

const failed = (process: string, reason: Control.ProcessControlError["reason"]) =>
  new Control.ProcessControlError({ process, reason })

const unavailable = (process: string) => (error: { readonly message: string }) =>
  failed(process, new Control.Unavailable({ why: error.message }))

const statusOf = (name: string, entry: Entry): Control.ProcessStatus => ({
  name,
  state: entry.state ?? (entry.identity === undefined ? "Stopped" : "Running"),
  identity: entry.identity,
  uptime: entry.uptime,
  restarts: entry.restarts ?? 0,
  lastExit: entry.lastExit,
  startedBy: entry.startedBy,
  memory: entry.memory,
  cpu: entry.cpu
})

const treeOf = Effect.fnUntraced(function* ({ identity }: Entry) {
  if (identity === undefined || !(yield* ProcessIdentity.isAlive(identity))) return []
  const below = yield* descendants(identity.pid)
  return [identity, ...below.map(({ pid, startTime }): Identity => ({ pid, startTime, bootId: identity.bootId }))]
})

const find = (processes: Processes, process: string) => {
  const found = processes[process]
  return found === undefined
    ? Effect.fail(failed(process, new Control.UnknownProcess({ known: Object.keys(processes) })))
    : Effect.succeed(found)
}

const ownershipIn = Effect.fnUntraced(function* (processes: Processes, identity: Identity) {
  const isThis = (one: Identity) => ProcessIdentity.equals(one, identity)
  for (const [process, entry] of Object.entries(processes)) {
    if ((yield* treeOf(entry)).some(isThis)) return { _tag: "Current", process } satisfies Control.Ownership
    if (entry.orphans?.some(isThis) === true) return { _tag: "Orphan", process } satisfies Control.Ownership
  }
  return { _tag: "Foreign" } satisfies Control.Ownership
})

const looking = (processes: Processes) => ({
  list: Effect.sync(() => Object.entries(processes).map(([name, entry]) => statusOf(name, entry))),
  status: (process: string) => Effect.map(find(processes, process), (entry) => statusOf(process, entry)),
  tree: (process: string) =>
    Effect.flatMap(find(processes, process), (entry) => Effect.mapError(treeOf(entry), unavailable(process))),
  ownership: (identity: Identity) => Effect.orDie(ownershipIn(processes, identity))
})

const change = Effect.die(new Error("what was to look only wanted to change something"))

/**
 * For what only looks, such as a probe: a change is a defect.
 *
 * @category layers
 * @since 0.1.0
 */
export const readOnly = (processes: Processes): Layer.Layer<Control.ProcessControl> =>
  Layer.succeed(Control.ProcessControl, {
    ...looking(processes),
    restart: () => change,
    stop: () => change,
    signal: () => change
  })

/**
 * For what changes something, such as a remedy: stops end the real tree, and a restart has an idle process run then,
 * `Starting`, until the scope closes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  processes: Processes
): Effect.fn.Return<TestProcessControl, never, Scope.Scope> {
  const scope = yield* Scope.Scope
  const requests: Array<string> = []
  const look = looking(processes)

  const write = (process: string, entry: Entry, now: Pick<Entry, "state" | "identity">) => {
    processes[process] = { ...entry, ...now }
  }
  const end = Effect.fnUntraced(function* (process: string, entry: Entry) {
    const tree = yield* treeOf(entry)
    const receipt = yield* ProcessIdentity.terminate(tree, { grace: "1 second" })
    write(process, entry, { state: "Stopped", identity: undefined })
    return receipt
  })
  const stop: Service["stop"] = Effect.fnUntraced(function* (process) {
    const entry = yield* find(processes, process)
    requests.push(`stop ${process}`)
    return yield* Effect.mapError(end(process, entry), unavailable(process))
  })
  const restart: Service["restart"] = Effect.fnUntraced(function* (process) {
    const entry = yield* find(processes, process)
    requests.push(`restart ${process}`)
    if (entry.broken !== undefined) return yield* failed(process, new Control.Unavailable({ why: entry.broken }))
    const anew = Effect.andThen(end(process, entry), Scope.provide(idle, scope))
    const identity = yield* Effect.mapError(anew, unavailable(process))
    write(process, entry, { state: "Starting", identity })
  })
  const signal: Service["signal"] = Effect.fnUntraced(function* (process, name) {
    const { identity } = yield* find(processes, process)
    requests.push(`signal ${process} ${name}`)
    const sent =
      identity !== undefined && (yield* Effect.mapError(ProcessIdentity.signal(identity, name), unavailable(process)))
    if (!sent) return yield* failed(process, new Control.NotRunning({}))
  })
  const control = Control.ProcessControl.of({ ...look, stop, restart, signal })
  return { context: Context.make(Control.ProcessControl, control), processes, requests }
})
