/**
 * Looks at a lock file: whether the process it names is dead, or whether it names nobody.
 *
 * A lock of a live owner, and no lock at all, are healthy here, unless `maxHeld` says that an owner is to give it back
 * in time. Otherwise, whether the owner does its work is another probe's question.
 *
 * @since 0.1.0
 */
import * as Options from "@nexobot/core/Options"
import * as OwnerLock from "@nexobot/core/OwnerLock"
import * as Probe from "@nexobot/core/Probe"
import { ProcessTable, type Unsupported } from "@nexobot/core/ProcessTable"
import * as Verdict from "@nexobot/core/Verdict"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import { inPool, statusOf } from "./internal/filePool.ts"
import type { Exactly, Given } from "./internal/given.ts"

/**
 * The owner is proven dead: the lock keeps a new one from starting.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Stale extends Schema.TaggedClass<Stale>("@nexobot/probes/Lock/Stale")("Lock/Stale", {
  path: Schema.String,
  /** The pid that the file names; it may belong to a stranger by now. */
  pid: Schema.Int,
  proof: Schema.String
}) {}

/**
 * The file names no owner, so nothing can be proven about it.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Unreadable extends Schema.TaggedClass<Unreadable>("@nexobot/probes/Lock/Unreadable")("Lock/Unreadable", {
  path: Schema.String,
  why: Schema.String
}) {}

/**
 * Its owner lives and has had it for too long: help the owner, or restart it. The lock itself is never to be removed.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Held extends Schema.TaggedClass<Held>("@nexobot/probes/Lock/Held")("Lock/Held", {
  path: Schema.String,
  pid: Schema.Int,
  /** Since the file was last written, and no longer than its owner runs. */
  age: Schema.DurationFromMillis,
  maxHeld: Schema.DurationFromMillis
}) {}

/**
 * @category models
 * @since 0.1.0
 */
export interface LockProbeOptions {
  readonly name: string
  readonly path: string
  /** How long a live owner may have the lock without writing it again. For ever unless told. */
  readonly maxHeld?: Duration.Input
  /** Until the file system has answered; 5 seconds unless told. */
  readonly timeout?: Duration.Input
}

/**
 * What a probe with these options can find.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Found<O> = Stale | Unreadable | Given<O, "maxHeld", Held>

const checks = Options.checks("LockProbe")

/** How long an owner has had its lock. */
const heldFor = Effect.fnUntraced(function* (
  path: string,
  { elsewhere, owner }: OwnerLock.LockStatus & { _tag: "Held" }
) {
  const { mtimeMs } = yield* statusOf(path)
  const written = (yield* Clock.currentTimeMillis) - mtimeMs
  const table = yield* ProcessTable
  const usage = elsewhere === undefined ? yield* table.usage(owner.pid) : undefined
  // Whoever sets the clock makes the file older, and not its owner.
  return Duration.millis(Math.floor(Math.max(0, Math.min(written, usage?.age ?? written))))
})

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends LockProbeOptions>(
  options: Exactly<O, LockProbeOptions>
): Probe.Probe<Found<O>> => {
  checks.known(options, ["name", "path", "maxHeld", "timeout"])
  const path = checks.nonEmptyString("path", options.path)
  const maxHeld = options.maxHeld === undefined ? undefined : checks.duration("maxHeld", options.maxHeld, "1 millis")
  const timeout = checks.duration("timeout", options.timeout ?? "5 seconds", "1 millis")

  const judge = (status: OwnerLock.LockStatus) =>
    Effect.gen(function* (): Effect.fn.Return<Verdict.Verdict<Stale | Unreadable | Held>, Unsupported | string> {
      switch (status._tag) {
        case "Free":
          return Verdict.healthy
        case "Held": {
          if (maxHeld === undefined) return Verdict.healthy
          const { pid } = status.owner
          const age = yield* heldFor(path, status)
          return Duration.isGreaterThan(age, maxHeld)
            ? Verdict.unhealthy(new Held({ path, pid, age, maxHeld }), [
                `${path} is held by process ${pid}${status.elsewhere === undefined ? "" : ` ${status.elsewhere}`} for ${Duration.format(age)}`
              ])
            : Verdict.healthy
        }
        case "Stale":
          return Verdict.unhealthy(new Stale({ path, pid: status.owner.pid, proof: status.proof }), [
            `${path} names process ${status.owner.pid}: ${status.proof}`
          ])
        case "Unreadable":
          return Verdict.unhealthy(new Unreadable({ path, why: status.why }), [`${path}: ${status.why}`])
      }
    })
  const check = inPool(path, OwnerLock.status(path)).pipe(
    Effect.flatMap(judge),
    Effect.catch((error) =>
      Effect.succeed(
        // Given back since we looked.
        error === "ENOENT"
          ? Verdict.healthy
          : Verdict.inconclusive(typeof error === "string" ? `${path}: ${error}` : error.message)
      )
    ),
    Effect.timeoutOrElse({
      duration: timeout,
      orElse: () => Effect.succeed(Verdict.inconclusive(`${path}: the file system did not answer in time`))
    })
  )
  const probe = Probe.make({
    name: options.name,
    reports: [Stale, Unreadable, ...(maxHeld === undefined ? [] : [Held])],
    target: `file://${path}`,
    timeout,
    question: ["LockProbe", { maxHeld, timeout }],
    // A starting process holds its own lock; a dead one's is wrong at any time.
    duringStartup: "judged",
    check
  })
  // Without an option, its signature is neither declared nor found.
  return probe as Probe.Probe<Found<O>> // oxlint-disable-line typescript/no-unsafe-type-assertion
}
