/** Puts the stack together and keeps it up until its scope closes. */
import { createHash, randomBytes } from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"

import { Console } from "@nexobot/console"
import * as DurableFile from "@nexobot/core/DurableFile"
import * as OwnerLock from "@nexobot/core/OwnerLock"
import * as Redaction from "@nexobot/core/Redaction"
import * as StateDirectory from "@nexobot/core/StateDirectory"
import { Supervisor } from "@nexobot/process-supervisor"
import { Recovery } from "@nexobot/recovery"
import { Binary } from "@nexobot/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

import * as Preflight from "./preflight.ts"
import type { Settings } from "./settings.ts"
import * as Stack from "./stack.ts"

const writeIfMissing = (file: string, content: string) =>
  Effect.promise(() =>
    Fs.access(file).then(
      () => true,
      () => false
    )
  ).pipe(Effect.flatMap((there) => (there ? Effect.void : DurableFile.replace(file, content))))

/** Kept in the state folder with mode 0600, so that a client of today works tomorrow. */
const tokenIn = Effect.fnUntraced(function* (file: string) {
  yield* writeIfMissing(file, `${randomBytes(32).toString("base64url")}\n`)
  const text = yield* Effect.promise(() => Fs.readFile(file, "utf8"))
  return Redacted.make(text.trim(), { label: Path.basename(file) })
})

/** The stack runs already on this state folder. */
export class AlreadyRunning extends Schema.TaggedError<AlreadyRunning>("nexobot/AlreadyRunning")("AlreadyRunning", {
  pid: Schema.Int,
  folder: Schema.String
}) {
  override get message(): string {
    return (
      `the stack runs already, as process ${this.pid}, on the state folder ${this.folder}. ` +
      "Stop it, or set NEXO_STATE_DIR to another folder (and give --config a file with other ports)."
    )
  }
}

const trialFolder = (home: string) =>
  Effect.acquireRelease(
    Effect.promise(() => Fs.mkdtemp(Path.join(home, "trial-"))),
    (folder) => Effect.promise(() => Fs.rm(folder, { recursive: true, force: true }))
  )

/** Before anything is started: folder, lock, secrets, files, ports. */
export const prepare = Effect.fnUntraced(function* (
  settings: Settings,
  options: {
    /** `false`: nothing that ends is put back. */
    readonly recovery: boolean
    /** Keeps its state in a folder of its own, removed at the end: what is only tried leaves no trace. */
    readonly trial: boolean
  }
) {
  const home = yield* StateDirectory.open
  yield* OwnerLock.take(Path.join(home, "stack.lock")).pipe(
    Effect.mapError((error) =>
      error._tag === "OwnerLockError" && error.reason._tag === "Held"
        ? new AlreadyRunning({ pid: error.reason.pid, folder: home })
        : error
    )
  )
  const stateDirectory = options.trial ? yield* trialFolder(home) : home
  const { recovery } = options
  const tokenFiles = {
    gateway: Path.join(stateDirectory, "gateway.token"),
    console: Path.join(stateDirectory, "console.token")
  }
  const tokens = { gateway: yield* tokenIn(tokenFiles.gateway), console: yield* tokenIn(tokenFiles.console) }
  const redisServer = Binary.find("redis-server")
  const stack = Stack.make({ settings, stateDirectory, gatewayToken: tokens.gateway, redisServer, recovery })
  const supervisorId = `nexobot-${createHash("sha256").update(home).digest("hex").slice(0, 12)}`
  yield* Preflight.freePorts(stack.listeners, supervisorId)

  const { page, route } = Stack.homeRoute
  yield* writeIfMissing(
    stack.files.webUi,
    `${JSON.stringify({ routes: { [route]: page, "/auth": "auth" } }, undefined, 2)}\n`
  )
  if (redisServer !== undefined)
    yield* Effect.promise(() => Fs.mkdir(stack.files.redis, { recursive: true, mode: 0o700 }))
  return { settings, stateDirectory, stack, supervisorId, tokens, tokenFiles }
})

export type Prepared = Effect.Success<ReturnType<typeof prepare>>

/** The processes alone: nothing is watched and nothing is put back. */
export const processes = ({ stack, supervisorId }: Prepared) => Supervisor.layer(stack.processes, { id: supervisorId })

/** The processes, the loop that watches them, and the console. Stopped in reverse order. */
export const whole = (prepared: Prepared) => {
  const { settings, stack, stateDirectory, tokens } = prepared
  const redacted = Layer.mergeAll(
    Layer.succeed(Redaction.Redactor, Redaction.make(Object.values(tokens))),
    Logger.layer([Redaction.logger(Logger.defaultLogger)])
  )
  const recovery = Recovery.layerFile(stack.components, {
    journal: Path.join(stateDirectory, "journal.log"),
    policy: settings.policy
  })
  return Console.layer({ port: settings.ports.console, token: tokens.console }).pipe(
    Layer.provideMerge(recovery),
    Layer.provideMerge(processes(prepared)),
    Layer.provide(redacted)
  )
}
