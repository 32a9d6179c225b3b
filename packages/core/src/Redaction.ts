/**
 * Keeps secrets out of logs, journals, alerts, reports and answers.
 *
 * A redactor knows the secrets that were loaded, in their plain, URL, JSON, base64 and hexadecimal forms, and hides
 * besides what looks like a secret: values of telling key names, bearer tokens, keys of known providers, JSON web
 * tokens, private keys, passwords in URLs, numbers of payment cards.
 *
 * It takes time in proportion to the text, which may come from outside: one pass finds the words of which each secret
 * and each shape has one, and expressions are tried around these only.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Stream from "effect/Stream"

import * as ChunksOf from "./internal/redaction/chunks.ts"
import * as Engine from "./internal/redaction/engine.ts"
import type { Below } from "./internal/redaction/shapes.ts"
import * as Spans from "./internal/redaction/spans.ts"

/**
 * What stands in place of a secret.
 *
 * @category constants
 * @since 0.1.0
 */
export const mask = Spans.mask

/**
 * A redactor of one text that comes in pieces, cut anywhere. It gives out whole lines as they come and keeps back what
 * may turn out to be a part of a secret: about 1000 characters of a line that goes on, more only where a secret is
 * longer, or where a quoted value or a key file has begun and not ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface Chunks {
  /** Takes a piece; gives what can be told by now, redacted, which may be nothing. */
  readonly push: (chunk: string) => string
  /** The rest, at the end of the text. Another text may follow then. */
  readonly flush: () => string
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Redactor {
  readonly text: (text: string) => string
  /**
   * A copy that is safe to print: the same shape, with secrets masked, at any depth. Below a telling key every string
   * and number is masked; a number named `…tokens` is a count and stays.
   */
  readonly value: (value: unknown) => unknown
  /** For a text in pieces; a redactor without it, made by hand, has its texts redacted line by line. */
  readonly chunks?: () => Chunks
}

/** Deeper values are left out: whoever nests that deep does not mean to be read. */
const deepest = 50

/** So many keys are remembered, and no longer ones. */
const mostKeys = 1000
const longestKey = 64

/**
 * Makes a redactor for the secrets of a program; short ones are hidden too.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (secrets: ReadonlyArray<string | Redacted.Redacted> = []): Redactor => {
  const engine = Engine.make(secrets.map((secret) => (typeof secret === "string" ? secret : Redacted.value(secret))))
  const { text } = engine

  // Keys come again and again.
  const keys = new Map<string, readonly [shown: string, below: Below]>()
  const keyOf = (key: string): readonly [shown: string, below: Below] => {
    const known = keys.get(key)
    if (known !== undefined) return known
    const made = [text(key), engine.below(key)] as const
    if (keys.size < mostKeys && key.length <= longestKey) keys.set(key, made)
    return made
  }

  const pair = (key: unknown, item: unknown, hidden: Below, inside: ReadonlyArray<unknown>): [unknown, unknown] => {
    if (typeof key !== "string") return [walk(key, "nothing", inside), walk(item, hidden, inside)]
    const [shown, below] = keyOf(key)
    return [shown, walk(item, hidden === "all" || below === "nothing" ? hidden : below, inside)]
  }

  const walk = (value: unknown, hidden: Below, above: ReadonlyArray<unknown>): unknown => {
    if (typeof value === "string") return hidden === "nothing" || value === "" ? text(value) : mask
    if (typeof value === "number" || typeof value === "bigint") {
      const plain = String(value)
      return hidden === "all" || text(plain) !== plain ? mask : value
    }
    if (typeof value !== "object" || value === null) return value
    if (Redacted.isRedacted(value)) return mask
    if (above.includes(value)) return "<circular>"
    if (above.length >= deepest) return "<too deep>"
    const inside = [...above, value]
    if (Array.isArray(value)) return value.map((item) => walk(item, hidden, inside))
    if (value instanceof Date) return value
    if (value instanceof URL) return walk(value.href, hidden, inside)
    if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return "<binary>"
    if (value instanceof Map) return [...value].map(([key, item]) => pair(key, item, hidden, inside))
    if (value instanceof Set) return [...value].map((item) => walk(item, hidden, inside))
    const entries: Array<[string, unknown]> = Object.entries(value)
    if (value instanceof Error) {
      entries.unshift(["name", value.name], ["message", value.message])
      if (value.cause !== undefined) entries.push(["cause", value.cause])
      if (value instanceof AggregateError) entries.push(["errors", value.errors])
    }
    return Object.fromEntries(entries.map(([key, item]) => pair(key, item, hidden, inside)))
  }
  return { text, value: (value) => walk(value, "nothing", []), chunks: () => ChunksOf.make(engine) }
}

/**
 * The redactor in use; without one provided, only shapes and key names are hidden.
 *
 * @category services
 * @since 0.1.0
 */
export const Redactor: Context.Reference<Redactor> = Context.Reference<Redactor>("@nexobot/core/Redaction/Redactor", {
  defaultValue: () => make()
})

/**
 * Two redactors as one: the second sees what the first has left.
 *
 * @category combinators
 * @since 0.1.0
 */
export const andThen = (first: Redactor, second: Redactor): Redactor => ({
  text: (text) => second.text(first.text(text)),
  value: (value) => second.value(first.value(value)),
  chunks: () => {
    const [one, other] = [chunks(first), chunks(second)]
    return {
      push: (chunk) => other.push(one.push(chunk)),
      flush: () => other.push(one.flush()) + other.flush()
    }
  }
})

/** Line by line, for a redactor of which nothing else is known. */
const lines = ({ text }: Redactor): Chunks => {
  let kept = ""
  return {
    push: (chunk) => {
      const end = chunk.lastIndexOf("\n") + 1
      if (end === 0) {
        kept += chunk
        return ""
      }
      const whole = kept + chunk.slice(0, end)
      kept = chunk.slice(end)
      return text(whole)
    },
    flush: () => {
      const rest = kept
      kept = ""
      return text(rest)
    }
  }
}

/**
 * Redacts one text that comes in pieces, such as the output of a process. What is given out, put together, is what
 * `text` makes of the whole, wherever it was cut; no piece has a part of a known secret. Only where a line, a quoted
 * value or a key file goes on for more than 64 KB may a shape be missed that began there; known secrets are not.
 *
 * @category streams
 * @since 0.1.0
 */
export const chunks = (redactor: Redactor): Chunks => redactor.chunks?.() ?? lines(redactor)

/**
 * Redacts a stream of text, cut anywhere; see `chunks`. What was kept back comes at the end, also before a failure.
 *
 * @category streams
 * @since 0.1.0
 */
export const stream =
  (redactor: Redactor) =>
  <E, R>(texts: Stream.Stream<string, E, R>): Stream.Stream<string, E, R> =>
    Stream.suspend(() => {
      const { flush, push } = chunks(redactor)
      const rest = Stream.suspend(() => Stream.succeed(flush()))
      return texts.pipe(
        Stream.map(push),
        Stream.catchCause((cause) => Stream.concat(rest, Stream.failCause(cause))),
        Stream.concat(rest),
        Stream.filter((text) => text !== "")
      )
    })

/**
 * Redacts a stream of UTF-8, cut anywhere, also inside a character; see `chunks`. Bytes that are no UTF-8 come out as
 * the replacement character U+FFFD.
 *
 * @category streams
 * @since 0.1.0
 */
export const streamBytes =
  (redactor: Redactor) =>
  <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Uint8Array, E, R> =>
    Stream.suspend(() => {
      const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
      const rest = Stream.suspend(() => Stream.succeed(decoder.decode()))
      return bytes.pipe(
        Stream.map((chunk) => decoder.decode(chunk, { stream: true })),
        Stream.concat(rest),
        stream(redactor),
        Stream.encodeText
      )
    })

/** A copy of an error that is printed as the error is, without its secrets. */
const redactedError = (redactor: Redactor, error: unknown, depth = 0): unknown => {
  if (!(error instanceof Error)) return redactor.value(error)
  if (depth >= deepest) return new Error("<too deep>")
  const fields: unknown = redactor.value(Object.fromEntries(Object.entries(error)))
  const copy = new Error(redactor.text(error.message))
  const cause = error.cause === undefined ? {} : { cause: redactedError(redactor, error.cause, depth + 1) }
  return Object.assign(copy, fields, { name: error.name, stack: redactor.text(error.stack ?? "") }, cause)
}

const redactedCause = (redactor: Redactor, cause: Cause.Cause<unknown>): Cause.Cause<unknown> =>
  Cause.fromReasons(
    cause.reasons.map((reason) => {
      if (Cause.isInterruptReason(reason)) return reason
      const shown = Cause.isFailReason(reason)
        ? Cause.makeFailReason(redactedError(redactor, reason.error))
        : Cause.makeDieReason(redactedError(redactor, reason.defect))
      return shown.annotate(Cause.reasonAnnotations(reason))
    })
  )

/** The fiber as loggers see it: with annotations and spans that are redacted. */
const redactedFiber = (redactor: Redactor, fiber: Fiber.Fiber<unknown, unknown>): Fiber.Fiber<unknown, unknown> => {
  const annotations = fiber.getRef(References.CurrentLogAnnotations)
  const spans = fiber.getRef(References.CurrentLogSpans)
  if (spans.length === 0 && Object.keys(annotations).length === 0) return fiber
  const shown = Object.fromEntries(Object.entries(redactor.value({ ...annotations }) ?? {}))
  const context = fiber.context.pipe(
    Context.add(References.CurrentLogAnnotations, shown),
    Context.add(
      References.CurrentLogSpans,
      spans.map(([label, start]) => [redactor.text(label), start] as const)
    )
  )
  const getRef = <A>(reference: Context.Reference<A>): A => Context.get(context, reference)
  return Object.create(fiber, { context: { value: context }, getRef: { value: getRef } })
}

/**
 * A logger that gives another one only what is redacted: messages, annotations, spans, and causes with their errors. It
 * uses the `Redactor` of the fiber that logs.
 *
 * @category logging
 * @since 0.1.0
 */
export const logger = <Output>(inner: Logger.Logger<unknown, Output>): Logger.Logger<unknown, Output> =>
  Logger.make((options) => {
    const redactor = options.fiber.getRef(Redactor)
    const message = Array.isArray(options.message)
      ? options.message.map((one) => redactedError(redactor, one))
      : redactedError(redactor, options.message)
    return inner.log({
      ...options,
      message,
      cause: redactedCause(redactor, options.cause),
      fiber: redactedFiber(redactor, options.fiber)
    })
  })
