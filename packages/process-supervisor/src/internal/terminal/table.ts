/** Rows under titles, in as many columns as there are. */
import { fit, width, wrap } from "./text.ts"

export interface Column {
  readonly title: string
  readonly align?: "left" | "right"
  /** Not wider than this. */
  readonly most?: number
}

/** A plain text, and how it is painted once it has its width. */
export type Cell = string | { readonly text: string; readonly paint: (text: string) => string }

const gap = "  "

const textOf = (cell: Cell | undefined): string => (typeof cell === "object" ? cell.text : (cell ?? ""))

const painted = (cell: Cell | undefined, text: string): string => (typeof cell === "object" ? cell.paint(text) : text)

/** The lines of a table: what the other columns leave is the last one's, which goes on in lines below. */
export const lines = (
  columns: ReadonlyArray<Column>,
  rows: ReadonlyArray<ReadonlyArray<Cell>>,
  room: number,
  head: (text: string) => string
): ReadonlyArray<string> => {
  const widths = columns.map(({ most = Number.POSITIVE_INFINITY, title }, index) =>
    Math.min(most, Math.max(width(title), ...rows.map((row) => width(textOf(row[index])))))
  )
  const last = columns.length - 1
  const before = widths.slice(0, last).reduce((sum, one) => sum + one + gap.length, 0)
  const rest = Math.max(10, room - before)

  const line = (row: ReadonlyArray<Cell>): ReadonlyArray<string> => {
    const start = columns
      .slice(0, last)
      .map(({ align = "left" }, index) => painted(row[index], fit(textOf(row[index]), widths[index] ?? 0, align)) + gap)
      .join("")
    const [first = "", ...more] = wrap(textOf(row[last]), rest)
    return [start + painted(row[last], first), ...more.map((text) => " ".repeat(before) + painted(row[last], text))]
  }
  return [line(columns.map(({ title }) => title)).map((text) => head(text.trimEnd())), rows.map(line)]
    .flat(2)
    .map((text) => text.trimEnd())
}
