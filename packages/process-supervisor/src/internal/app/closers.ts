/**
 * Pools and the like, which are closed when the last request is answered.
 */
import type { Checks } from "@nexobot/core/Options"

import { type AppTimers, settles } from "./timers.ts"

/** The first of these that a thing has ends it and waits; that of some, `end` or `disconnect`, would be abrupt. */
const methods = [Symbol.asyncDispose, "quit", "close", "end", "$disconnect", "disconnect", "destroy"] as const

/** A function, or what has such a method, as clients of Redis, Postgres, MySQL, MongoDB and Prisma do. */
export type Closable =
  | (() => unknown)
  | { readonly [Symbol.asyncDispose]: () => unknown }
  | { readonly [M in Extract<(typeof methods)[number], string>]: { readonly [N in M]: () => unknown } }[Extract<
      (typeof methods)[number],
      string
    >]

export interface Closer {
  /** As in `close[1] (Redis)`. */
  readonly name: string
  readonly close: () => unknown
}

/** What did not close: it threw, or it was given up. */
export interface NotClosed {
  readonly name: string
  readonly why: "Failed" | "TimedOut"
  /** What it threw. */
  readonly cause?: unknown
}

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null

export const closerOf = (checks: Checks, value: unknown, index: number): Closer => {
  const option = `close[${index}]`
  if (typeof value === "function") {
    const label = value.name === "" ? "" : ` (${value.name})`
    return { name: option + label, close: () => Reflect.apply(value, undefined, []) }
  }
  const method = isObject(value) ? methods.find((one) => typeof Reflect.get(value, one) === "function") : undefined
  if (!isObject(value) || method === undefined) {
    return checks.fail(option, value, `a function, or an object with one of ${methods.map(String).join(", ")}`)
  }
  const close: unknown = Reflect.get(value, method)
  const label = value.constructor?.name ?? ""
  return {
    name: label === "" || label === "Object" ? option : `${option} (${label})`,
    close: () => (typeof close === "function" ? Reflect.apply(close, value, []) : undefined)
  }
}

const closed = async (timers: AppTimers, millis: number, { close, name }: Closer): Promise<NotClosed | undefined> => {
  let failure: NotClosed | undefined
  // An async function, so that a throw is a rejection too.
  const closing = (async () => close())().catch((cause: unknown) => {
    failure = { name, why: "Failed", cause }
  })
  return (await settles(timers, millis, closing)) ? failure : { name, why: "TimedOut" }
}

/** One after the other, each with so much time, and whatever became of those before. */
export const closeAll = async (
  timers: AppTimers,
  millis: number,
  closers: ReadonlyArray<Closer>
): Promise<ReadonlyArray<NotClosed>> => {
  const failures: Array<NotClosed> = []
  for (const closer of closers) {
    const failure = await closed(timers, millis, closer) // oxlint-disable-line no-await-in-loop -- in order
    if (failure !== undefined) failures.push(failure)
  }
  return failures
}
