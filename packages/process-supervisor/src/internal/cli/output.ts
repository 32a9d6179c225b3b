/** Where the command writes: lines, painted only where somebody looks at them. */
import type { Writable } from "node:stream"
import { styleText } from "node:util"

import { json } from "../terminal/text.ts"

export interface Output {
  readonly line: (text: string) => void
  /** One value in one line. */
  readonly json: (value: unknown) => void
  readonly error: (text: string) => void
  readonly paint: (format: Paint) => (text: string) => string
  /** Columns of the terminal; 80 where there is none. */
  readonly columns: number
}

export type Paint = "green" | "yellow" | "red" | "gray" | "bold" | "cyan"

export const make = (stdout: Writable & { readonly columns?: number }, stderr: Writable): Output => ({
  line: (text) => void stdout.write(`${text}\n`),
  json: (value) => void stdout.write(`${json(value)}\n`),
  error: (text) => void stderr.write(`${text}\n`),
  // Looks at the stream, and at NO_COLOR and its like.
  paint: (format) => (text) => styleText(format, text, { stream: stdout }),
  columns: stdout.columns ?? 80
})
