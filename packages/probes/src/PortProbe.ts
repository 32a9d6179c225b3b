/**
 * Looks at who listens on the port of a supervised process. Nobody is fine here (whether somebody answers is another
 * probe's question); one of our own that was left behind, and a stranger, are not.
 *
 * @since 0.1.0
 */
import * as Net from "node:net"

import * as Options from "@nexobot/core/Options"
import * as PortOwner from "@nexobot/core/PortOwner"
import * as Probe from "@nexobot/core/Probe"
import { ProcessControl } from "@nexobot/core/ProcessControl"
import { equals, ProcessIdentity } from "@nexobot/core/ProcessIdentity"
import { ProcessTable } from "@nexobot/core/ProcessTable"
import { Redactor } from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/**
 * A process that a supervised one left behind has the port.
 *
 * @category signatures
 * @since 0.1.0
 */
export class HeldByOrphan extends Schema.TaggedClass<HeldByOrphan>("@nexobot/probes/Port/HeldByOrphan")(
  "Port/HeldByOrphan",
  {
    port: Schema.Int,
    /** That of the probe, if it has one. */
    address: Schema.optionalKey(Schema.String),
    holder: ProcessIdentity
  }
) {}

/**
 * A process that is not proven ours has the port.
 *
 * @category signatures
 * @since 0.1.0
 */
export class HeldByForeigner extends Schema.TaggedClass<HeldByForeigner>("@nexobot/probes/Port/HeldByForeigner")(
  "Port/HeldByForeigner",
  {
    port: Schema.Int,
    /** That of the probe, if it has one. */
    address: Schema.optionalKey(Schema.String),
    /** `undefined` when its process cannot be seen. */
    pid: Schema.optionalKey(Schema.Int),
    /** Its command line, redacted, at most 200 characters. */
    command: Schema.String
  }
) {}

const checks = Options.checks("PortProbe")

const commandLimit = 200

/**
 * @category models
 * @since 0.1.0
 */
export interface PortProbeOptions {
  readonly name: string
  readonly port: number
  /** The supervised process whose port it is. */
  readonly process: string
  /**
   * The IP address on which the process listens: only who is in the way there counts, be it on that address or on all of
   * them. Every address of this machine unless told.
   */
  readonly address?: string
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: PortProbeOptions): Probe.Probe<HeldByOrphan | HeldByForeigner, ProcessControl> => {
  checks.known(options, ["name", "port", "process", "address"])
  const port = checks.port("port", options.port)
  const process = checks.nonEmptyString("process", options.process)
  const { address } = options
  if (address !== undefined && Net.isIP(address) === 0) checks.fail("address", address, "an IP address")
  const where = address === undefined ? {} : { address }
  const shown = address !== undefined && Net.isIPv6(address) ? `[${address}]` : (address ?? "*")

  const look = Effect.gen(function* () {
    const control = yield* ProcessControl
    const table = yield* ProcessTable
    // Its own child first, for that costs next to nothing: who else is there matters only when the child has not the port.
    const { identity: child } = yield* control.status(process)
    const expected = child === undefined ? [] : [child.pid]
    const own = yield* PortOwner.find(port, { ...where, expected, others: false })
    if (!own.listening || (child !== undefined && own.holders.some((holder) => equals(holder, child)))) {
      return Verdict.healthy
    }
    const tree = yield* control.tree(process)
    const found = yield* PortOwner.find(port, { ...where, expected: tree.map((identity) => identity.pid) })
    if (!found.listening) return Verdict.healthy
    const owned = yield* Effect.forEach(found.holders, (holder) =>
      Effect.map(control.ownership(holder), (ownership) => ({ holder, ownership }))
    )
    // Whoever shares the port with the process that should have it is no obstacle.
    if (owned.some(({ ownership }) => ownership._tag === "Current" && ownership.process === process)) {
      return Verdict.healthy
    }
    const foreigner = owned.find(({ ownership }) => ownership._tag !== "Orphan")
    const [orphan] = owned
    if (orphan?.ownership._tag === "Orphan" && foreigner === undefined && found.unseen === 0) {
      return Verdict.unhealthy(new HeldByOrphan({ port, ...where, holder: orphan.holder }), [
        `port ${port} is held by ${orphan.holder.pid}, left behind by ${orphan.ownership.process}`
      ])
    }
    const pid = foreigner?.holder.pid
    const { text } = yield* Redactor
    const command =
      pid === undefined ? "a process that cannot be seen" : text(yield* table.commandLine(pid)).slice(0, commandLimit)
    return Verdict.unhealthy(new HeldByForeigner({ port, ...where, command, ...(pid === undefined ? {} : { pid }) }), [
      `port ${port} is held by ${pid ?? "?"}: ${command}`
    ])
  })
  // Who ends or closes the port while we look seems a stranger that cannot be seen: it takes a second look.
  const check = look.pipe(
    Effect.filterOrElse(
      (verdict) => verdict._tag === "Healthy" || verdict.signature._tag !== "Port/HeldByForeigner",
      () => look
    ),
    Effect.catch((error) => Effect.succeed(Verdict.inconclusive(error.message)))
  )
  // A stranger on the port is wrong while we start, too: it is why we cannot.
  return Probe.make({
    name: options.name,
    reports: [HeldByOrphan, HeldByForeigner],
    target: `tcp://${shown}:${port}`,
    question: ["PortProbe", { process }],
    duringStartup: "judged",
    check
  })
}
