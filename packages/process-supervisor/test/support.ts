import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { isDeepStrictEqual } from "node:util"

import { assert } from "@effect/vitest"
import type * as Probe from "@nexobot/core/Probe"
import type { ProcessState, ProcessStatus } from "@nexobot/core/ProcessControl"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { isDead, ProcessTable } from "@nexobot/core/ProcessTable"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"

import type * as Group from "../src/Group.ts"
import * as ProcessSpec from "../src/ProcessSpec.ts"
import * as Supervisor from "../src/Supervisor.ts"
import type { SupervisorEvent } from "../src/SupervisorEvent.ts"
import * as SupervisorState from "../src/SupervisorState.ts"

export const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url))

/** What a helper does not say itself. Not one `Omit`: the probes could not be inferred through it. */
interface Rest<P extends ProcessSpec.Ready<unknown>, L extends Probe.Any, Q extends Probe.Any> extends Omit<
  ProcessSpec.SpecOptions,
  "name" | "command" | "args" | "ready" | "liveness" | "prerequisites"
> {
  readonly ready?: P | "spawned" | "notify" | "message" | RegExp
  readonly liveness?: ProcessSpec.HeartbeatLiveness | ProcessSpec.ProbeLiveness<L>
  readonly prerequisites?: ReadonlyArray<Q>
}

/** A specification that runs a fixture. */
export const node = <
  P extends ProcessSpec.Ready<unknown> = never,
  L extends Probe.Any = never,
  Q extends Probe.Any = never
>(
  name: string,
  args: ReadonlyArray<string>,
  options: Rest<P, L, Q> = {}
): ProcessSpec.ProcessSpec<Probe.Services<P | L | Q>> => {
  const [file = "", ...others] = args
  return ProcessSpec.make<P, L, Q>({
    stopGrace: "1 second",
    ...options,
    name,
    command: process.execPath,
    args: [fixture(file), ...others]
  })
}

export const supervise = <const M extends ReadonlyArray<Group.Member<unknown>>>(
  specs: M,
  options?: Supervisor.SupervisorOptions
) => Effect.map(Layer.build(Supervisor.layer(specs, options)), Context.get(Supervisor.Supervisor))

export const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "supervisor-test-"))),
  (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
)

/** Long enough for a machine that is busy with something else: it is waited for only when something is wrong. */
const patience = "20 seconds"

/** Asks again and again until the answer is there. */
export const eventually = <A, E, R>(what: string, ask: Effect.Effect<A | undefined, E, R>): Effect.Effect<A, E, R> =>
  ask.pipe(
    Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: (answer) => answer !== undefined }),
    Effect.timeoutOption(patience),
    Effect.flatMap((answer) =>
      Option.isSome(answer) && answer.value !== undefined
        ? Effect.succeed(answer.value)
        : Effect.die(new Error(`it did not happen: ${what}`))
    )
  )

type Service = Supervisor.Supervisor["Service"]

export const reaches = (
  supervisor: Service,
  name: string,
  state: ProcessState,
  also: (status: ProcessStatus) => boolean = () => true
) =>
  eventually(
    `${name} is ${state}`,
    Effect.map(supervisor.status(name), (status) => (status.state === state && also(status) ? status : undefined))
  )

/** All events up to the first that fits. */
export const eventsUntil = (supervisor: Service, fits: (event: SupervisorEvent) => boolean) =>
  supervisor.events.pipe(
    Stream.takeUntil(fits),
    Stream.runCollect,
    Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.die(new Error("no such event")) })
  )

export const textOf = (path: string) =>
  eventually(
    `${path} is written`,
    Effect.sync(() => (Fs.existsSync(path) && Fs.statSync(path).size > 0 ? Fs.readFileSync(path, "utf8") : undefined))
  )

/** Pids of living processes that carry a cookie. */
export const carriers = Effect.fnUntraced(function* (cookie: string) {
  const table = yield* ProcessTable
  const living = (yield* table.all).filter((stat) => !isDead(stat))
  const found = yield* Effect.filter(living, (stat) =>
    Effect.map(table.variable(stat.pid, ProcessSpec.cookieVariable), (value) => value?.startsWith(cookie) === true)
  )
  return found.map((stat) => stat.pid)
})

/** The pid of a running child. */
export const pidOf = (status: ProcessStatus): number => {
  if (status.identity === undefined) throw new Error(`${status.name} does not run`)
  return status.identity.pid
}

export const identityOf = Effect.fnUntraced(function* (pid: number) {
  const identity = yield* ProcessIdentity.of(pid)
  return identity ?? (yield* Effect.die(new Error(`no process ${pid}`)))
})

/** A specification that runs a program of a few lines. */
export const inline = <
  P extends ProcessSpec.Ready<unknown> = never,
  L extends Probe.Any = never,
  Q extends Probe.Any = never
>(
  name: string,
  code: string,
  options: Rest<P, L, Q> = {}
): ProcessSpec.ProcessSpec<Probe.Services<P | L | Q>> =>
  ProcessSpec.make<P, L, Q>({ ...options, name, command: process.execPath, args: ["-e", code] })

/** At rest, what can be rebuilt from the events is what the supervisor says. */
export const agrees = Effect.fnUntraced(function* (supervisor: Service) {
  let state = SupervisorState.empty
  const watch = Stream.runForEach(supervisor.events, (event) =>
    Effect.sync(() => {
      state = SupervisorState.apply(state, event)
    })
  )
  yield* Effect.forkScoped(watch, { startImmediately: true })
  const never = { state: "Stopped", identity: undefined, startedBy: undefined, restarts: 0, lastExit: undefined }
  let said: unknown
  let rebuilt: unknown
  const isSame = Effect.map(supervisor.list, (list) => {
    said = list.map(({ identity, lastExit, name, restarts, startedBy, state: is }) => {
      return { name, state: is, identity, startedBy, restarts, lastExit }
    })
    rebuilt = list.map(({ name }) => ({ name, ...(state.get(name) ?? never) }))
    return isDeepStrictEqual(said, rebuilt) ? true : undefined
  })
  yield* Effect.timeoutOption(eventually("both are the same", isSame), "5 seconds")
  assert.deepStrictEqual(rebuilt, said)
}, Effect.scoped)
