import * as Fs from "node:fs/promises"
import * as Net from "node:net"

/** The stack as a stranger sees it: replies, pids, owners of ports and locks. Nothing here asks the recovery loop. */
import * as PortOwner from "@nexobot/core/PortOwner"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"

const patience = "1 second"

/** Whether the bot greets back. */
export const greets = (port: number, token: Redacted.Redacted): Effect.Effect<boolean> =>
  Effect.tryPromise((signal) =>
    fetch(`http://127.0.0.1:${port}/message`, {
      method: "POST",
      headers: { authorization: `Bearer ${Redacted.value(token)}`, connection: "close" },
      body: JSON.stringify({ message: "Hola" }),
      signal
    }).then(async (response) => response.status === 200 && (await response.text()).includes("Hola"))
  ).pipe(
    Effect.timeout(patience),
    Effect.orElseSucceed(() => false)
  )

/** The status of the answer; `undefined` when there is none. */
export const httpStatus = (url: string): Effect.Effect<number | undefined> =>
  Effect.tryPromise((signal) =>
    fetch(url, { headers: { connection: "close" }, signal }).then((response) =>
      response.body === null ? response.status : response.body.cancel().then(() => response.status)
    )
  ).pipe(
    Effect.timeout(patience),
    Effect.orElseSucceed(() => undefined)
  )

/** One inline command to Redis; the whole reply, or `undefined`. */
export const redis = (port: number, command: string): Effect.Effect<string | undefined> =>
  Effect.callback<string | undefined>((resume) => {
    let reply = ""
    const socket = Net.connect({ host: "127.0.0.1", port })
    socket.setEncoding("utf8")
    socket.on("connect", () => socket.write(`${command}\r\nQUIT\r\n`))
    socket.on("data", (text: string) => {
      reply += text
    })
    socket.on("error", () => resume(Effect.undefined))
    socket.on("close", () => resume(Effect.succeed(reply)))
    return Effect.sync(() => socket.destroy())
  }).pipe(
    Effect.timeout(patience),
    Effect.orElseSucceed(() => undefined)
  )

/** Pids that have a listening socket of the port. */
export const portOwners = (port: number): Effect.Effect<ReadonlyArray<number>> =>
  PortOwner.find(port).pipe(
    Effect.map((found) => found.holders.map((holder) => holder.pid)),
    Effect.orDie
  )

/** The pid in a lock file; `undefined` when there is no file, or it names nobody. */
export const lockOwner = (path: string): Effect.Effect<number | undefined> =>
  Effect.tryPromise(() => Fs.readFile(path, "utf8")).pipe(
    Effect.map((text) => Number(/"pid":\s*(\d+)/.exec(text)?.[1])),
    Effect.map((pid) => (Number.isInteger(pid) ? pid : undefined)),
    Effect.orElseSucceed(() => undefined)
  )

export const isAlive = (identity: ProcessIdentity.ProcessIdentity): Effect.Effect<boolean> =>
  Effect.orDie(ProcessIdentity.isAlive(identity))
