/** Why processes cannot be contained in a tier here, and what to do about it. */
import * as Schema from "effect/Schema"

/** See `Containment`. */
export const Tier = Schema.Literals(["group", "cgroup", "pid-namespace"])

/** See `Containment`. */
export type Tier = typeof Tier.Type

/**
 * This system has nothing of the kind.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unsupported extends Schema.TaggedClass<Unsupported>("@nexobot/process-supervisor/Containment/Unsupported")(
  "Unsupported",
  { why: Schema.String }
) {}

/**
 * The control group that this process is in was not given to it: it may not make groups below.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotDelegated extends Schema.TaggedClass<NotDelegated>(
  "@nexobot/process-supervisor/Containment/NotDelegated"
)("NotDelegated", {
  path: Schema.String,
  /** The system's, for example `EACCES`. */
  code: Schema.String
}) {}

/**
 * A program that the tier needs is not there.
 *
 * @category errors
 * @since 0.1.0
 */
export class ProgramMissing extends Schema.TaggedClass<ProgramMissing>(
  "@nexobot/process-supervisor/Containment/ProgramMissing"
)("ProgramMissing", {
  program: Schema.String,
  /** Debian's name of the package that has it. */
  package: Schema.String
}) {}

/**
 * The kernel does not let this process make a pid namespace.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotPermitted extends Schema.TaggedClass<NotPermitted>(
  "@nexobot/process-supervisor/Containment/NotPermitted"
)("NotPermitted", { why: Schema.String }) {}

/**
 * The container of one process could not be made, though the tier works.
 *
 * @category errors
 * @since 0.1.0
 */
export class Failed extends Schema.TaggedClass<Failed>("@nexobot/process-supervisor/Containment/Failed")("Failed", {
  path: Schema.String,
  /** The system's, for example `ENOSPC`. */
  code: Schema.String
}) {}

/** Any of them. */
export type Reason = Unsupported | NotDelegated | ProgramMissing | NotPermitted | Failed

/**
 * Processes cannot be contained in this tier, here or now.
 *
 * @category errors
 * @since 0.1.0
 */
export class ContainmentError extends Schema.TaggedError<ContainmentError>(
  "@nexobot/process-supervisor/ContainmentError"
)("ContainmentError", {
  tier: Tier,
  reason: Schema.Union([Unsupported, NotDelegated, ProgramMissing, NotPermitted, Failed])
}) {
  override get message(): string {
    return `containment "${this.tier}" is not to be had: ${describe(this.reason)}`
  }
}

/** One sentence or two: why, and what to do. */
export const describe = (reason: Reason): string => {
  switch (reason._tag) {
    case "Unsupported":
      return `${reason.why}. Use "group".`
    case "NotDelegated":
      return (
        `no control group can be made in ${reason.path} (${reason.code}). ` +
        (reason.code === "EROFS"
          ? "Mount it writable: in a container it is read-only unless told."
          : "Start the supervisor with `systemd-run --user --scope -p Delegate=yes <command>`, " +
            "or put Delegate=yes into its unit.")
      )
    case "ProgramMissing":
      return `there is no ${reason.program}. Install ${reason.package}, or use "group".`
    case "NotPermitted":
      return `${reason.why}. Run the supervisor as root or with CAP_SYS_ADMIN, or use "group".`
    case "Failed":
      return `${reason.path}: ${reason.code}${remedies[reason.code] ?? ""}`
  }
}

const remedies: Readonly<Record<string, string>> = {
  EAGAIN: ". There are as many control groups as may be: see cgroup.max.descendants of the groups above.",
  ENOSPC: ". The kernel has no room for more control groups: remove those that are not used."
}
