/** One measured figure. `ratio` is ours divided by the peer's: below 1 means that ours is smaller. */
export interface Row {
  readonly suite: string
  readonly name: string
  readonly value: number
  readonly unit: string
  readonly peer: string | null
  readonly peerValue: number | null
  readonly ratio: number | null
  readonly target: string | null
  readonly ok: boolean | null
}

const rounded = (value: number): number => Number(value.toPrecision(4))

export const row = (options: {
  readonly suite: string
  readonly name: string
  readonly value: number
  readonly unit: string
  readonly peer?: string
  readonly peerValue?: number | undefined
  /** What is promised, and whether it was kept; not kept if it cannot be told. */
  readonly target?: { readonly text: string; readonly holds: (value: number, ratio: number | null) => boolean | null }
}): Row => {
  const { name, peer, peerValue, suite, target, unit, value } = options
  const ratio = peerValue === undefined ? null : rounded(value / peerValue)
  return {
    suite,
    name,
    value: rounded(value),
    unit,
    peer: peer ?? null,
    peerValue: peerValue === undefined ? null : rounded(peerValue),
    ratio,
    target: target?.text ?? null,
    ok: target?.holds(value, ratio) ?? null
  }
}

/** The value below which a share of the samples lies, by nearest rank. */
export const percentile = (samples: ReadonlyArray<number>, share: number): number => {
  const sorted = samples.toSorted((a, b) => a - b)
  const value = sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)]
  if (value === undefined) throw new Error("no samples")
  return value
}

export const median = (samples: ReadonlyArray<number>): number => percentile(samples, 0.5)

export const json = (rows: ReadonlyArray<Row>): string => rows.map((one) => `${JSON.stringify(one)}\n`).join("")

const verdict = (ok: boolean | null): string => (ok === null ? "" : ok ? "ok" : "MISSED")

export const table = (rows: ReadonlyArray<Row>): string => {
  const lines = [
    ["suite", "figure", "ours", "peer", "ours / peer", "target", ""],
    ...rows.map((one) => [
      one.suite,
      one.name,
      `${one.value} ${one.unit}`,
      one.peer === null
        ? ""
        : `${one.peer}: ${one.peerValue === null ? "not measured" : `${one.peerValue} ${one.unit}`}`,
      one.ratio === null ? "" : String(one.ratio),
      one.target ?? "",
      verdict(one.ok)
    ])
  ]
  const widths = (lines[0] ?? []).map((_, column) => Math.max(...lines.map((line) => (line[column] ?? "").length)))
  return lines
    .map(
      (line) =>
        `${line
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join("  ")
          .trimEnd()}\n`
    )
    .join("")
}
