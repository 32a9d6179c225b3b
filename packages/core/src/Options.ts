/**
 * Checks for the options of definitions.
 *
 * Constructors of probes, remedies, components and process specifications are synchronous and plain, so that a stack
 * reads as data. A bad value there is a programmer's mistake: it throws `OptionError` at once, before anything starts.
 *
 * @since 0.1.0
 */
import * as Net from "node:net"

import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"

import * as Bytes from "./Bytes.ts"
import * as Redaction from "./internal/redaction/engine.ts"

/**
 * An option has a value that cannot work.
 *
 * @category errors
 * @since 0.1.0
 */
export class OptionError extends Error {
  readonly _tag = "OptionError"
  override readonly name = "OptionError"
  /** The module whose constructor refused, for example `HttpProbe`. */
  readonly module: string
  /** The path of the option, for example `policy.fall`. */
  readonly option: string
  readonly value: unknown
  /** What would be accepted, for example `an integer from 1 to 65535`. */
  readonly expected: string
  constructor(module: string, option: string, value: unknown, expected: string) {
    super(`${module}: option "${option}" is ${show(value)}, expected ${expected}`)
    this.module = module
    this.option = option
    this.value = value
    this.expected = expected
  }
}

const show = (value: unknown): string => {
  if (typeof value === "string") return JSON.stringify(value)
  if (Duration.isDuration(value)) return Duration.format(value)
  if (Redacted.isRedacted(value)) return "<redacted>"
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "an array" : "an object"
  return String(value)
}

const units = new Set(["weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds", "nanoseconds"])

/** `Duration` takes NaN and objects of no unit that it knows, such as a misspelt one, for zero. */
const isMeant = (value: unknown): boolean => {
  if (typeof value !== "object" || value === null || Duration.isDuration(value)) return !Number.isNaN(value)
  if (Array.isArray(value)) return !value.some(Number.isNaN)
  const entries: ReadonlyArray<[string, unknown]> = Object.entries(value)
  return entries.length > 0 && entries.every(([unit, amount]) => units.has(unit) && !Number.isNaN(amount))
}

/** Nothing is known of a text under a misspelt name, which may be a password, or in place of all options. */
const withoutText = (value: unknown): unknown => (typeof value === "string" ? Redacted.make(value) : value)

/** An object literal, of this realm or of another; with a class or a function, options would be ignored in silence. */
const isPlain = (value: unknown): value is object => {
  if (typeof value !== "object" || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** Resolvers and URLs take such a name for an address, as `3000` for 0.0.11.184. */
const endsInNumber = (host: string): boolean => /(^|\.)\d+\.?$/.test(host)

/** Labels of letters, digits, hyphens and underscores (containers have these), and a dot at the end at will. */
const isHostName = (value: string): boolean =>
  value.length <= 253 &&
  !endsInNumber(value) &&
  /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\.?$/i.test(value)

/** Whether it means what it says: parsers of URLs drop white space, and read more into a host than an address. */
const isWritten = (value: string, { hostname, port, protocol }: URL): boolean => {
  const scheme = `${protocol}//`
  if (value.slice(0, scheme.length).toLowerCase() !== scheme) return false
  if (value.trim() !== value || /\p{Cc}/u.test(value) || port === "0") return false
  return Net.isIPv4(hostname) ? value.startsWith(hostname, scheme.length) : !endsInNumber(hostname)
}

/** A URL as it may be shown: a query has secrets often, and a path sometimes. */
const withoutSecrets = (value: unknown): unknown =>
  typeof value === "string" ? Redaction.make([]).text(value.replace(/[?#].*$/s, "")) : value

/** As `new RegExp("")` is, or `//` would be. */
const isEmpty = ({ source }: RegExp): boolean => source === "(?:)"

/** The checks of one module; each returns the value when it is good and throws `OptionError` when it is not. */
export interface Checks {
  readonly fail: (option: string, value: unknown, expected: string) => never
  readonly nonEmptyString: (option: string, value: unknown) => string
  readonly integer: (option: string, value: unknown, min: number, max?: number) => number
  /** A finite number, whole or not. */
  readonly number: (option: string, value: unknown, min: number, max?: number) => number
  readonly port: (option: string, value: unknown) => number
  /** A finite duration of at least `min` (0 unless told). */
  readonly duration: (option: string, value: Duration.Input, min?: Duration.Input) => Duration.Duration
  /** Whole bytes of a size, such as `1048576` or `"1 MB"`, of at least `min`, which is written as one, too. */
  readonly bytes: (option: string, value: unknown, min?: Bytes.Input) => number
  readonly boolean: (option: string, value: unknown) => boolean
  /**
   * A URL of one of these protocols, such as `https:`, that says what it means: no white space around it, no port 0, no
   * number as its host. One with credentials is refused, and not shown, nor is a query.
   */
  readonly url: (option: string, value: unknown, protocols: readonly [string, ...ReadonlyArray<string>]) => URL
  readonly httpUrl: (option: string, value: unknown) => URL
  /** A host name, which does not end in a number, or an IP address, as they stand in a URL but without brackets. */
  readonly host: (option: string, value: unknown) => string
  /** A regular expression, or the text of one; not the empty one, which matches everything. */
  readonly pattern: (option: string, value: unknown) => RegExp
  readonly oneOf: <const A extends string>(option: string, value: unknown, allowed: ReadonlyArray<A>) => A
  /**
   * Refuses what is not a plain object, and keys that are not known: a misspelt option must not be ignored in silence.
   * The prefix of nested options ends with a dot.
   */
  readonly known: (value: unknown, keys: ReadonlyArray<string>, prefix?: string) => void
}

/**
 * Makes the checks that a module's constructors use.
 *
 * @category constructors
 * @since 0.1.0
 */
export const checks = (module: string): Checks => {
  const fail = (option: string, value: unknown, expected: string): never => {
    throw new OptionError(module, option, value, expected)
  }
  const integer = (option: string, value: unknown, min: number, max = Number.MAX_SAFE_INTEGER): number =>
    typeof value === "number" && Number.isInteger(value) && value >= min && value <= max
      ? value
      : fail(
          option,
          value,
          max === Number.MAX_SAFE_INTEGER ? `an integer of at least ${min}` : `an integer from ${min} to ${max}`
        )
  const url: Checks["url"] = (option, value, protocols) => {
    const schemes = protocols.map((protocol) => `${protocol}//`)
    const expected = `a URL that begins with ${schemes.join(" or ")}`
    const parsed = typeof value === "string" && URL.canParse(value) ? new URL(value) : undefined
    // A password with a `/` or `#` in it makes a URL that cannot be parsed: it must not get into the error either.
    const hasCredentials =
      parsed === undefined ? typeof value === "string" && value.includes("@") : parsed.username + parsed.password !== ""
    if (hasCredentials) return fail(option, Redacted.make(value), `${expected}, without credentials`)
    return parsed !== undefined && protocols.includes(parsed.protocol) && isWritten(String(value), parsed)
      ? parsed
      : fail(option, withoutSecrets(value), expected)
  }
  return {
    fail,
    integer,
    number: (option, value, min, max = Number.MAX_VALUE) =>
      typeof value === "number" && Number.isFinite(value) && value >= min && value <= max
        ? value
        : fail(
            option,
            value,
            max === Number.MAX_VALUE ? `a number of at least ${min}` : `a number from ${min} to ${max}`
          ),
    port: (option, value) => integer(option, value, 1, 65535),
    nonEmptyString: (option, value) =>
      typeof value === "string" && value.length > 0 ? value : fail(option, value, "a non-empty string"),
    duration: (option, value, min = 0) => {
      const duration = isMeant(value) ? Option.filter(Duration.fromInput(value), Duration.isFinite) : Option.none()
      const least = Duration.fromInputUnsafe(min)
      if (Option.isNone(duration) || Duration.isLessThan(duration.value, least)) {
        return fail(option, value, `a finite duration of at least ${Duration.format(least)}`)
      }
      return duration.value
    },
    bytes: (option, value, min = 0) => {
      const bytes = Bytes.fromInput(value)
      return bytes !== undefined && bytes >= (Bytes.fromInput(min) ?? 0)
        ? bytes
        : fail(option, value, `a size of at least ${min}, in bytes or as "512 MB"`)
    },
    boolean: (option, value) => (typeof value === "boolean" ? value : fail(option, value, "true or false")),
    url,
    httpUrl: (option, value) => url(option, value, ["http:", "https:"]),
    host: (option, value) =>
      typeof value === "string" && (Net.isIP(value) !== 0 || isHostName(value))
        ? value
        : fail(option, value, "a host name or an IP address, without scheme, port or brackets"),
    pattern: (option, value) => {
      const expected = "a regular expression, or the text of one"
      if (value instanceof RegExp) return isEmpty(value) ? fail(option, value, expected) : value
      if (typeof value !== "string" || value === "") return fail(option, value, expected)
      try {
        return new RegExp(value)
      } catch (cause) {
        return fail(option, value, `${expected}: ${String(cause)}`)
      }
    },
    oneOf: (option, value, allowed) =>
      allowed.find((one) => one === value) ?? fail(option, value, `one of ${allowed.join(", ")}`),
    known: (value, keys, prefix = "") => {
      if (!isPlain(value)) return fail(prefix.replace(/\.$/, "") || "options", withoutText(value), "an object")
      for (const key of Object.keys(value)) {
        if (!keys.includes(key))
          fail(prefix + key, withoutText(Reflect.get(value, key)), `no such option; known are ${keys.join(", ")}`)
      }
    }
  }
}
