/**
 * Looks at a file or folder: whether it is there, and is fresh, large and private enough. Nothing of its content is
 * read.
 *
 * @since 0.1.0
 */
import type * as Fs from "node:fs"
import * as Path from "node:path"

import * as Options from "@nexobot/core/Options"
import * as Probe from "@nexobot/core/Probe"
import * as Verdict from "@nexobot/core/Verdict"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import * as Baseline from "./internal/fileBaseline.ts"
import { statusOf } from "./internal/filePool.ts"
import type { Exactly, Given } from "./internal/given.ts"
import { ownFault } from "./internal/systemError.ts"

/**
 * Nothing is there, or a symbolic link that leads to nothing.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Missing extends Schema.TaggedClass<Missing>("@nexobot/probes/File/Missing")("File/Missing", {
  path: Schema.String
}) {}

/**
 * Something else is there, such as a folder in place of a file.
 *
 * @category signatures
 * @since 0.1.0
 */
export class WrongType extends Schema.TaggedClass<WrongType>("@nexobot/probes/File/WrongType")("File/WrongType", {
  path: Schema.String,
  expected: Schema.Literals(["file", "folder"]),
  found: Schema.Literals(["file", "folder", "something else"])
}) {}

/**
 * It has fewer bytes than it must have.
 *
 * @category signatures
 * @since 0.1.0
 */
export class TooSmall extends Schema.TaggedClass<TooSmall>("@nexobot/probes/File/TooSmall")("File/TooSmall", {
  path: Schema.String,
  /** In bytes. */
  size: Schema.Int,
  /** In bytes. */
  minSize: Schema.Int
}) {}

/**
 * It lost more of its size at once than it may.
 *
 * @category signatures
 * @since 0.1.0
 */
export class SizeDrop extends Schema.TaggedClass<SizeDrop>("@nexobot/probes/File/SizeDrop")("File/SizeDrop", {
  path: Schema.String,
  /** The last size that was good, in bytes. */
  before: Schema.Int,
  /** In bytes. */
  after: Schema.Int
}) {}

/**
 * It was not modified for longer than it may.
 *
 * @category signatures
 * @since 0.1.0
 */
export class TooOld extends Schema.TaggedClass<TooOld>("@nexobot/probes/File/TooOld")("File/TooOld", {
  path: Schema.String,
  age: Schema.DurationFromMillis,
  maxAge: Schema.DurationFromMillis
}) {}

/**
 * More may be done with it, or by more people, than its mode should allow.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Permissions extends Schema.TaggedClass<Permissions>("@nexobot/probes/File/Permissions")(
  "File/Permissions",
  {
    path: Schema.String,
    /** Octal, for example `0644`. */
    mode: Schema.String,
    /** Octal, for example `0600`. */
    maxMode: Schema.String
  }
) {}

/**
 * @category models
 * @since 0.1.0
 */
export interface FileProbeOptions {
  readonly name: string
  /** Symbolic links are followed. */
  readonly path: string
  /** `file` unless told. */
  readonly type?: "file" | "folder"
  /** How long ago it may have been modified; a folder is modified when an entry comes or goes. Any unless told. */
  readonly maxAge?: Duration.Input
  /** Bytes that a file must have; 1 finds an empty one. Any unless told. */
  readonly minSize?: number
  /** The share of its last good size that a file may lose at once, for example 0.5. Any unless told. */
  readonly maxDrop?: number
  /** A file of the probe's own for the last good size. Kept in memory unless told, and forgotten with the process. */
  readonly baseline?: string
  /** What its mode may allow at most, for example `0o600`: a bit beyond it is found. Any unless told. */
  readonly maxMode?: number
  /** Until the file system has answered; 5 seconds unless told. */
  readonly timeout?: Duration.Input
}

type Any = Missing | WrongType | TooSmall | SizeDrop | TooOld | Permissions

/**
 * What a probe with these options can find.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Found<O> =
  | Missing
  | WrongType
  | Given<O, "minSize", TooSmall>
  | Given<O, "maxDrop", SizeDrop>
  | Given<O, "maxAge", TooOld>
  | Given<O, "maxMode", Permissions>

const checks = Options.checks("FileProbe")

const known = ["name", "path", "type", "maxAge", "minSize", "maxDrop", "baseline", "maxMode", "timeout"]

const nothingThere = new Set(["ENOENT", "ENOTDIR", "ELOOP"])

/** Clocks of machines that share a folder differ a little. */
const skew = Duration.toMillis("1 minute")

const octal = (mode: number): string => mode.toString(8).padStart(4, "0")

const typeOf = (status: Fs.Stats) =>
  status.isFile() ? "file" : status.isDirectory() ? "folder" : ("something else" as const)

const checked = (options: FileProbeOptions) => {
  checks.known(options, known)
  const { baseline, maxAge, maxDrop, maxMode, minSize } = options
  const path = checks.nonEmptyString("path", options.path)
  const type = checks.oneOf("type", options.type ?? "file", ["file", "folder"])
  if (type === "folder" && minSize !== undefined) checks.fail("minSize", minSize, "none for a folder")
  if (type === "folder" && maxDrop !== undefined) checks.fail("maxDrop", maxDrop, "none for a folder")
  if (baseline !== undefined) {
    checks.nonEmptyString("baseline", baseline)
    if (maxDrop === undefined) checks.fail("baseline", baseline, "none without maxDrop")
    if (Path.resolve(baseline) === Path.resolve(path))
      checks.fail("baseline", baseline, "another file than the one that is looked at")
  }
  return {
    path,
    type,
    baseline,
    maxAge: maxAge === undefined ? undefined : checks.duration("maxAge", maxAge, "1 millis"),
    minSize: minSize === undefined ? undefined : checks.integer("minSize", minSize, 1),
    // Nothing can lose more than all.
    maxDrop: maxDrop === undefined ? undefined : checks.number("maxDrop", maxDrop, 0, 0.99),
    maxMode: maxMode === undefined ? undefined : checks.integer("maxMode", maxMode, 0, 0o777),
    timeout: checks.duration("timeout", options.timeout ?? "5 seconds", "1 millis")
  }
}

type Settings = ReturnType<typeof checked>

/** Whether it lost more than it may. 0.7 of 10 bytes are a little less than 7 for a computer. */
const isDrop = ({ maxDrop = 1 }: Settings, before: number, size: number): boolean =>
  before - size > before * (maxDrop + 1e-9)

const nothing = { before: undefined, trouble: undefined }

/** Everything wrong with what is there, the worst first. */
const faultsOf = (settings: Settings, status: Fs.Stats, age: number, before: number | undefined) => {
  const { maxAge, maxMode, minSize, path } = settings
  const { size } = status
  const mode = status.mode & 0o777
  const faults: Array<{ readonly signature: Any; readonly says: string }> = []
  if (minSize !== undefined && size < minSize) {
    faults.push({
      signature: new TooSmall({ path, size, minSize }),
      says: `${size} bytes, at least ${minSize} expected`
    })
  }
  if (before !== undefined && isDrop(settings, before, size)) {
    faults.push({ signature: new SizeDrop({ path, before, after: size }), says: `from ${before} to ${size} bytes` })
  }
  if (maxAge !== undefined && age > Duration.toMillis(maxAge)) {
    const signature = new TooOld({ path, age: Duration.millis(age), maxAge })
    faults.push({ signature, says: `modified ${Duration.format(signature.age)} ago` })
  }
  if (maxMode !== undefined && (mode & ~maxMode) !== 0) {
    const signature = new Permissions({ path, mode: octal(mode), maxMode: octal(maxMode) })
    faults.push({ signature, says: `mode ${signature.mode}, at most ${signature.maxMode} expected` })
  }
  return faults.map(({ says, signature }) => ({ signature, says: `${path}: ${says}` }))
}

/** Reads the last good size, and remembers this one if it is good. What goes wrong with that is told beside. */
const comparing = (settings: Settings, store: Baseline.Store, size: number) =>
  Effect.gen(function* () {
    if (!Number.isSafeInteger(size)) return yield* Effect.fail(`${settings.path}: its size cannot be told exactly`)
    const before = yield* store.read
    const isGood = size >= (settings.minSize ?? 0) && (before === undefined || !isDrop(settings, before, size))
    if (isGood && size !== before) yield* store.write(size)
    return { before, trouble: undefined }
  }).pipe(Effect.catch((trouble) => Effect.succeed({ before: undefined, trouble })))

const looking = (settings: Settings, store: Baseline.Store) =>
  Effect.gen(function* (): Effect.fn.Return<Verdict.Verdict<Any>, string> {
    const { maxAge, maxDrop, path, type } = settings
    const status = yield* statusOf(path)
    const found = typeOf(status)
    if (found !== type) {
      return Verdict.unhealthy(new WrongType({ path, expected: type, found }), [`${path} is ${found}, not ${type}`])
    }
    const { before, trouble } = maxDrop === undefined ? nothing : yield* comparing(settings, store, status.size)
    const age = Math.floor((yield* Clock.currentTimeMillis) - status.mtimeMs)
    const [worst, ...others] = faultsOf(settings, status, age, before)
    if (worst !== undefined) {
      const evidence = [worst, ...others].map(({ says }) => says)
      // Others read what they should not, but it does what it is for.
      const judge = worst.signature._tag === "File/Permissions" ? Verdict.degraded<Any> : Verdict.unhealthy<Any>
      return judge(worst.signature, evidence)
    }
    if (trouble !== undefined) return Verdict.inconclusive(trouble)
    if (maxAge !== undefined && age < -skew) {
      const ahead = Duration.format(Duration.millis(-age))
      return Verdict.inconclusive(`${path} was modified ${ahead} from now: a clock was set`)
    }
    return Verdict.healthy
  })

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends FileProbeOptions>(
  options: Exactly<O, FileProbeOptions>
): Probe.Probe<Found<O>> => {
  const settings = checked(options)
  const { baseline, maxAge, maxDrop, maxMode, minSize, path, timeout } = settings
  const store = baseline === undefined ? Baseline.inMemory() : Baseline.inFile(baseline, path)
  const check = looking(settings, store).pipe(
    Effect.catch((code) =>
      Effect.succeed(
        nothingThere.has(code)
          ? Verdict.unhealthy(new Missing({ path }), [`${path} is not there (${code})`])
          : Verdict.inconclusive(`${path}: ${ownFault(code) ?? code}`)
      )
    ),
    Effect.timeoutOrElse({
      duration: timeout,
      orElse: () => Effect.succeed(Verdict.inconclusive(`${path}: the file system did not answer in time`))
    })
  )
  const probe = Probe.make({
    name: options.name,
    reports: [
      Missing,
      WrongType,
      ...(minSize === undefined ? [] : [TooSmall]),
      ...(maxDrop === undefined ? [] : [SizeDrop]),
      ...(maxAge === undefined ? [] : [TooOld]),
      ...(maxMode === undefined ? [] : [Permissions])
    ],
    target: `file://${path}`,
    timeout,
    effects: baseline === undefined ? "none" : "own-file",
    // With `maxDrop` the verdict depends on what was seen before.
    question: maxDrop === undefined ? ["FileProbe", settings] : undefined,
    check
  })
  // Without an option, its signature is neither declared nor found.
  return probe as Probe.Probe<Found<O>> // oxlint-disable-line typescript/no-unsafe-type-assertion
}
