/**
 * Looks at the disk that holds a path: whether it answers, has space and inodes left, and may be written.
 *
 * Helper programs of the system (`stat`, `readlink`) ask the disk, so that one that hangs holds a helper and nothing of
 * this process; at most one helper of a probe hangs.
 *
 * @since 0.1.0
 */
import * as Options from "@nexobot/core/Options"
import * as Probe from "@nexobot/core/Probe"
import { Redactor } from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import { excerpt } from "./internal/excerpt.ts"
import type { Exactly, Given } from "./internal/given.ts"
import { codeIn, makeHelper } from "./internal/helper.ts"
import { mountOf, parseMounts } from "./internal/mountTable.ts"
import { ownFault } from "./internal/systemError.ts"

/**
 * It did not say in time how much space it has, as a network disk whose server is gone.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Hung extends Schema.TaggedClass<Hung>("@nexobot/probes/Disk/Hung")("Disk/Hung", {
  path: Schema.String,
  after: Schema.DurationFromMillis
}) {}

/**
 * There is nothing at the path, or what is mounted there is not there any more.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Missing extends Schema.TaggedClass<Missing>("@nexobot/probes/Disk/Missing")("Disk/Missing", {
  path: Schema.String,
  /** The system's code, for example `ENOENT`. */
  code: Schema.String
}) {}

/**
 * It is mounted to be read only. The kernel does so by itself when it finds a file system broken.
 *
 * @category signatures
 * @since 0.1.0
 */
export class ReadOnly extends Schema.TaggedClass<ReadOnly>("@nexobot/probes/Disk/ReadOnly")("Disk/ReadOnly", {
  path: Schema.String,
  /** Where it is mounted. */
  mount: Schema.String
}) {}

/**
 * It has less space than it should have.
 *
 * @category signatures
 * @since 0.1.0
 */
export class SpaceLow extends Schema.TaggedClass<SpaceLow>("@nexobot/probes/Disk/SpaceLow")("Disk/SpaceLow", {
  path: Schema.String,
  /** Bytes that are left for programs of ordinary users. */
  free: Schema.Finite,
  /** Bytes that it has in all. */
  total: Schema.Finite
}) {}

/**
 * It can take fewer new files than it should.
 *
 * @category signatures
 * @since 0.1.0
 */
export class InodesLow extends Schema.TaggedClass<InodesLow>("@nexobot/probes/Disk/InodesLow")("Disk/InodesLow", {
  path: Schema.String,
  /** How many files it can still take. */
  free: Schema.Finite,
  /** How many it can have in all. */
  total: Schema.Finite
}) {}

/**
 * Bytes (or inodes), or a share of all, such as `"5%"`.
 *
 * @category models
 * @since 0.1.0
 */
export type Amount = number | `${number}%`

/**
 * @category models
 * @since 0.1.0
 */
export interface DiskProbeOptions {
  readonly name: string
  /** Any file or folder on the disk. */
  readonly path: string
  /** With less free space than this it is unhealthy. Any will do unless told. */
  readonly minFree?: Amount
  /** With less free space than this it is degraded; more than `minFree`. Any will do unless told. */
  readonly degradedFree?: Amount
  /** With fewer free inodes than this it is unhealthy. Any will do unless told. */
  readonly minInodes?: Amount
  /** With fewer free inodes than this it is degraded; more than `minInodes`. Any will do unless told. */
  readonly degradedInodes?: Amount
  /** Whether it has to be mounted to be written. `false` unless told. */
  readonly writable?: boolean
  /** Until the disk has answered; 5 seconds unless told. */
  readonly timeout?: Duration.Input
}

/**
 * What a probe with these options can find.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Found<O> =
  | Hung
  | Missing
  | (O extends { readonly writable: false } ? never : Given<O, "writable", ReadOnly>)
  | Given<O, "minFree" | "degradedFree", SpaceLow>
  | Given<O, "minInodes" | "degradedInodes", InodesLow>

type Any = Hung | Missing | ReadOnly | SpaceLow | InodesLow

const checks = Options.checks("DiskProbe")

interface Level {
  readonly share: boolean
  readonly value: number
}

const checkedAmount = (option: string, amount: Amount | undefined): Level | undefined => {
  if (amount === undefined) return undefined
  if (typeof amount === "number") return { share: false, value: checks.integer(option, amount, 1) }
  const value = Number(/^(\d+(?:\.\d+)?)%$/.exec(amount)?.[1])
  return value > 0 && value < 100
    ? { share: true, value }
    : checks.fail(option, amount, 'an integer of at least 1, or a share between "0%" and "100%"')
}

/** Both levels of one thing. */
const checkedLevels = (min: string, least: Amount | undefined, degraded: string, low: Amount | undefined) => {
  const levels = { unhealthy: checkedAmount(min, least), degraded: checkedAmount(degraded, low) }
  const { unhealthy } = levels
  if (unhealthy?.share === levels.degraded?.share && (levels.degraded?.value ?? Infinity) <= (unhealthy?.value ?? 0)) {
    checks.fail(degraded, low, `more than ${min}`)
  }
  return levels
}

type Levels = ReturnType<typeof checkedLevels>

const hasLevels = ({ degraded, unhealthy }: Levels) => degraded !== undefined || unhealthy !== undefined

interface Room {
  readonly free: number
  readonly total: number
}

const isBelow = (level: Level | undefined, { free, total }: Room): boolean =>
  // File systems that have no such thing, as Btrfs has no inodes, say that they have none in all.
  level !== undefined && total > 0 && (level.share ? (free / total) * 100 : free) < level.value

const judged = <S extends SpaceLow | InodesLow>(levels: Levels, room: Room, signature: S, what: string) => {
  const share = ((room.free / room.total) * 100).toFixed(1)
  const evidence = [`${signature.path}: ${room.free} of ${room.total} ${what} are free (${share} %)`]
  if (isBelow(levels.unhealthy, room)) return Verdict.unhealthy(signature, evidence)
  return isBelow(levels.degraded, room) ? Verdict.degraded(signature, evidence) : undefined
}

const notThere = new Set(["ENOENT", "ENOTDIR", "ELOOP", "ESTALE", "ENOTCONN", "EIO", "EHOSTDOWN", "ETIMEDOUT"])

/** Machines with many containers have thousands of mounts. */
const longestTable = 8_000_000

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends DiskProbeOptions>(
  options: Exactly<O, DiskProbeOptions>
): Probe.Probe<Found<O>> => {
  const given: DiskProbeOptions = options
  checks.known(given, ["name", "path", "minFree", "degradedFree", "minInodes", "degradedInodes", "writable", "timeout"])
  const path = checks.nonEmptyString("path", given.path)
  const space = checkedLevels("minFree", given.minFree, "degradedFree", given.degradedFree)
  const inodes = checkedLevels("minInodes", given.minInodes, "degradedInodes", given.degradedInodes)
  const writable = checks.boolean("writable", given.writable ?? false)
  const timeout = checks.duration("timeout", given.timeout ?? "5 seconds", "1 millis")
  const helper = makeHelper()

  /** What a helper says; fails with the verdict when it has nothing to say. */
  const asked = (file: string, args: ReadonlyArray<string>, maxOutput: number) =>
    Effect.gen(function* (): Effect.fn.Return<string, Verdict.Verdict<Missing>> {
      const { exitCode, stderr, stdout } = yield* Effect.mapError(helper({ file, args, maxOutput }), (code) =>
        Verdict.inconclusive(`${file} cannot be started: ${ownFault(code) ?? code}`)
      )
      if (exitCode === 0) return stdout
      const code = codeIn(stderr)
      if (code !== undefined && notThere.has(code)) {
        return yield* Effect.fail(Verdict.unhealthy(new Missing({ path, code }), [`${path} is not there (${code})`]))
      }
      const why = ownFault(code ?? "") ?? excerpt(stderr, yield* Redactor)
      return yield* Effect.fail(Verdict.inconclusive(`${path}: ${why}`))
    })

  const look = Effect.gen(function* (): Effect.fn.Return<Verdict.Verdict<Any>, Verdict.Verdict<Any>> {
    const figures = yield* asked("stat", ["-f", "-c", "%S %b %a %c %d", "--", path], 1000)
    const [, size, total, free, files, freeFiles] = (/^(\d+) (\d+) (\d+) (\d+) (\d+)\n$/.exec(figures) ?? []).map(
      Number
    )
    if (size === undefined || total === undefined || free === undefined || files === undefined) {
      return Verdict.inconclusive(`${path}: stat said ${excerpt(figures, yield* Redactor)}`)
    }
    if (writable) {
      // It ends as `readlink`, which alone touches the disk.
      const script = 'cat /proc/self/mountinfo && echo && exec readlink -fv -- "$1"'
      const [table = "", real = ""] = (yield* asked("sh", ["-c", script, "sh", path], longestTable)).split(/\n\n(.*)/s)
      const mount = mountOf(parseMounts(table), real.replace(/\n$/, ""))
      if (mount === undefined) return Verdict.inconclusive(`${path}: no mount is known that has it`)
      if (mount.isReadOnly) {
        return Verdict.unhealthy(new ReadOnly({ path, mount: mount.point }), [
          `${path}: ${mount.point} is mounted to be read only`
        ])
      }
    }
    const bytes = { free: free * size, total: total * size }
    const entries = { free: freeFiles ?? 0, total: files }
    const found = [
      judged(space, bytes, new SpaceLow({ path, ...bytes }), "bytes"),
      judged(inodes, entries, new InodesLow({ path, ...entries }), "inodes")
    ]
    return found.find((one) => one?._tag === "Unhealthy") ?? found.find((one) => one !== undefined) ?? Verdict.healthy
  })
  const probe = Probe.make({
    name: given.name,
    reports: [
      Hung,
      Missing,
      ...(writable ? [ReadOnly] : []),
      ...(hasLevels(space) ? [SpaceLow] : []),
      ...(hasLevels(inodes) ? [InodesLow] : [])
    ],
    target: `disk:${path}`,
    timeout,
    question: ["DiskProbe", { space, inodes, writable, timeout }],
    // A disk is there before those who use it.
    duringStartup: "judged",
    check: look.pipe(
      Effect.catch((verdict) => Effect.succeed(verdict)),
      Effect.timeoutOrElse({
        duration: timeout,
        orElse: () =>
          Effect.succeed(Verdict.unhealthy(new Hung({ path, after: timeout }), [`${path}: the disk does not answer`]))
      })
    )
  })
  // Without an option, its signature is neither declared nor found.
  return probe as Probe.Probe<Found<O>> // oxlint-disable-line typescript/no-unsafe-type-assertion
}
