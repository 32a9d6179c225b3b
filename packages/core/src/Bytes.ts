/**
 * Sizes as people write them: `"512 MB"`, `"1.5G"`, or a number of bytes.
 *
 * Each unit is 1024 of the one before, however it is written: `kB`, `K` and `KiB` are one and the same. So do the
 * kernel's control groups, V8's `--max-old-space-size` and PM2's `max_memory_restart` count; a limit that was carried
 * over from one of them means what it meant there.
 *
 * @since 0.1.0
 */

/**
 * Bytes, or a text such as `"50 MB"`.
 *
 * @category models
 * @since 0.1.0
 */
export type Input = number | string

const exponents: Record<string, number> = { "": 0, k: 1, m: 2, g: 3, t: 4 }

/** Digits are bounded, so that no text takes long to refuse. */
const pattern = /^(\d{1,16}(?:\.\d{1,16})?) ?([kmgt]?)(?:i?b)?$/i

/**
 * Whole bytes; `undefined` for what is no size, is negative, or is more than a number holds exactly. Upper and lower case
 * are the same, and a space before the unit is optional.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromInput = (input: unknown): number | undefined => {
  if (typeof input === "number") return Number.isSafeInteger(input) && input >= 0 ? input : undefined
  const [, amount, unit = ""] = typeof input === "string" ? (pattern.exec(input) ?? []) : []
  const bytes = Math.round(Number(amount) * 1024 ** (exponents[unit.toLowerCase()] ?? Number.NaN))
  return Number.isSafeInteger(bytes) ? bytes : undefined
}
