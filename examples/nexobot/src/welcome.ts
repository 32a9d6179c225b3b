/** What `npm start` says when the stack is up. */
import { Console } from "@nexobot/console"
import { ProcessControl } from "@nexobot/core/ProcessControl"
import { Recovery } from "@nexobot/recovery"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

import type { Prepared } from "./run.ts"
import { table } from "./table.ts"

/** Says what becomes of the components, line by line, for who has no dashboard open. */
export const narrate = (print: (text: string) => Effect.Effect<void>) =>
  Effect.gen(function* () {
    const { changes } = yield* Recovery.Recovery
    const said = new Map<string, string>()
    return yield* Stream.runForEach(changes, (states) =>
      Effect.forEach(
        states,
        ({ detail, name, since, status }) => {
          const worthSaying = ["Degraded", "Recovering", "Unhealthy", "Escalated", "Stopped"].includes(status)
          const before = said.get(name)
          if (before === status || (status !== "Healthy" && !worthSaying)) return Effect.void
          said.set(name, status)
          // That all is well at first needs no line.
          if (status === "Healthy" && before === undefined) return Effect.void
          return print(`${since.slice(11, 19)} ${name}: ${status}${detail === "" ? "" : ` – ${detail}`}`)
        },
        { discard: true }
      )
    )
  })

export const welcome = Effect.fnUntraced(function* ({ settings, stack, stateDirectory, tokenFiles }: Prepared) {
  const statuses = yield* ProcessControl.use((control) => control.list)
  const { address, dashboardUrl } = yield* Console.Console
  const rows = stack.listeners.map(({ name, port }) => {
    const status = statuses.find((one) => one.name === name)
    return [name, String(port), String(status?.identity?.pid ?? process.pid), status?.state ?? "Running"]
  })
  const gateway = statuses.find((one) => one.name === "gateway")?.identity?.pid ?? "<pid>"
  const noRedis = stack.listeners.some((one) => one.name === "redis")
    ? ""
    : "\nNo redis-server on the PATH: the stack runs without it (apt-get install redis-server).\n"
  return `
${table(["component", "port", "pid", "state"], rows)}
${noRedis}
Dashboard (the link opens once):
  ${yield* dashboardUrl}

Say something to the bot:
  curl -H "Authorization: Bearer $(cat ${tokenFiles.gateway})" -d '{"message":"Hola"}' http://127.0.0.1:${settings.ports.gateway}/message
Break it and watch it heal:
  kill -9 ${gateway}        or        kill -STOP ${gateway}
Ask the loop what it did:
  curl -H "Authorization: Bearer $(cat ${tokenFiles.console})" ${address}/api/system/auto-recovery

State and logs are in ${stateDirectory}. Ctrl-C stops everything.
`
})
