/**
 * Looks at a lock file: whether the process it names is dead, or whether it names nobody.
 *
 * A lock of a live owner, and no lock at all, are healthy here: whether the owner does its work is another probe's
 * question.
 *
 * @since 0.1.0
 */
import * as Options from "@nexobot/core/Options"
import * as OwnerLock from "@nexobot/core/OwnerLock"
import * as Probe from "@nexobot/core/Probe"
import * as Verdict from "@nexobot/core/Verdict"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

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

const checks = Options.checks("LockProbe")

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: { readonly name: string; readonly path: string }): Probe.Probe<Stale | Unreadable> => {
  checks.known(options, ["name", "path"])
  const path = checks.nonEmptyString("path", options.path)
  const check = OwnerLock.status(path).pipe(
    Effect.map((status): Verdict.Verdict<Stale | Unreadable> => {
      switch (status._tag) {
        case "Free":
        case "Held":
          return Verdict.healthy
        case "Stale":
          return Verdict.unhealthy(new Stale({ path, pid: status.owner.pid, proof: status.proof }), [
            `${path} names process ${status.owner.pid}: ${status.proof}`
          ])
        case "Unreadable":
          return Verdict.unhealthy(new Unreadable({ path, why: status.why }), [`${path}: ${status.why}`])
      }
    }),
    Effect.catch((error) => Effect.succeed(Verdict.inconclusive(error.message)))
  )
  // A starting process holds its own lock; a dead one's is wrong at any time.
  return Probe.make({ name: options.name, reports: [Stale, Unreadable], duringStartup: "judged", check })
}
