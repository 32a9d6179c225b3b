/**
 * Time in which nobody wants to be told. What goes on is recorded as ever; what is still wrong at the end is told then.
 *
 * Windows are the one thing here that wall time decides, because people plan by it.
 *
 * @since 0.1.0
 */
import * as Cron from "effect/Cron"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"

import * as Options from "./Options.ts"

const checks = Options.checks("Maintenance")

/**
 * Milliseconds of wall time; each window begins with its first and ends before its last instant.
 *
 * @category models
 * @since 0.1.0
 */
export type Window =
  | { readonly _tag: "Once"; readonly from: number; readonly to: number }
  | {
      readonly _tag: "Recurring"
      readonly cron: Cron.Cron
      readonly zone: DateTime.TimeZone
      readonly duration: number
    }

/** 30 February is well-formed, and never comes: to look for it throws. */
const comes = (cron: Cron.Cron): boolean => Result.isSuccess(Result.try(() => Cron.next(cron, 0)))

/**
 * Whether it is a window that can be looked at: of the right shape all through, and one that comes to pass.
 *
 * @category guards
 * @since 0.1.0
 */
export const isWindow = (value: unknown): value is Window => {
  if (!Predicate.isObject(value)) return false
  const { _tag, cron, duration, from, to, zone } = value
  if (_tag === "Once") return typeof from === "number" && typeof to === "number" && to > from
  if (_tag !== "Recurring" || !Cron.isCron(cron) || !DateTime.isTimeZone(zone)) return false
  return Number.isFinite(duration) && Number(duration) > 0 && comes(cron)
}

const instant = (option: string, value: DateTime.DateTime.Input): number => {
  const parsed = DateTime.make(value)
  return Option.isSome(parsed)
    ? DateTime.toEpochMillis(parsed.value)
    : checks.fail(option, value, "a date and time, as 2026-03-29T02:00:00Z, a Date, or milliseconds since 1970")
}

/**
 * A window that was announced: from one instant to another. A string without an offset is UTC.
 *
 * @category constructors
 * @since 0.1.0
 */
export const once = (options: {
  readonly from: DateTime.DateTime.Input
  readonly to: DateTime.DateTime.Input
}): Window => {
  checks.known(options, ["from", "to"])
  const from = instant("from", options.from)
  const to = instant("to", options.to)
  return to > from ? { _tag: "Once", from, to } : checks.fail("to", options.to, "an instant after `from`")
}

/**
 * A window that begins whenever a cron expression says, of five fields, or six with seconds first. A beginning
 * within the hour that daylight saving skips is put off by an hour; in an hour that comes twice it takes place in the
 * first.
 *
 * @category constructors
 * @since 0.1.0
 */
export const recurring = (options: {
  /** When it begins, as `0 3 * * SUN`. */
  readonly cron: string
  readonly duration: Duration.Input
  /** As `Europe/Berlin` or `+02:00`; UTC unless told. */
  readonly timeZone?: string
}): Window => {
  checks.known(options, ["cron", "duration", "timeZone"])
  const { timeZone = "UTC" } = options
  const zone = typeof timeZone === "string" ? DateTime.zoneFromString(timeZone) : Option.none()
  if (Option.isNone(zone)) return checks.fail("timeZone", timeZone, "a time zone, as Europe/Berlin or +02:00")
  const cron = Cron.parse(checks.nonEmptyString("cron", options.cron), zone.value)
  if (Result.isFailure(cron) || !comes(cron.success))
    return checks.fail("cron", options.cron, "a cron expression that comes to pass")
  const duration = Duration.toMillis(checks.duration("duration", options.duration, "1 millis"))
  return { _tag: "Recurring", cron: cron.success, zone: zone.value, duration }
}

/**
 * Whether a window is open, and until when the answer will not change before being asked again; in milliseconds of wall
 * time, `Infinity` for ever.
 *
 * @category models
 * @since 0.1.0
 */
export interface Look {
  readonly active: boolean
  readonly until: number
}

const gap = Duration.toMillis("3 hours")

const offsetAt = (timeZone: DateTime.TimeZone, millis: number): number =>
  DateTime.zonedOffset(DateTime.makeZonedUnsafe(millis, { timeZone }))

/** The first beginning after an instant. */
const beginsAfter = ({ cron, zone }: Window & { readonly _tag: "Recurring" }, after: number): number => {
  const before = after - gap
  if (offsetAt(zone, before) >= offsetAt(zone, after)) return Cron.next(cron, after).getTime()
  // Right after clocks went forward `Cron.next` does not see what was put off: come from before that.
  let begins = Cron.next(cron, before).getTime()
  while (begins <= after) begins = Cron.next(cron, begins).getTime()
  return begins
}

const lookAt = (window: Window, now: number): Look => {
  if (window._tag === "Once") {
    if (now < window.from) return { active: false, until: window.from }
    return now < window.to ? { active: true, until: window.to } : { active: false, until: Infinity }
  }
  // The earliest beginning whose window is not over: if it has come, its window is open.
  const begins = beginsAfter(window, now - window.duration)
  return begins <= now ? { active: true, until: begins + window.duration } : { active: false, until: begins }
}

/**
 * Whether any window is open at `now`, wall time in milliseconds, and when to look again. Looking takes a cron
 * expression a tenth of a millisecond: keep the answer until then.
 *
 * @category accessors
 * @since 0.1.0
 */
export const look = (windows: ReadonlyArray<Window>, now: number): Look => {
  const looks = windows.map((window) => lookAt(window, now))
  return { active: looks.some((one) => one.active), until: Math.min(Infinity, ...looks.map((one) => one.until)) }
}

/**
 * Whether a window is open at `now`, wall time in milliseconds.
 *
 * @category accessors
 * @since 0.1.0
 */
export const isActive = (window: Window, now: number): boolean => lookAt(window, now).active
