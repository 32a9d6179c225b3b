import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"

import { child, eventually, fixture, temporaryFolder } from "./support.ts"

export interface Entry {
  readonly event: string
  readonly fence: number
  readonly pid: number
}

/** Processes that hold leases, and the log to which they all append. */
export const holders = Effect.gen(function* () {
  const log = Path.join(yield* temporaryFolder, "log")
  Fs.writeFileSync(log, "")
  const entries = (): ReadonlyArray<Entry> =>
    Fs.readFileSync(log, "utf8")
      .trim()
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => line.split(" "))
      .map(([event = "", fence, pid]) => ({ event, fence: Number(fence), pid: Number(pid) }))
  return {
    entries,
    start: (adapter: "redis" | "file", place: string, ttl: number, hold?: number) =>
      child([
        fixture("hold-lease.mjs"),
        adapter,
        place,
        `${ttl}`,
        "gateway",
        log,
        ...(hold === undefined ? [] : [`${hold}`])
      ]),
    /** The first entry after so many that is as wanted. */
    next: (what: string, after: number, is: (entry: Entry) => boolean) =>
      eventually(
        what,
        Effect.sync(() => entries().slice(after).find(is))
      )
  }
})

/** Nobody begins before the one before him has ended or knows that he lost it, and fences grow. */
export const assertExclusive = (entries: ReadonlyArray<Entry>): void => {
  let last = 0
  for (const [index, { event, fence }] of entries.entries()) {
    const before = entries[index - 1]
    const text = `${before?.event} ${before?.fence}, then ${event} ${fence}`
    if (event === "begin") {
      assert.notStrictEqual(before?.event, "begin", text)
      assert.isAbove(fence, last, text)
      last = fence
    } else {
      assert.strictEqual(before?.event, "begin", text)
      assert.strictEqual(before?.fence, fence, text)
    }
  }
}
