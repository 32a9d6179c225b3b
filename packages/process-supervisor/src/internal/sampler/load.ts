/** Percent of one core, as a mean over the last second or so. */

export interface Load {
  /** Takes what was used since the look before. `undefined` as long as a second was not watched. */
  readonly add: (now: number, spent: number) => number | undefined
}

/** Processor time is counted in hundredths of a second: over less than this it would be coarse. */
const window = 1000

/** Looks that are further apart than `longestGap` say nothing of the time between: the machine may have slept. */
export const make = (longestGap: () => number): Load => {
  let looks: Array<{ readonly at: number; readonly used: number }> = []
  let percent: number | undefined
  return {
    add: (now, spent) => {
      const last = looks.at(-1)
      if (last === undefined || now - last.at > longestGap()) {
        looks = [{ at: now, used: 0 }]
        return percent
      }
      const used = last.used + spent
      looks.push({ at: now, used })
      // The last one that is at least a window old is what we compare with.
      const first = looks.findLastIndex((look) => now - look.at >= window)
      if (first < 0) return percent
      looks = looks.slice(first)
      const [from] = looks
      if (from !== undefined) percent = ((used - from.used) / (now - from.at)) * 100
      return percent
    }
  }
}
