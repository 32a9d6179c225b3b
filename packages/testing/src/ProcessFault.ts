/**
 * Breaks running processes from outside, with nothing but signals and files.
 *
 * @since 0.1.0
 */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs/promises"

import * as PortOwner from "@nexobot/core/PortOwner"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { descendants, type Unsupported } from "@nexobot/core/ProcessTable"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"

/**
 * The fault could not be made.
 *
 * @category errors
 * @since 0.1.0
 */
export class ProcessFaultError extends Schema.TaggedError<ProcessFaultError>("@nexobot/testing/ProcessFaultError")(
  "ProcessFaultError",
  { fault: Schema.String, why: Schema.String }
) {
  override get message(): string {
    return `fault "${this.fault}" could not be made: ${this.why}`
  }
}

const sent = (fault: string, identity: ProcessIdentity.ProcessIdentity, signal: NodeJS.Signals) =>
  Effect.flatMap(ProcessIdentity.signal(identity, signal), (done) =>
    done ? Effect.void : Effect.fail(new ProcessFaultError({ fault, why: `process ${identity.pid} is gone` }))
  )

/** The living tree below a process, as identities. */
const treeBelow = Effect.fnUntraced(function* (identity: ProcessIdentity.ProcessIdentity) {
  const { bootId } = identity
  const below = yield* descendants(identity.pid)
  return below.map(({ pid, startTime }): ProcessIdentity.ProcessIdentity => ({ pid, startTime, bootId }))
})

/**
 * A crash: SIGKILL to the process, and to nothing else.
 *
 * @category faults
 * @since 0.1.0
 */
export const kill = (identity: ProcessIdentity.ProcessIdentity): Effect.Effect<void, ProcessFaultError | Unsupported> =>
  sent("kill", identity, "SIGKILL")

/**
 * A hang: SIGSTOP to the process and everything below it. Its sockets go on accepting.
 *
 * @category faults
 * @since 0.1.0
 */
export const freeze = Effect.fnUntraced(function* (
  identity: ProcessIdentity.ProcessIdentity
): Effect.fn.Return<void, ProcessFaultError | Unsupported> {
  yield* sent("freeze", identity, "SIGSTOP")
  // The root first, and again until nobody new is found: a child may be born while the others are being stopped.
  const stopped = new Set<number>()
  for (;;) {
    const below = (yield* treeBelow(identity)).filter((one) => !stopped.has(one.pid))
    if (below.length === 0) return
    yield* Effect.forEach(below, (one) => ProcessIdentity.signal(one, "SIGSTOP"), { discard: true })
    for (const one of below) stopped.add(one.pid)
  }
})

/**
 * Ends a hang made by `freeze`.
 *
 * @category faults
 * @since 0.1.0
 */
export const thaw = Effect.fnUntraced(function* (
  identity: ProcessIdentity.ProcessIdentity
): Effect.fn.Return<void, ProcessFaultError | Unsupported> {
  const below = yield* treeBelow(identity)
  yield* sent("thaw", identity, "SIGCONT")
  yield* Effect.forEach(below, (one) => ProcessIdentity.signal(one, "SIGCONT"), { discard: true })
})

/**
 * Kills the process while a child that shares its port is frozen: the child cannot notice, and keeps the port. Returns
 * the children that hold it.
 *
 * @category faults
 * @since 0.1.0
 */
export const orphanHoldingPort = Effect.fnUntraced(function* (
  identity: ProcessIdentity.ProcessIdentity,
  port: number
): Effect.fn.Return<ReadonlyArray<ProcessIdentity.ProcessIdentity>, ProcessFaultError | Unsupported> {
  const fault = "orphan holding the port"
  const below = yield* treeBelow(identity)
  const { holders } = yield* PortOwner.find(port)
  const children = below.filter((child) => holders.some((holder) => ProcessIdentity.equals(holder, child)))
  if (children.length === 0) {
    return yield* new ProcessFaultError({ fault, why: `no child of process ${identity.pid} holds port ${port}` })
  }
  yield* freeze(identity)
  yield* sent(fault, identity, "SIGKILL")
  return children
})

/**
 * A process that has nothing to do with anything, and must survive whatever is repaired around it.
 *
 * @category faults
 * @since 0.1.0
 */
export const bystander: Effect.Effect<ProcessIdentity.ProcessIdentity, ProcessFaultError | Unsupported, Scope.Scope> =
  Effect.gen(function* () {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        ChildProcess.spawn(process.execPath, ["-e", "setInterval(() => {}, 60_000)"], { stdio: "ignore" })
      ),
      (running) => Effect.sync(() => running.pid !== undefined && running.kill("SIGKILL"))
    )
    const identity = child.pid === undefined ? undefined : yield* ProcessIdentity.of(child.pid)
    return identity ?? (yield* new ProcessFaultError({ fault: "bystander", why: "it could not be started" }))
  })

/**
 * A lock left by a crash whose pid has been given to somebody else since: `stranger` runs, and is not the owner. A
 * program that only asks whether the pid exists takes the lock for held.
 *
 * @category faults
 * @since 0.1.0
 */
export const staleLock = Effect.fnUntraced(function* (
  path: string,
  stranger: ProcessIdentity.ProcessIdentity
): Effect.fn.Return<void, ProcessFaultError> {
  const owner = { ...stranger, startTime: stranger.startTime - 1 }
  yield* Effect.tryPromise({
    try: () => Fs.writeFile(path, `${JSON.stringify(owner)}\n`, { mode: 0o600 }),
    catch: (cause) => new ProcessFaultError({ fault: "stale lock", why: String(cause) })
  })
})
