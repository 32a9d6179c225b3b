/**
 * What is told of a running process only by several looks, or by several processes.
 *
 * @since 0.1.0
 */
import { ProcessTable, type Unsupported } from "@nexobot/core/ProcessTable"
import * as Effect from "effect/Effect"

/**
 * For how many milliseconds, at least, one wait goes on: since the first of the looks that met it. `wait` names it, and
 * is `undefined` if there is none.
 */
export const makeWait = (): ((wait: string | undefined, now: number) => number) => {
  let met: { readonly wait: string; readonly since: number } | undefined
  return (wait, now) => {
    if (wait !== met?.wait) met = wait === undefined ? undefined : { wait, since: now }
    return met === undefined ? 0 : now - met.since
  }
}

/** Processor time is counted in hundredths of a second: over less, it would be coarse. */
const shortest = 1000

/**
 * How many processors a process used between two looks that are a second apart at least; the last figure until then,
 * `undefined` before there is one. Both are in milliseconds.
 */
export const makeLoad = (): ((process: string, cpu: number, now: number) => number | undefined) => {
  let before: { readonly process: string; readonly cpu: number; readonly at: number } | undefined
  let cores: number | undefined
  return (process, cpu, now) => {
    const isSame = before?.process === process
    if (!isSame) cores = undefined
    if (before === undefined || !isSame || now - before.at >= shortest) {
      if (before !== undefined && isSame) cores = Math.max(0, cpu - before.cpu) / (now - before.at)
      before = { process, cpu, at: now }
    }
    return cores
  }
}

/**
 * In bytes. Of several processes, what they share is counted once, except for those in `hidden`: what they share may not
 * be read, and is counted for each, so that the sum is more than they have.
 */
export const memoryOf = Effect.fnUntraced(function* (
  pids: ReadonlyArray<number>
): Effect.fn.Return<{ readonly memory: number; readonly hidden: ReadonlyArray<number> }, Unsupported> {
  const table = yield* ProcessTable
  const hidden: Array<number> = []
  let memory = 0
  for (const pid of pids) {
    const part = pids.length > 1 ? yield* table.proportionalMemory(pid) : undefined
    // Who has ended meanwhile has none.
    const whole = part ?? (yield* table.usage(pid))?.memory ?? 0
    if (pids.length > 1 && part === undefined && whole > 0) hidden.push(pid)
    memory += whole
  }
  return { memory, hidden }
})

/**
 * In milliseconds, since they started. Of a tree, also that of its members which have ended: their parents got it when
 * they asked for them.
 */
export const cpuOf = Effect.fnUntraced(function* (
  pids: ReadonlyArray<number>,
  ofTree: boolean
): Effect.fn.Return<number, Unsupported> {
  const table = yield* ProcessTable
  const each = yield* Effect.forEach(pids, table.usage)
  return each.reduce((sum, one) => sum + (one?.cpu ?? 0) + (ofTree ? (one?.reaped ?? 0) : 0), 0)
})
