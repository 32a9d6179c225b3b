/** One life of a process: from spawning, or taking over, to what is left when it has ended. */
import * as Fs from "node:fs"

import * as Monotonic from "@nexobot/core/Monotonic"
import * as ProcessExit from "@nexobot/core/ProcessExit"
import type { ProcessIdentity } from "@nexobot/core/ProcessIdentity"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"

import { type Any, cookieVariable, lifeVariable } from "../ProcessSpec.ts"
import * as Adoption from "./adoption.ts"
import * as Children from "./child.ts"
import type { Container } from "./containment/container.ts"
import * as Tiers from "./containment/index.ts"
import * as EnvFile from "./envFile.ts"
import * as HeapLimit from "./heapLimit.ts"
import type { AppLog, Attached } from "./logs/appLog.ts"
import * as Oom from "./oom.ts"
import type { Signs } from "./vigil.ts"

export interface Run {
  readonly identity: ProcessIdentity
  readonly life: number
  readonly startedBy: "request" | "policy"
  /** Milliseconds of the wall clock: a label. */
  readonly bornAt: number
  /** Monotonic nanoseconds. */
  readonly since: bigint
  readonly container: Container
  readonly signs: Signs
  /** Signals that we sent to it: they tell `us` from `unknown` when one of them ends it. */
  readonly sent: Set<string>
  /** How it ended by itself, or by whom; `AdoptedUnknown` where nobody could see. */
  readonly exit: Effect.Effect<ProcessExit.ProcessExit>
  readonly hasEnded: () => boolean
  /** We are its parent: until it has ended, its number is nobody else's. */
  readonly isChild: boolean
  /**
   * When it has ended: ends whatever its container still holds, and lets go of its output, so that what a grandchild that
   * holds it writes later is not read any more.
   */
  readonly release: Effect.Effect<void>
}

export interface Birth {
  readonly spec: Any
  readonly id: string
  readonly cookie: string
  readonly bootId: string
  readonly life: number
  readonly startedBy: Run["startedBy"]
  readonly log: AppLog
  /** What its file says is hidden in what is shown from now on. */
  readonly learn: (fromFile: Readonly<Record<string, Redacted.Redacted>>) => void
  /** In the very moment in which it ends; not before `spawn` has returned. */
  readonly onEnd: (run: Run) => void
}

const environmentOf = Effect.fnUntraced(function* (birth: Birth) {
  const { cookie, life, spec } = birth
  const env: Record<string, string> = {}
  for (const name of spec.inheritEnv) {
    const value = process.env[name]
    if (value !== undefined) env[name] = value
  }
  const fromFile = spec.envFile === undefined ? {} : yield* EnvFile.read(spec.envFile)
  const port = spec.port === undefined ? {} : { PORT: String(spec.port) }
  birth.learn(fromFile)
  const given: Any["env"] = { ...fromFile, ...port, ...spec.env }
  for (const [name, value] of Object.entries(given)) {
    env[name] = Redacted.isRedacted(value) ? Redacted.value(value) : value
  }
  // What was meant for ourselves, as we may be supervised, too.
  for (const name of ["NEXO_NOTIFY_FD", "NEXO_REUSE_PORT"]) delete env[name]
  // On one port, an old one and its successor listen side by side while it is reloaded.
  if (spec.port !== undefined) env["NEXO_REUSE_PORT"] = "1"
  if (wantsNotify(spec)) env["NEXO_NOTIFY_FD"] = String(Children.notifyFd)
  env[cookieVariable] = cookie
  env[lifeVariable] = String(life)
  return env
})

const wantsChannel = (spec: Any): boolean => spec.ready === "message"
const wantsNotify = (spec: Any): boolean => spec.ready === "notify" || spec.liveness?._tag === "Heartbeat"

const spawnFailed = (code: string, error: { readonly message: string }) =>
  new ProcessExit.SpawnFailed({ code, command: error.message })

/** How much it may still say after its end, and how long a grandchild may hold its output open. */
const lastWords = "1 second"

/** Listens for the word or the line by which it says that it is ready, and for heartbeats. */
const listen = Effect.fnUntraced(function* (spec: Any, child: Children.Child, output: Attached | undefined) {
  const ready = Deferred.makeUnsafe<void>()
  const clock = yield* Monotonic.reader
  let last: number | undefined
  const sayReady = (): void => void Deferred.doneUnsafe(ready, Effect.void)
  child.onWord((word) => {
    last = clock()
    // Whatever is written to the descriptor first; over the channel other messages may come before.
    if (spec.ready === "notify" || word === "ready") sayReady()
  })
  let quiet: (() => void) | undefined
  if (spec.ready instanceof RegExp && output !== undefined) {
    const pattern = spec.ready
    quiet = output.onLine(({ text }) => {
      pattern.lastIndex = 0
      if (!pattern.test(text)) return
      quiet?.()
      sayReady()
    })
  }
  return { saidReady: Deferred.await(ready), lastWord: () => last, quiet: () => quiet?.() }
})

/** Not to be interrupted: between spawning and returning, the child belongs to nobody. */
export const spawn = Effect.fnUntraced(function* (birth: Birth): Effect.fn.Return<Run, ProcessExit.SpawnFailed> {
  const { bootId, id, life, log, spec, startedBy } = birth
  const env = yield* environmentOf(birth).pipe(Effect.mapError((error) => spawnFailed("ENVFILE", error)))
  const container = yield* Tiers.make(spec.containment, {
    id,
    life,
    name: spec.name,
    ...(spec.uid === undefined ? {} : { uid: spec.uid }),
    ...(spec.gid === undefined ? {} : { gid: spec.gid })
  }).pipe(Effect.mapError((error) => spawnFailed("CONTAINMENT", error)))
  const program = HeapLimit.derive({
    command: spec.command,
    args: spec.args,
    env,
    cwd: spec.cwd,
    memoryLimit: spec.memory?.limit
  })
  const start = container.wrap(spec.command, program.args)
  const survives = spec.onSupervisorDeath === "survive"
  const output = !survives
    ? undefined
    : spec.log === undefined
      ? "ignore"
      : yield* log.openDirect.pipe(Effect.mapError((error) => spawnFailed("LOG", error)))
  const ended = Deferred.makeUnsafe<Children.End>()
  let hasEnded = false
  let run: Run | undefined
  const child = yield* Children.spawn(
    {
      command: start.command,
      args: start.args,
      cwd: spec.cwd,
      env: program.env,
      uid: start.uid,
      gid: start.gid,
      output,
      notify: wantsNotify(spec),
      channel: wantsChannel(spec)
    },
    bootId,
    (end) => {
      hasEnded = true
      Deferred.doneUnsafe(ended, Effect.succeed(end))
      if (run !== undefined) birth.onEnd(run)
    }
  ).pipe(
    Effect.onError(() => container.release),
    Effect.ensuring(
      Effect.sync(() => {
        if (typeof output === "object") for (const fd of new Set([output.stdout, output.stderr])) Fs.closeSync(fd)
      })
    )
  )
  container.started(child.identity)
  const attachment = output === undefined ? log.attach(child) : undefined
  const { quiet, ...heard } = yield* listen(spec, child, attachment)
  const since = yield* Clock.monotonicTimeNanos
  const oom = Oom.before(child.identity)
  const sent = new Set<string>()
  const born: Run = {
    identity: child.identity,
    life,
    startedBy,
    bornAt: yield* Clock.currentTimeMillis,
    since,
    container,
    signs: { ...heard, age: Effect.map(Clock.monotonicTimeNanos, (now) => Duration.nanos(now - since)) },
    sent,
    isChild: true,
    hasEnded: () => hasEnded,
    exit: Effect.gen(function* () {
      const { code, signal } = container.endOf(yield* Deferred.await(ended), sent)
      const exit =
        signal === null
          ? new ProcessExit.Exited({ code: code ?? 0 })
          : new ProcessExit.Signaled({ signal, by: sent.has(signal) ? "us" : "unknown" })
      return (yield* Oom.verdict(oom, exit, container.oomKills)) ?? exit
    }),
    release: Effect.gen(function* () {
      quiet()
      // Whoever left its group is in its container still.
      yield* container.kill
      if (attachment !== undefined) {
        yield* Effect.timeoutOption(attachment.drained, lastWords)
        attachment.release()
      }
      yield* container.release
      // The supervisor may be ending: what it said last is to be read, and its container to be removed, all the same.
    }).pipe(Effect.uninterruptible)
  }
  run = born
  return born
})

/** A life that an earlier supervisor began. Nobody here is its parent, so that nobody learns how it ends. */
export const adopt = Effect.fnUntraced(function* (
  { spec, id, onEnd }: Pick<Birth, "spec" | "id" | "onEnd">,
  { identity, life }: Pick<Run, "identity" | "life">,
  age: Duration.Duration
): Effect.fn.Return<Run, never, Scope.Scope> {
  const container =
    (yield* Tiers.adopt(spec.containment, identity, { id, name: spec.name })) ?? (yield* plain(identity))
  const since = (yield* Clock.monotonicTimeNanos) - Duration.toNanosUnsafe(age)
  let hasEnded = false
  const run: Run = {
    identity,
    life,
    container,
    startedBy: "policy",
    bornAt: (yield* Clock.currentTimeMillis) - Duration.toMillis(age),
    since,
    sent: new Set(),
    signs: {
      saidReady: Effect.never,
      lastWord: () => undefined,
      age: Effect.map(Clock.monotonicTimeNanos, (now) => Duration.nanos(now - since))
    },
    isChild: false,
    hasEnded: () => hasEnded,
    exit: Effect.as(Adoption.watchExit(identity), new ProcessExit.AdoptedUnknown({})),
    release: Effect.uninterruptible(Effect.andThen(container.kill, container.release))
  }
  yield* Adoption.watchExit(identity).pipe(
    Effect.andThen(
      Effect.sync(() => {
        hasEnded = true
        onEnd(run)
      })
    ),
    Effect.forkScoped
  )
  return run
})

const plain = (identity: ProcessIdentity) =>
  Effect.map(Tiers.adopt("group", identity, { id: "", name: "" }), (container) => {
    if (container === undefined) throw new Error("a process group is always there")
    return container
  })
