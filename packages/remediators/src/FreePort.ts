/**
 * Frees a port held by processes that a supervised one left behind. A holder that is not proven ours is never
 * signalled.
 *
 * @since 0.1.0
 */
import * as Options from "@nexobot/core/Options"
import * as PortOwner from "@nexobot/core/PortOwner"
import { ProcessControl } from "@nexobot/core/ProcessControl"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { ProcessTable } from "@nexobot/core/ProcessTable"
import * as Remediator from "@nexobot/core/Remediator"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"

const id = "free-port"
const checks = Options.checks("FreePort")

/** The holders, if every one of them is an orphan of ours; else a refusal that names who is not. */
const orphansOn = Effect.fnUntraced(
  function* (port: number) {
    const control = yield* ProcessControl
    const found = yield* PortOwner.find(port)
    if (found.unseen > 0) {
      return yield* Remediator.refused(id, `port ${port} is held by a process that cannot be seen`)
    }
    for (const holder of found.holders) {
      const ownership = yield* control.ownership(holder)
      if (ownership._tag !== "Orphan") {
        const whose = ownership._tag === "Current" ? `${ownership.process}, which is running` : "somebody else"
        return yield* Remediator.refused(id, `port ${port} is held by process ${holder.pid} of ${whose}`)
      }
    }
    return found.holders
  },
  Effect.catchTag("Unsupported", (error) => Effect.fail(Remediator.refused(id, error.message)))
)

const soon = { schedule: Schedule.spaced("10 millis"), times: 200 }

/** Ends them, and fails unless every one is gone and what they listened on is closed. */
const end = Effect.fnUntraced(
  function* (port: number, grace: Duration.Duration) {
    const table = yield* ProcessTable
    const inodes = new Set((yield* table.listening(port)).map((socket) => socket.inode))
    const orphans = yield* orphansOn(port)
    const { survivors } = yield* ProcessIdentity.terminate(orphans, { grace })
    if (survivors.length > 0) {
      const pids = survivors.map((survivor) => survivor.pid).join(", ")
      return yield* Remediator.failed(id, `port ${port}: ${pids} could not be ended`)
    }
    // A process counts as dead when its first thread is; another one may take a moment to let go of the socket.
    const isClosed = Effect.map(table.listening(port), (now) => !now.some((socket) => inodes.has(socket.inode)))
    if (!(yield* Effect.repeat(isClosed, { ...soon, until: (closed) => closed }))) {
      return yield* Remediator.failed(id, `port ${port} is still held, and nobody is seen to hold it`)
    }
  },
  Effect.catchTag("Unsupported", (error) => Effect.fail(Remediator.failed(id, error.message)))
)

/**
 * Treats any signature with a port, such as `Port/HeldByOrphan`. The holders are looked up and judged anew right before
 * they are signalled.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: {
    /** Between SIGTERM and SIGKILL; 500 milliseconds unless told. */
    readonly grace?: Duration.Input
  } = {}
): Remediator.Remediator<{ readonly port: number }, ProcessControl> => {
  checks.known(options, ["grace"])
  const grace = checks.duration("grace", options.grace ?? "500 millis")
  return Remediator.make({
    id,
    description: "end our own orphans that hold the port",
    blastRadius: "process",
    reversible: false,
    privilege: "own-user",
    precondition: ({ port }: { readonly port: number }) => Effect.asVoid(orphansOn(port)),
    apply: ({ port }: { readonly port: number }) => end(port, grace)
  })
}
