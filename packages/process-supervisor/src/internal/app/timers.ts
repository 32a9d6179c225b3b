/**
 * The time of a supervised app. Not Effect's clock: its runtime costs an app that has nothing else of it 18 MB.
 */
import * as Timers from "node:timers"

/** Ends the waiting; nothing is done then. */
export type Cancel = () => void

export interface AppTimers {
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Does it once. The process lives at least as long. */
  readonly after: (millis: number, work: () => void) => Cancel
  /** Does it again and again. The process does not live for that. */
  readonly every: (millis: number, work: () => void) => Cancel
  /** Does it when the events at hand have been dealt with. */
  readonly soon: (work: () => void) => void
}

export const node: AppTimers = {
  now: () => performance.now(),
  after: (millis, work) => {
    const timer = Timers.setTimeout(work, millis)
    return () => Timers.clearTimeout(timer)
  },
  every: (millis, work) => {
    const timer = Timers.setInterval(work, millis).unref()
    return () => Timers.clearInterval(timer)
  },
  soon: (work) => void Timers.setImmediate(work)
}

/** Whether it was settled in time, either way. The process lives until then. */
export const settles = (timers: AppTimers, millis: number, work: PromiseLike<unknown>): Promise<boolean> =>
  new Promise((resolve) => {
    const cancel = timers.after(millis, () => resolve(false))
    const settled = (): void => {
      cancel()
      resolve(true)
    }
    work.then(settled, settled)
  })

export const sleep = (timers: AppTimers, millis: number): Promise<void> =>
  millis > 0 ? new Promise((resolve) => void timers.after(millis, resolve)) : Promise.resolve()
