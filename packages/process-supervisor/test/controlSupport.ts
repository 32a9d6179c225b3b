/** A supervisor of which only the answers are real, for what asks and tells one. */
import * as ProcessControl from "@nexobot/core/ProcessControl"
import type { ProcessExit } from "@nexobot/core/ProcessExit"
import type { Receipt } from "@nexobot/core/ProcessIdentity"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as Stream from "effect/Stream"

import type { Supervised } from "../src/ControlSocket.ts"
import type { LogLine } from "../src/ProcessLog.ts"
import type { SupervisorEvent } from "../src/SupervisorEvent.ts"

export const status = (
  name: string,
  more: Partial<ProcessControl.ProcessStatus> = {}
): ProcessControl.ProcessStatus => ({
  name,
  state: "Running",
  identity: { pid: 4242, startTime: 99, bootId: "boot" },
  uptime: Duration.seconds(125),
  restarts: 0,
  lastExit: undefined,
  startedBy: "request",
  memory: 50 * 1_048_576,
  cpu: 12.5,
  ...more
})

export const line = (process: string, text: string): LogLine => ({
  process,
  stream: "stdout",
  text,
  at: 1_700_000_000_000
})

export interface Fake {
  readonly supervised: Supervised
  /** What it was told, in order, as `restart backend`. */
  readonly told: Array<string>
  readonly set: (statuses: ReadonlyArray<ProcessControl.ProcessStatus>) => void
  readonly emit: (event: SupervisorEvent) => void
  readonly log: (line: LogLine) => void
  /** How many read its log lines now. */
  readonly readers: () => number
}

export interface FakeOptions {
  readonly id?: string
  readonly statuses?: ReadonlyArray<ProcessControl.ProcessStatus>
  readonly memoryLimits?: ReadonlyMap<string, number>
  /** In place of what an action does. */
  readonly onAction?: Effect.Effect<void, ProcessControl.ProcessControlError>
  readonly failReloadWith?: ProcessExit
}

const receipt: Receipt = {
  signalled: [{ pid: 4242, startTime: 99, bootId: "boot" }],
  escalated: [],
  survivors: []
}

export const make = Effect.fnUntraced(function* (options: FakeOptions = {}) {
  const hub = yield* PubSub.sliding<SupervisorEvent>({ capacity: 4096, replay: 256 })
  const lines = yield* PubSub.sliding<LogLine>({ capacity: 65_536 })
  let statuses = options.statuses ?? [status("backend"), status("frontend")]
  let readers = 0
  const told: Array<string> = []
  const unknown = (name: string) => {
    const known = statuses.map((one) => one.name)
    const reason = new ProcessControl.UnknownProcess({ known })
    return known.includes(name) ? undefined : new ProcessControl.ProcessControlError({ process: name, reason })
  }
  const act = (action: string) => (name: string) =>
    Effect.gen(function* () {
      const error = unknown(name)
      if (error !== undefined) return yield* error
      told.push(`${action} ${name}`)
      if (options.onAction !== undefined) yield* options.onAction
      return told.push(`${action} ${name} done`)
    })
  const logs = (name?: string) => {
    const error = name === undefined ? undefined : unknown(name)
    return error === undefined ? linesOf(name) : Stream.fail(error)
  }
  const linesOf = (name: string | undefined) =>
    Stream.fromPubSub(lines).pipe(
      Stream.filter(({ process }) => name === undefined || name === process),
      Stream.onStart(Effect.sync(() => (readers += 1))),
      Stream.ensuring(Effect.sync(() => (readers -= 1)))
    )
  const supervised: Supervised = {
    id: options.id ?? "codex",
    list: Effect.sync(() => statuses),
    start: (name) => Effect.asVoid(act("start")(name)),
    stop: (name) => Effect.as(act("stop")(name), receipt),
    stopAll: Effect.suspend(() =>
      Effect.map(
        Effect.partition(statuses.map((one) => one.name).toReversed(), (name) => act("stop")(name), {
          concurrency: "unbounded"
        }),
        ([done, failures]) => ({
          failures,
          receipt: { ...receipt, signalled: done.flatMap(() => receipt.signalled) }
        })
      )
    ),
    restart: (name) => Effect.asVoid(act("restart")(name)),
    reload: (name) => {
      const exit = options.failReloadWith
      if (exit === undefined) return Effect.asVoid(act("reload")(name))
      const reason = new ProcessControl.ReloadFailed({ exit })
      return Effect.fail(new ProcessControl.ProcessControlError({ process: name, reason }))
    },
    signal: (name, signal) => Effect.asVoid(act(`signal ${signal}`)(name)),
    events: Stream.fromPubSub(hub),
    logs,
    ...(options.memoryLimits === undefined ? {} : { memoryLimits: options.memoryLimits })
  }
  const fake: Fake = {
    supervised,
    told,
    set: (next) => void (statuses = next),
    emit: (event) => void PubSub.publishUnsafe(hub, event),
    log: (one) => void PubSub.publishUnsafe(lines, one),
    readers: () => readers
  }
  return fake
})
