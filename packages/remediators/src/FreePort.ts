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
import * as Remediator from "@nexobot/core/Remediator"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"

/** What is to be freed: the port of one address, or of all. */
interface Place {
  readonly port: number
  readonly address?: string
}

const id = "free-port"
const checks = Options.checks("FreePort")

/** The holders, if every one of them is an orphan of ours; else a refusal that names who is not. */
const orphansOn = Effect.fnUntraced(
  function* ({ address, port }: Place) {
    const control = yield* ProcessControl
    const found = yield* PortOwner.find(port, address === undefined ? {} : { address })
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
  function* (place: Place, grace: Duration.Duration) {
    const { address, port } = place
    const before = yield* PortOwner.inodes(port, address)
    const orphans = yield* orphansOn(place)
    const { survivors } = yield* ProcessIdentity.terminate(orphans, { grace })
    if (survivors.length > 0) {
      const pids = survivors.map((survivor) => survivor.pid).join(", ")
      return yield* Remediator.failed(id, `port ${port}: ${pids} could not be ended`)
    }
    // A process counts as dead when its first thread is; another one may take a moment to let go of the socket.
    const isClosed = Effect.map(PortOwner.inodes(port, address), (now) => ![...now].some((inode) => before.has(inode)))
    if (!(yield* Effect.repeat(isClosed, { ...soon, until: (closed) => closed }))) {
      return yield* Remediator.failed(id, `port ${port} is still held, and nobody is seen to hold it`)
    }
  },
  Effect.catchTag("Unsupported", (error) => Effect.fail(Remediator.failed(id, error.message)))
)

/**
 * Treats any signature with a port, such as `Port/HeldByOrphan`; with an address, too, only who is in the way there is
 * looked at. The holders are looked up and judged anew right before
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
): Remediator.Remediator<Place, ProcessControl> => {
  checks.known(options, ["grace"])
  const grace = checks.duration("grace", options.grace ?? "500 millis")
  return Remediator.make({
    id,
    description: "end our own orphans that hold the port",
    blastRadius: "process",
    reversible: false,
    privilege: "own-user",
    precondition: (place: Place) => Effect.asVoid(orphansOn(place)),
    apply: (place: Place) => end(place, grace)
  })
}
