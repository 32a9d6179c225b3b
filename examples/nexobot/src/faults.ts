/** `npm start -- --faults`: breaks the running stack in one way after the other and measures how it heals. */
import * as Fs from "node:fs/promises"

import * as Monotonic from "@nexobot/core/Monotonic"
import { ProcessControl } from "@nexobot/core/ProcessControl"
import { Supervisor } from "@nexobot/process-supervisor"
import { Recovery, type Report } from "@nexobot/recovery"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"

import * as FaultList from "./faultList.ts"
import * as Outside from "./outside.ts"
import type { Prepared } from "./run.ts"
import { homeRoute } from "./stack.ts"
import { table } from "./table.ts"

export interface Row {
  readonly fault: string
  /** Milliseconds from the fault until the supervisor or the loop saw it. */
  readonly detectedMs: number | null
  /** Milliseconds from the fault until a stranger finds everything whole. */
  readonly healedMs: number | null
  readonly remedy: string | null
  /** From outside: a reply to `Hola`, a new pid, the owner of port and lock. */
  readonly verified: boolean
}

type LogEntry = typeof Report.RecoveryLogEntry.Type

interface Output {
  readonly json: boolean
  readonly print: (text: string) => Effect.Effect<void>
}

const poll = Schedule.spaced("20 millis")

const until = (condition: Effect.Effect<boolean>, within: `${number} seconds`) =>
  condition.pipe(
    Effect.repeat({ schedule: poll, until: (holds) => holds }),
    Effect.timeoutOption(within),
    Effect.map(Option.isSome)
  )

/** When the supervisor first noticed an exit, or the loop first doubted the component. */
const noticed = Effect.fnUntraced(function* (component: string, since: number) {
  const supervisor = yield* Supervisor.Supervisor
  const recovery = yield* Effect.serviceOption(Recovery.Recovery)
  const exit = supervisor.events.pipe(
    Stream.filter((event) => event._tag === "Exited" && event.name === component && event.monotonic >= since),
    Stream.mapEffect(() => Monotonic.millis)
  )
  const doubt = Option.match(recovery, {
    onNone: () => Stream.never,
    onSome: ({ changes }) =>
      changes.pipe(
        Stream.filter((states) =>
          states.some(
            ({ name, status }) =>
              name === component && ["Suspect", "Unhealthy", "Recovering", "Verifying"].includes(status)
          )
        ),
        Stream.mapEffect(() => Monotonic.millis)
      )
  })
  return yield* Stream.merge(exit, doubt).pipe(Stream.runHead, Effect.map(Option.getOrNull))
})

/** The rung that the loop verified, or else the supervisor's own restart. */
const remedyOf = Effect.fnUntraced(function* (component: string, before: LogEntry | undefined, since: number) {
  const recovery = yield* Effect.serviceOption(Recovery.Recovery)
  if (Option.isSome(recovery)) {
    const all = yield* recovery.value.log
    // The log is bounded: when the last entry from before has left it, everything in it is new.
    const log = all.slice(before === undefined ? 0 : all.lastIndexOf(before) + 1)
    const rung = log.findLast((entry) => entry.component === component && entry.success && entry.action !== "observe")
    if (rung !== undefined) return rung.action
  }
  const supervisor = yield* Supervisor.Supervisor
  const restarted = yield* supervisor.events.pipe(
    Stream.filter((event) => event._tag === "RestartDecided" && event.name === component && event.monotonic >= since),
    Stream.runHead,
    Effect.timeoutOption("100 millis")
  )
  return Option.isSome(Option.flatten(restarted)) ? "supervisor restart" : null
})

/** Until everything runs and the loop finds nothing wrong. */
const calm = Effect.gen(function* () {
  const control = yield* ProcessControl
  const recovery = yield* Effect.serviceOption(Recovery.Recovery)
  const running = Effect.map(control.list, (all) => all.every(({ state }) => state === "Running"))
  const well = Option.match(recovery, {
    onNone: () => running,
    onSome: ({ states }) =>
      Effect.map(states, (all) => all.every(({ status }) => status === "Healthy" || status === "Degraded"))
  })
  return yield* until(
    Effect.zipWith(running, well, (a, b) => a && b),
    "30 seconds"
  )
})

const round = (millis: number | null): number | null => (millis === null ? null : Math.round(millis))

const breakOnce = (fault: FaultList.Fault, patience: `${number} seconds`) =>
  Effect.gen(function* () {
    yield* calm
    const recovery = yield* Effect.serviceOption(Recovery.Recovery)
    const before = Option.isSome(recovery) ? (yield* recovery.value.log).at(-1) : undefined
    const start = yield* Monotonic.millis
    const notice = yield* Effect.forkScoped(noticed(fault.component, start))
    const healed = yield* fault.inject
    const injected = yield* Monotonic.millis
    const verified = yield* until(healed, patience)
    const healedMs = (yield* Monotonic.millis) - injected
    const settled = verified && (yield* calm)
    const detectedAt = notice.pollUnsafe()
    const detected = detectedAt?._tag === "Success" ? detectedAt.value : null
    const row: Row = {
      fault: fault.name,
      detectedMs: detected === null ? null : round(Math.max(0, detected - injected)),
      healedMs: verified ? round(healedMs) : null,
      remedy: settled ? yield* remedyOf(fault.component, before, start) : null,
      verified
    }
    return row
  }).pipe(Effect.scoped)

const cell = (value: number | null, unit = "ms") => (value === null ? "–" : `${value} ${unit}`)

const report = (rows: ReadonlyArray<Row>): string =>
  table(
    ["fault", "detected after", "healed after", "remedy", "verified"],
    rows.map((row) => [
      row.fault,
      cell(row.detectedMs),
      cell(row.healedMs),
      row.remedy ?? "–",
      row.verified ? "yes" : "NO"
    ])
  )

const run = Effect.fnUntraced(function* <R>(
  prepared: Prepared,
  { json, print }: Output,
  patience: `${number} seconds`,
  afterwards: (fault: FaultList.Fault) => Effect.Effect<void, unknown, R>
) {
  const { gateway } = prepared.settings.ports
  if (!(yield* until(Outside.greets(gateway, prepared.tokens.gateway), "20 seconds"))) {
    return yield* Effect.fail(new Error("the gateway did not answer before anything was broken"))
  }
  const rows: Array<Row> = []
  for (const fault of FaultList.make(prepared)) {
    if (!json) yield* print(`breaking ${fault.component}: ${fault.name} …`)
    const row = yield* breakOnce(fault, patience)
    rows.push(row)
    if (json) yield* print(JSON.stringify(row))
    yield* afterwards(fault)
  }
  if (!json) yield* print(`\n${report(rows)}`)
  return rows
})

/** Every fault, healed by the stack itself. */
export const runWithRecovery = (prepared: Prepared, output: Output) =>
  run(prepared, output, "30 seconds", () => Effect.void)

/** Every fault, healed by nobody: afterwards the stack is put right by hand, for the next one. */
export const runWithoutRecovery = (prepared: Prepared, output: Output) => {
  const { files } = prepared.stack
  const { page, route } = homeRoute
  return run(prepared, output, "4 seconds", ({ component }) =>
    Effect.gen(function* () {
      const control = yield* ProcessControl
      yield* control.stop(component)
      yield* Effect.promise(() => Fs.rm(files.lock, { force: true }))
      const routes = { [route]: page, "/auth": "auth" }
      yield* Effect.promise(() => Fs.writeFile(files.webUi, JSON.stringify({ routes })))
      yield* control.restart(component)
      yield* until(Outside.greets(prepared.settings.ports.gateway, prepared.tokens.gateway), "20 seconds")
    })
  )
}
