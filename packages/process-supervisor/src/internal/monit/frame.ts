/** The picture of a model: lines of painted text, for a terminal of a size. */
import type { ProcessStatus } from "@nexobot/core/ProcessControl"

import * as Phrases from "../terminal/phrases.ts"
import { cut, fit, plain, width } from "../terminal/text.ts"
import type { Line, Model } from "./model.ts"

export interface Segment {
  readonly text: string
  readonly color?: "green" | "yellow" | "red" | "gray" | "cyan"
  readonly bold?: boolean
  readonly inverse?: boolean
}

export interface Size {
  readonly columns: number
  readonly rows: number
}

const eighths = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]

/** A bar of so many columns, in steps of an eighth; what is not nothing is seen. */
export const bar = (share: number, columns: number): string => {
  const bounded = Number.isFinite(share) ? Math.min(1, Math.max(0, share)) : 0
  const steps = bounded === 0 ? 0 : Math.max(1, Math.round(bounded * columns * 8))
  return fit("█".repeat(Math.floor(steps / 8)) + (eighths[steps % 8] ?? ""), columns)
}

const heat = (share: number): "green" | "yellow" | "red" => (share < 0.6 ? "green" : share < 0.85 ? "yellow" : "red")

interface Context {
  readonly model: Model
  readonly largest: number
  readonly barColumns: number
  readonly exitColumns: number
  readonly nameColumns: number
}

interface Column {
  readonly title: string
  readonly columns: number
  readonly align?: "left" | "right"
  readonly cell: (process: ProcessStatus) => ReadonlyArray<Segment>
}

const memoryText = (process: ProcessStatus, limit: number | undefined, withLimit: boolean): string => {
  if (process.memory === undefined) return "-"
  const used = Phrases.bytes(process.memory)
  return limit === undefined || !withLimit ? used : `${used} / ${Phrases.bytes(limit)}`
}

const columnsOf = ({ barColumns, exitColumns, largest, model, nameColumns }: Context): ReadonlyArray<Column> => {
  const isRoomy = barColumns > 5
  const memoryColumns = isRoomy ? 15 : 6
  return [
    { title: "NAME", columns: nameColumns, cell: ({ name }) => [{ text: fit(plain(name), nameColumns), bold: true }] },
    {
      title: "STATE",
      columns: 8,
      cell: ({ state }) => [{ text: fit(state.toLowerCase(), 8), color: Phrases.colour[state] }]
    },
    {
      title: "PID",
      columns: 7,
      align: "right",
      cell: ({ identity }) => [{ text: fit(String(identity?.pid ?? "-"), 7, "right") }]
    },
    {
      title: "UPTIME",
      columns: 7,
      align: "right",
      cell: ({ uptime }) => [{ text: fit(uptime === undefined ? "-" : Phrases.duration(uptime), 7, "right") }]
    },
    {
      title: "↻",
      columns: 3,
      align: "right",
      cell: ({ restarts }) => [{ text: fit(String(restarts), 3, "right"), color: restarts > 0 ? "yellow" : "gray" }]
    },
    {
      title: "CPU",
      columns: barColumns + 6,
      cell: ({ cpu }) => [
        { text: bar((cpu ?? 0) / 100, barColumns), color: heat((cpu ?? 0) / 100) },
        { text: fit(cpu === undefined ? "-" : `${Math.round(cpu)} %`, 6, "right") }
      ]
    },
    {
      title: "MEMORY",
      columns: barColumns + 1 + memoryColumns,
      cell: (process) => {
        const limit = model.memoryLimits.get(process.name)
        const share = (process.memory ?? 0) / (limit ?? largest)
        return [
          { text: bar(share, barColumns), color: limit === undefined ? "cyan" : heat(share) },
          { text: fit(` ${memoryText(process, limit, isRoomy)}`, memoryColumns + 1) }
        ]
      }
    },
    {
      title: "LAST EXIT",
      columns: exitColumns,
      cell: ({ lastExit }) => [
        { text: fit(lastExit === undefined ? "-" : Phrases.exit(lastExit), exitColumns), color: "gray" }
      ]
    }
  ]
}

/** As many columns as there is room for, from the left. */
const layout = (model: Model, columns: number): ReadonlyArray<Column> => {
  const names = model.processes.map(({ name }) => width(plain(name)))
  const isRoomy = columns >= 110
  const barColumns = isRoomy ? 10 : 5
  const taken = 2 + 9 + 8 + 8 + 4 + (barColumns + 7) + (barColumns + (isRoomy ? 17 : 8))
  const nameColumns = Math.min(24, Math.max(6, ...names), Math.max(6, columns - taken - 10))
  const exitColumns = Math.min(16, Math.max(9, columns - taken - nameColumns - 1))
  const largest = Math.max(1, ...model.processes.map(({ memory }) => memory ?? 0))
  let used = 2
  return columnsOf({ model, largest, barColumns, exitColumns, nameColumns }).filter((column, index) => {
    used += column.columns + (index === 0 ? 0 : 1)
    return used <= columns
  })
}

const blank: Segment = { text: " " }

const row = (columns: ReadonlyArray<Column>, process: ProcessStatus, isSelected: boolean): ReadonlyArray<Segment> => [
  isSelected ? { text: "▸ ", color: "cyan", bold: true } : { text: "  " },
  ...columns.flatMap(({ cell }, index) => (index === 0 ? cell(process) : [blank, ...cell(process)]))
]

const count = (model: Model): string => {
  const states = new Map<string, number>()
  for (const { state } of model.processes) states.set(state, (states.get(state) ?? 0) + 1)
  return [...states].map(([state, number]) => `${number} ${state.toLowerCase()}`).join(", ")
}

/** The part of a list that is shown: so many, the selected one among them. */
const windowOf = (length: number, selected: number, room: number): readonly [start: number, end: number] => {
  const start = Math.min(Math.max(0, selected - Math.floor(room / 2)), Math.max(0, length - room))
  return [start, Math.min(length, start + room)]
}

const logLine = ({ at, kind, text }: Line): ReadonlyArray<Segment> => {
  const stamp: Segment = { text: `${Phrases.clock(at)} `, color: "gray" }
  if (kind === "event") return [stamp, { text, color: "cyan" }]
  return kind === "stderr" ? [stamp, { text, color: "yellow" }] : [stamp, { text }]
}

/** What is wider than the terminal ends where it does. */
const clip = (line: ReadonlyArray<Segment>, columns: number): ReadonlyArray<Segment> => {
  let room = columns
  return line.flatMap((segment) => {
    const text = cut(segment.text, room)
    room -= width(text)
    return text === "" ? [] : [{ ...segment, text }]
  })
}

const keys = "↑↓ select  r restart  l reload  s stop/start  q quit"

/** Exactly `rows` lines, none wider than `columns`. */
export const frame = (model: Model, { columns, rows }: Size): ReadonlyArray<ReadonlyArray<Segment>> => {
  const table = layout(model, columns)
  const selected = Math.max(
    0,
    model.processes.findIndex(({ name }) => name === model.selected)
  )
  // Title, header, rule and footer; and at least as many lines of a log as processes.
  const room = Math.max(1, Math.min(model.processes.length, Math.ceil((rows - 4) / 2)))
  const [start, end] = windowOf(model.processes.length, selected, room)
  const shown = model.processes.slice(start, end)
  const more = shown.length < model.processes.length ? `  ${start + 1}–${end} of ${model.processes.length}` : ""
  const below = Math.max(0, rows - 4 - shown.length)
  const lines = (model.lines.get(model.selected ?? "") ?? []).slice(below === 0 ? Number.POSITIVE_INFINITY : -below)
  const rule = `── ${plain(model.selected ?? "no process")} ${model.lost > 0 ? `(${model.lost} lines lost) ` : ""}`
  const { message } = model
  const titles = table.map(({ align, columns: of, title }) => fit(title, of, align)).join(" ")
  const picture: ReadonlyArray<ReadonlyArray<Segment>> = [
    [{ text: cut(plain(model.id), 30), bold: true }, { text: `  ${count(model)}${more}` }],
    [{ text: `  ${titles}`, color: "gray" }],
    ...shown.map((process) => row(table, process, process.name === model.selected)),
    [{ text: rule + "─".repeat(Math.max(0, columns - width(rule))), color: "gray" }],
    ...lines.map(logLine),
    ...Array.from({ length: below - lines.length }, () => [blank]),
    [
      message === undefined
        ? { text: keys, color: "gray" }
        : { text: plain(message.text), color: message.isBad ? "red" : "green" }
    ]
  ]
  return picture.slice(0, rows).map((line) => clip(line, columns))
}
