/**
 * Who looks at the output while it comes: listeners get each line as it is, subscribers get it redacted. Nothing is
 * decoded as long as there is nobody.
 */
import * as Redaction from "@nexobot/core/Redaction"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"

import type { LogLine } from "../../ProcessLog.ts"
import { Joiner, Lines, longestLine, textOf } from "./lines.ts"

type StreamName = LogLine["stream"]

/** Lines that a subscriber may be behind; then it misses the oldest. */
const mostBehind = 1024

const newline = 0x0a

/** The view of one stream of one life. */
export interface View {
  readonly push: (chunk: Buffer) => void
  readonly settle: () => void
  readonly end: () => void
}

export type Listeners = ReadonlySet<(line: LogLine) => void>

export interface Tail {
  readonly view: (stream: StreamName, listeners: Listeners) => View
  readonly lines: Stream.Stream<LogLine>
  /** Subscribers get no more. */
  readonly end: () => void
}

export const make = (
  process: string,
  multiline: RegExp | undefined,
  redactor: Redaction.Redactor,
  now: () => number
): Tail => {
  const subscribers = new Set<Queue.Queue<LogLine, Cause.Done>>()
  let hasEnded = false

  const view = (stream: StreamName, listeners: Listeners): View => {
    const lines = new Lines()
    let isLineStart = true
    let isFollowing = false
    let at = 0

    // Secrets such as keys go over several lines, so it is the text that is redacted and not each line.
    let redacted = Redaction.chunks(redactor)
    let rest = ""
    const joiner = new Joiner<undefined>(multiline, (parts) => {
      const line: LogLine = { process, stream, text: parts.map(({ text }) => text).join("\n"), at }
      for (const queue of subscribers) Queue.offerUnsafe(queue, line)
    })
    const inPieces = (line: string): void => {
      for (let start = 0; start === 0 || start < line.length; start += longestLine) {
        joiner.push(line.slice(start, start + longestLine), undefined)
      }
    }
    const publish = (text: string): void => {
      const shown = (rest + text).split("\n")
      rest = shown.pop() ?? ""
      for (const one of shown) inPieces(one)
      if (rest.length < longestLine) return
      inPieces(rest)
      rest = ""
    }

    const onLine = (data: Buffer, start: number, end: number): void => {
      if (listeners.size > 0) {
        const line: LogLine = { process, stream, text: textOf(data, start, end), at }
        for (const listener of listeners) listener(line)
      }
      if (subscribers.size === 0) return
      // Of a line that is longer, the next piece goes on where this one stops: there may be a secret.
      const isPiece = data[end - 1] !== newline
      publish(redacted.push(isPiece ? data.toString("utf8", start, end) : `${textOf(data, start, end)}\n`))
    }

    const settle = (): void => joiner.flush()
    const finish = (): void => {
      lines.end(onLine)
      publish(redacted.flush())
      if (rest !== "") publish("\n")
      joiner.flush()
      redacted = Redaction.chunks(redactor)
      isFollowing = false
    }

    return {
      push: (chunk) => {
        if (chunk.length === 0) return
        const startsLine = isLineStart
        isLineStart = chunk[chunk.length - 1] === newline
        if (listeners.size === 0 && subscribers.size === 0) {
          if (isFollowing) finish()
          return
        }
        at = now()
        if (isFollowing || startsLine) {
          isFollowing = true
          lines.push(chunk, onLine)
          return
        }
        // Whoever comes in the middle of a line begins with the next one.
        const start = chunk.indexOf(newline) + 1
        if (start === 0) return
        isFollowing = true
        if (start < chunk.length) lines.push(chunk.subarray(start), onLine)
      },
      settle,
      end: finish
    }
  }

  return {
    view,
    lines: Stream.callback<LogLine>(
      (queue) =>
        Effect.acquireRelease(
          Effect.sync(() => (hasEnded ? Queue.endUnsafe(queue) : subscribers.add(queue))),
          () => Effect.sync(() => subscribers.delete(queue))
        ),
      { bufferSize: mostBehind, strategy: "sliding" }
    ),
    end: () => {
      hasEnded = true
      for (const queue of subscribers) Queue.endUnsafe(queue)
    }
  }
}
