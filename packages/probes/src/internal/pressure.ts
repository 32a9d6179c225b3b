/**
 * Pressure stall information: for which share of the time tasks waited for something that was short.
 *
 * @since 0.1.0
 */
import type { Checks } from "@nexobot/core/Options"

import { textOf } from "./kernelFiles.ts"

export const windows = ["avg10", "avg60", "avg300"] as const
export type Window = (typeof windows)[number]

export const kinds = ["full", "some"] as const
export type Kind = (typeof kinds)[number]

/** Shares of the time from 0 to 1, at least one of them. */
export interface PressureLimit {
  /** While at least one task waited, for example 0.2. */
  readonly some?: number
  /** While all tasks waited, for example 0.05. */
  readonly full?: number
  /** The last 10, 60 or 300 seconds; `avg10` unless told. */
  readonly window?: Window
}

export interface Limit {
  readonly full: number | undefined
  readonly some: number | undefined
  readonly window: Window
}

export const checkedLimit = (checks: Checks, option: string, limit: PressureLimit): Limit => {
  checks.known(limit, [...kinds, "window"], `${option}.`)
  if (limit.full === undefined && limit.some === undefined) checks.fail(option, limit, "some, full, or both")
  const share = (kind: Kind) =>
    limit[kind] === undefined ? undefined : checks.number(`${option}.${kind}`, limit[kind], 0.001, 1)
  return {
    full: share("full"),
    some: share("some"),
    window: checks.oneOf(`${option}.window`, limit.window ?? "avg10", windows)
  }
}

/** One share; `undefined` where there is none, as with `full` of the CPU on older kernels. */
export const shareIn = (text: string, kind: Kind, window: Window): number | undefined => {
  const line = text.split("\n").find((one) => one.startsWith(`${kind} `))
  const [, percent] = new RegExp(` ${window}=(\\d+(?:\\.\\d+)?)(?: |$)`).exec(line ?? "") ?? []
  return percent === undefined ? undefined : Number(percent) / 100
}

export interface Exceeded {
  readonly kind: Kind
  readonly window: Window
  readonly share: number
  readonly limit: number
}

/** What is above its limit, the worse kind first; `undefined` where nothing is and the kernel does not tell of all. */
export const exceeded = (file: string, limit: Limit): ReadonlyArray<Exceeded> | undefined => {
  const text = textOf(file)
  if (text === undefined) return undefined
  const found: Array<Exceeded> = []
  let isMissing = false
  for (const kind of kinds) {
    const most = limit[kind]
    if (most === undefined) continue
    const share = shareIn(text, kind, limit.window)
    if (share === undefined) isMissing = true
    else if (share > most) found.push({ kind, window: limit.window, share, limit: most })
  }
  return isMissing && found.length === 0 ? undefined : found
}

export const percent = (share: number): string => `${(share * 100).toFixed(1)} %`

/** What is shown of it. */
export const waited = ({ kind, share, window }: Exceeded, resource: string): string =>
  `${kind} tasks waited for ${resource} ${percent(share)} of the time (${window})`

export const untold = (file: string): string => `the kernel does not tell of the pressure asked for in ${file}`
