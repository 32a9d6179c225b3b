/**
 * What becomes of the output of one stream on its way to the file: filtered, limited, put into the format. Plain code,
 * as it runs for every chunk.
 */
import type { Amount, LogSettings } from "../../ProcessLog.ts"
import type { Backlog } from "./backlog.ts"
import { Joiner, Lines, textOf } from "./lines.ts"

export interface Times {
  /** Milliseconds of the wall clock. */
  readonly now: () => number
  /** Milliseconds of the monotonic clock. */
  readonly monotonic: () => number
}

export interface Editor {
  readonly push: (chunk: Buffer) => void
  /** What may still be continued is not: nothing came for a while. */
  readonly settle: () => void
  /** The stream ended. */
  readonly end: () => void
  /** Bytes of lines that have not ended. */
  readonly held: () => number
}

const plural = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`

/** A line of our own in a file of lines; a raw file has none. */
export const note = (process: string, format: LogSettings["format"], at: number, text: string): Buffer | undefined => {
  const time = new Date(at).toISOString()
  switch (format) {
    case "raw":
      return undefined
    case "prefixed":
      return Buffer.from(`${time} ${process} note: ${text}\n`)
    case "json":
      return Buffer.from(`${JSON.stringify({ time, process, note: text })}\n`)
  }
}

export const describeLoss = (lost: Amount, why: string): string =>
  `${plural(lost.bytes, "byte")}${lost.lines === 0 ? "" : ` (${plural(lost.lines, "line")})`} of output lost here: ${why}`

/** Counts lines of one window after the other. What begins within the limit is whole, as a stack trace. */
const makeLimit = (limit: NonNullable<LogSettings["rateLimit"]>, monotonic: () => number, per: number) => {
  let since = monotonic()
  let count = 0
  let lost = { bytes: 0, lines: 0 }
  return {
    /** What was lost in the window that is over. */
    turn: (isEnd = false): Amount | undefined => {
      const now = monotonic()
      if (!isEnd && now - since < per) return undefined
      since = now
      count = 0
      const before = lost
      lost = { bytes: 0, lines: 0 }
      return before.lines === 0 ? undefined : before
    },
    takes: (bytes: number, lines: number): boolean => {
      if (count < limit.lines) {
        count += lines
        return true
      }
      lost = { bytes: lost.bytes + bytes, lines: lost.lines + lines }
      return false
    }
  }
}

/** Chunks as they are. */
const makeRaw = (backlog: Backlog): Editor => ({
  push: (chunk) => backlog.offer(chunk, chunk.length, 0, true),
  settle: () => {},
  end: () => {},
  held: () => 0
})

/** A line as it came, byte for character, so that bytes that are no UTF-8 stay what they are. */
interface Line {
  readonly bytes: string
  readonly length: number
}

export const makeEditor = (
  process: string,
  stream: "stdout" | "stderr",
  settings: LogSettings,
  perMillis: number,
  backlog: Backlog,
  times: Times
): Editor => {
  const { drop, format, multiline, only, rateLimit } = settings
  const hasFilters = drop.length > 0 || only.length > 0
  if (format === "raw" && !hasFilters && rateLimit === undefined) return makeRaw(backlog)
  const needsText = hasFilters || multiline !== undefined || format === "json"
  const limit = rateLimit === undefined ? undefined : makeLimit(rateLimit, times.monotonic, perMillis)
  const encoding = format === "json" ? "utf8" : "latin1"
  // In the same encoding as the lines: its bytes, one per character.
  const from = Buffer.from(`${process} ${stream}`).toString("latin1")
  const jsonFrom = `,"process":${JSON.stringify(process)},"stream":"${stream}","text":`

  const lines = new Lines()
  let joined = 0
  let out = ""
  let outSource = 0
  let outLines = 0
  let time = ""
  let stamp = Number.NaN

  const flush = (): void => {
    if (outSource === 0) return
    const [data, source, count] = [Buffer.from(out, encoding), outSource, outLines]
    out = ""
    outSource = 0
    outLines = 0
    backlog.offer(data, source, count, false)
  }

  const keeps = (text: string): boolean =>
    !drop.some((one) => one.test(text)) && (only.length === 0 || only.some((one) => one.test(text)))

  const formatted = (text: string, parts: ReadonlyArray<{ readonly of: Line }>): string => {
    const bytes = parts.length === 1 ? (parts[0]?.of.bytes ?? "") : parts.map(({ of }) => of.bytes).join("")
    switch (format) {
      case "raw":
        return bytes
      case "prefixed":
        return `${time} ${from} | ${bytes}${bytes.endsWith("\n") ? "" : "\n"}`
      case "json":
        return `{"time":"${time}"${jsonFrom}${JSON.stringify(text)}}\n`
    }
  }

  const joiner = new Joiner<Line>(multiline, (parts) => {
    let length = 0
    for (const { of } of parts) length += of.length
    joined -= length
    const text = parts.length === 1 ? (parts[0]?.text ?? "") : parts.map((part) => part.text).join("\n")
    if (hasFilters && !keeps(text)) {
      backlog.filtered.bytes += length
      backlog.filtered.lines += parts.length
      return
    }
    const over = limit?.turn()
    if (over !== undefined) tell(over)
    if (limit?.takes(length, parts.length) === false) {
      backlog.refuse(length, parts.length)
      return
    }
    out += formatted(text, parts)
    outSource += length
    outLines += parts.length
  })

  const tell = (lost: Amount): void => {
    flush()
    const data = note(process, format, times.now(), describeLoss(lost, "more than its rate limit allows"))
    if (data !== undefined) backlog.offer(data, 0, 0, false)
  }

  const onLine = (data: Buffer, start: number, end: number): void => {
    joined += end - start
    // A filter is asked about text; where there is none, the bytes are all that is needed.
    joiner.push(needsText ? textOf(data, start, end) : "", {
      bytes: format === "json" ? "" : data.toString("latin1", start, end),
      length: end - start
    })
  }

  const begin = (): void => {
    const now = times.now()
    if (now === stamp) return
    stamp = now
    time = new Date(now).toISOString()
  }

  return {
    push: (chunk) => {
      begin()
      lines.push(chunk, onLine)
      flush()
    },
    settle: () => {
      begin()
      joiner.flush()
      flush()
    },
    end: () => {
      begin()
      lines.end(onLine)
      joiner.flush()
      const over = limit?.turn(true)
      if (over !== undefined) tell(over)
      flush()
    },
    held: () => lines.held + joined
  }
}
