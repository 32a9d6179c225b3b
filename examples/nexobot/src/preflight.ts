/** What must hold before anything is started: the ports are free, or held by what an earlier run of ours left behind. */
import * as PortOwner from "@nexobot/core/PortOwner"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { ProcessTable } from "@nexobot/core/ProcessTable"
import * as Redaction from "@nexobot/core/Redaction"
import { Supervisor } from "@nexobot/process-supervisor"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** A port of the stack cannot be had. Nothing was started, and nothing of anybody else's was killed. */
export class PortTaken extends Schema.TaggedError<PortTaken>("nexobot/PortTaken")("PortTaken", {
  part: Schema.String,
  port: Schema.Int,
  owner: Schema.String
}) {
  override get message(): string {
    return (
      `port ${this.port} of ${this.part} is taken by ${this.owner}. ` +
      "Nothing was started and no stranger was killed: stop it, or give --config a file with another port."
    )
  }
}

const commandLimit = 200

/** What a stranger was started with may hold his secrets. */
const describe = Effect.fnUntraced(function* (pid: number) {
  const table = yield* ProcessTable
  const command = Redaction.make().text(yield* table.commandLine(pid))
  return `process ${pid}: ${command.slice(0, commandLimit)}`
})

export const freePorts = Effect.fnUntraced(function* (
  listeners: ReadonlyArray<{ readonly name: string; readonly port: number }>,
  supervisorId: string
) {
  const orphans: Array<{
    readonly part: string
    readonly port: number
    readonly holder: ProcessIdentity.ProcessIdentity
  }> = []
  for (const { name: part, port } of listeners) {
    const { holders, unseen } = yield* PortOwner.find(port)
    for (const holder of holders) {
      if (!(yield* Supervisor.isLeftBehind(supervisorId, holder))) {
        return yield* new PortTaken({ part, port, owner: yield* describe(holder.pid) })
      }
      orphans.push({ part, port, holder })
    }
    if (unseen > 0) return yield* new PortTaken({ part, port, owner: "a process of another user" })
  }
  // One may hold several ports.
  const holders = [...new Map(orphans.map(({ holder }) => [holder.pid, holder])).values()]
  const { survivors } = yield* ProcessIdentity.terminate(holders, { grace: "2 seconds" })
  const kept = orphans.find(({ holder }) => survivors.some((one) => ProcessIdentity.equals(one, holder)))
  if (kept !== undefined) {
    const pids = survivors.map((one) => one.pid).join(", ")
    const owner = `what an earlier run left behind and SIGKILL does not end: ${pids}`
    return yield* new PortTaken({ part: kept.part, port: kept.port, owner })
  }
})
