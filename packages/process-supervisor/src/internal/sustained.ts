/**
 * Whether a measure has been above its limit for longer than it may.
 *
 * With hysteresis: time counts from the first look above the limit, and goes on counting while the measure is in the band
 * just below it, where a program that collects its garbage hovers; one look below the band, and it starts anew. What
 * decides at the end is a look above the limit itself.
 *
 * Only time that was looked at counts. Between two looks it is at most `longestGap`: a machine that slept, or a
 * supervisor that was held up, has not seen the measure stay above.
 */

export interface Rule {
  readonly limit: number
  /** Milliseconds for which it may be above; 0 decides at the first look. */
  readonly sustain: number
  /** Milliseconds between two looks that count, at most. */
  readonly longestGap: number
}

/** The share of the limit at which the band begins. */
const band = 0.95

/** `undefined` while it is not above. */
export type State =
  | {
      /** Milliseconds that it was seen above. */
      readonly above: number
      /** Of the last look, in monotonic milliseconds. */
      readonly at: number
    }
  | undefined

export interface Step {
  readonly state: State
  readonly isBreached: boolean
}

export const step = ({ limit, longestGap, sustain }: Rule, before: State, value: number, now: number): Step => {
  if (before === undefined ? value <= limit : value < limit * band) return { state: undefined, isBreached: false }
  const gap = before === undefined ? 0 : Math.min(Math.max(0, now - before.at), longestGap)
  const above = (before?.above ?? 0) + gap
  return { state: { above, at: now }, isBreached: value > limit && above >= sustain }
}
