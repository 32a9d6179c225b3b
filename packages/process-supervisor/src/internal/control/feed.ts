/** Lines to one reader who may be slow: what it cannot take waits, within a bound, and the oldest of it is lost and counted. */
import type * as Http from "node:http"

import type * as Wire from "./wire.ts"

/** UTF-16 units that wait for one reader, besides what its socket holds. */
const mostWaiting = 1_048_576

const shownLost = (count: number): string => {
  const notice: typeof Wire.Notice.Type = { _tag: "Lost", count }
  return `${JSON.stringify(notice)}\n`
}

/** Takes lines, each with its newline; call `end` after the last. */
export interface Feed {
  readonly push: (line: string) => void
  readonly end: () => void
}

export const make = (response: Http.ServerResponse): Feed => {
  let waiting: Array<string> = []
  let first = 0
  let size = 0
  let lost = 0
  let isFull = false
  let isEnding = false

  const flush = (): void => {
    isFull = false
    if (lost > 0) {
      isFull = !response.write(shownLost(lost))
      lost = 0
    }
    while (!isFull && first < waiting.length) {
      const line = waiting[first] ?? ""
      first += 1
      size -= line.length
      isFull = !response.write(line)
    }
    if (first === waiting.length || first > 4096) {
      waiting = waiting.slice(first)
      first = 0
    }
    if (isEnding && first === waiting.length) response.end()
  }
  response.on("drain", flush)

  return {
    push: (line) => {
      if (!isFull) {
        isFull = !response.write(line)
        return
      }
      waiting.push(line)
      size += line.length
      while (size > mostWaiting) {
        size -= waiting[first]?.length ?? 0
        first += 1
        lost += 1
      }
      if (first > 4096) {
        waiting = waiting.slice(first)
        first = 0
      }
    },
    end: () => {
      isEnding = true
      if (!isFull) flush()
    }
  }
}
