/** What became of each field of an ecosystem file, as a table. */
import type { Ecosystem, FieldReport } from "../../Ecosystem.ts"
import * as SelfWatching from "../../SelfWatching.ts"
import * as Table from "../terminal/table.ts"
import { plain, wrap } from "../terminal/text.ts"
import type { Output, Paint } from "./output.ts"

const columns: ReadonlyArray<Table.Column> = [
  { title: "APP", most: 14 },
  { title: "FIELD", most: 22 },
  { title: "OUTCOME" },
  { title: "WHAT IT BECOMES" }
]

const paints = { mapped: "green", changed: "yellow", refused: "red" } as const

const becomes = ({ to, value, why }: FieldReport): string =>
  plain([`${value}${to === undefined ? "" : ` → ${to}`}`, ...(why === undefined ? [] : [why])].join("; "))

/** How many fields came to what. */
export const summary = (report: ReadonlyArray<FieldReport>): string => {
  const count = (outcome: FieldReport["outcome"]) => report.filter((one) => one.outcome === outcome).length
  return `${report.length} fields: ${count("mapped")} mapped, ${count("changed")} changed, ${count("refused")} refused`
}

const table = (report: ReadonlyArray<FieldReport>, output: Output): void => {
  const rows = report.map((one): ReadonlyArray<Table.Cell> => [
    plain(one.app ?? "-"),
    plain(one.field),
    { text: one.outcome, paint: output.paint(paints[one.outcome]) },
    becomes(one)
  ])
  for (const line of Table.lines(columns, rows, output.columns, output.paint("bold"))) output.line(line)
}

/** All of it; or, `short`, only what differs from PM2. */
export const print = ({ defaults, report }: Ecosystem, output: Output, short = false): void => {
  const shown = short ? report.filter(({ outcome }) => outcome !== "mapped") : report
  if (shown.length > 0) table(shown, output)
  output.line(summary(report))
  if (!short && defaults.length > 0) {
    output.line(`\n${output.paint("bold")("Left out, with another default than PM2's:")}`)
    table(defaults, output)
  }
}

/** Of a program that watches files itself. */
export const warning = ({ app, replacement, watcher, where }: Ecosystem["selfWatching"][number]): string =>
  plain(`${app}: ${SelfWatching.advice({ replacement, watcher, where })}`)

/** Lines in a colour, as wide as the terminal. */
export const note = (text: string, paint: Paint, output: Output): void => {
  for (const line of wrap(plain(text), output.columns)) output.line(output.paint(paint)(line))
}
