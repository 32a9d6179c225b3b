/**
 * The mark that a supervised process, and whatever it starts, bears in its environment: whose process it is, and which
 * process supervised it. `<supervisor id>/<process name>/<supervisor's pid>.<supervisor's start time>`.
 *
 * No boot id: whoever bears a cookie was started in this boot, and so was his supervisor.
 */
import { isDead, ProcessTable } from "@nexobot/core/ProcessTable"
import * as Effect from "effect/Effect"

import { cookieVariable, lifeVariable } from "../ProcessSpec.ts"

export interface Cookie {
  readonly id: string
  readonly name: string
  /** The process in which the supervisor runs. */
  readonly supervisor: { readonly pid: number; readonly startTime: number }
}

export const format = ({ id, name, supervisor }: Cookie): string =>
  `${id}/${name}/${supervisor.pid}.${supervisor.startTime}`

/** Neither an id nor a name has a slash; the numbers are no longer than what a number holds exactly. */
const pattern = /^([^/]+)\/([^/]+)\/(\d{1,10})\.(\d{1,15})$/

export const parse = (text: string): Cookie | undefined => {
  const [, id, name, pid, startTime] = pattern.exec(text) ?? []
  if (id === undefined || name === undefined) return undefined
  return { id, name, supervisor: { pid: Number(pid), startTime: Number(startTime) } }
}

/** The cookie of whoever has this pid; `undefined` without one, and when it may not be read. */
export const of = Effect.fnUntraced(function* (pid: number): Effect.fn.Return<Cookie | undefined> {
  const table = yield* ProcessTable
  const text = yield* table.variable(pid, cookieVariable)
  return text === undefined ? undefined : parse(text)
})

/** Which life of its process it belongs to. */
export const lifeOf = Effect.fnUntraced(function* (pid: number): Effect.fn.Return<number | undefined> {
  const table = yield* ProcessTable
  const text = yield* table.variable(pid, lifeVariable)
  return text === undefined ? undefined : Number(text)
})

/** Whether its supervisor is proven dead. One that the platform hides is not. */
export const isAbandoned = Effect.fnUntraced(
  function* ({ supervisor }: Cookie) {
    const table = yield* ProcessTable
    const stat = yield* table.stat(supervisor.pid)
    return stat === undefined || isDead(stat) || stat.startTime !== supervisor.startTime
  },
  Effect.orElseSucceed(() => false)
)

/** Whether it is of this very supervisor, or of an earlier life of it. A living one with the same id is a stranger. */
export const isOurs = (cookie: Cookie, us: Pick<Cookie, "id" | "supervisor">): Effect.Effect<boolean> => {
  if (cookie.id !== us.id) return Effect.succeed(false)
  const { pid, startTime } = cookie.supervisor
  if (pid === us.supervisor.pid && startTime === us.supervisor.startTime) return Effect.succeed(true)
  return isAbandoned(cookie)
}
