import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert } from "@effect/vitest"
import * as PortOwner from "@nexobot/core/PortOwner"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { ProcessTable } from "@nexobot/core/ProcessTable"
import { reaches } from "@nexobot/testing/TestProcess"
import * as TestProcessTable from "@nexobot/testing/TestProcessTable"
import * as Effect from "effect/Effect"

/** Every file of a folder with its content. */
export const contentsOf = (folder: string): Record<string, string> =>
  Object.fromEntries(Fs.readdirSync(folder).map((name) => [name, Fs.readFileSync(Path.join(folder, name), "utf8")]))

/** Stops a process, and waits until it is. */
export const freeze = Effect.fnUntraced(function* (identity: ProcessIdentity.ProcessIdentity) {
  assert.isTrue(yield* ProcessIdentity.signal(identity, "SIGSTOP"))
  yield* reaches(identity.pid, "T")
})

export const isListened = (port: number) => Effect.map(PortOwner.find(port), ({ listening }) => listening)

/** A table that counts the signals asked of it. */
export const counting = Effect.gen(function* () {
  const table = yield* ProcessTable
  const sent: Array<string> = []
  const kill: ProcessTable["kill"] = (pid, signal) => {
    sent.push(`${signal} ${pid}`)
    return table.kill(pid, signal)
  }
  return { sent, table: TestProcessTable.answering({ kill }) }
})
