/** The ways in which `--faults` breaks the stack, and how a stranger tells that it healed. */
import * as Fs from "node:fs/promises"

import { ProcessControl } from "@nexobot/core/ProcessControl"
import type { ProcessIdentity } from "@nexobot/core/ProcessIdentity"
import { ProcessFault } from "@nexobot/testing"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"

import * as Outside from "./outside.ts"
import type { Prepared } from "./run.ts"

export interface Fault {
  readonly name: string
  readonly component: string
  /** Breaks it; what comes back tells, from outside, whether it is whole again. */
  readonly inject: Effect.Effect<Effect.Effect<boolean>, unknown, ProcessControl | Scope.Scope>
}

const every = (checks: ReadonlyArray<Effect.Effect<boolean>>): Effect.Effect<boolean> =>
  Effect.map(Effect.all(checks), (results) => results.every(Boolean))

const childOf = (process: string) =>
  ProcessControl.use((control) => control.status(process)).pipe(
    Effect.flatMap(({ identity }) =>
      identity === undefined ? Effect.fail(`${process} does not run`) : Effect.succeed(identity)
    )
  )

const editJson = (file: string, edit: (value: { routes?: Record<string, string> }) => void) =>
  Effect.tryPromise(async () => {
    const value = JSON.parse(await Fs.readFile(file, "utf8"))
    edit(value)
    await Fs.writeFile(file, JSON.stringify(value))
  })

export const make = ({ settings, stack, tokens }: Prepared): ReadonlyArray<Fault> => {
  const { ports } = settings
  const { files } = stack

  /** The gateway greets, the old process is gone, and port and lock belong to a new one. */
  const gatewayReplaced = (old: ProcessIdentity) =>
    every([
      Outside.greets(ports.gateway, tokens.gateway),
      Effect.map(Outside.isAlive(old), (alive) => !alive),
      Effect.gen(function* () {
        const owner = yield* Outside.lockOwner(files.lock)
        const holders = yield* Outside.portOwners(ports.gateway)
        return owner !== undefined && owner !== old.pid && holders.includes(owner) && !holders.includes(old.pid)
      })
    ])

  const gateway: ReadonlyArray<Fault> = [
    {
      name: "kill -9",
      component: "gateway",
      inject: Effect.gen(function* () {
        const old = yield* childOf("gateway")
        yield* ProcessFault.kill(old)
        return gatewayReplaced(old)
      })
    },
    {
      name: "SIGSTOP",
      component: "gateway",
      inject: Effect.gen(function* () {
        const old = yield* childOf("gateway")
        yield* ProcessFault.freeze(old)
        return gatewayReplaced(old)
      })
    },
    {
      name: "zombie holds the port",
      component: "gateway",
      inject: Effect.gen(function* () {
        const old = yield* childOf("gateway")
        // The worker gets the port a moment after the gateway answers.
        yield* Outside.portOwners(ports.gateway).pipe(
          Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: (pids) => pids.length > 1 }),
          Effect.timeout("5 seconds")
        )
        const orphans = yield* ProcessFault.orphanHoldingPort(old, ports.gateway)
        return every([
          gatewayReplaced(old),
          ...orphans.map((one) => Effect.map(Outside.isAlive(one), (alive) => !alive))
        ])
      })
    },
    {
      name: "stale lock after a crash",
      component: "gateway",
      inject: Effect.gen(function* () {
        const old = yield* childOf("gateway")
        const stranger = yield* ProcessFault.bystander
        yield* ProcessFault.staleLock(files.lock, stranger)
        yield* ProcessFault.kill(old)
        // The stranger whose pid is in the lock has nothing to do with it.
        return every([gatewayReplaced(old), Outside.isAlive(stranger)])
      })
    }
  ]

  const webUi: Fault = {
    name: "home page 404: route lost",
    component: "web-ui",
    inject: Effect.gen(function* () {
      const child = yield* childOf("web-ui")
      const home = `http://127.0.0.1:${ports.webUi}/`
      yield* editJson(files.webUi, (config) => delete config.routes?.["/"])
      yield* ProcessControl.use((control) => control.signal("web-ui", "SIGHUP"))
      yield* Outside.httpStatus(home).pipe(
        Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: (status) => status === 404 }),
        Effect.timeout("5 seconds")
      )
      return every([
        Effect.map(Outside.httpStatus(home), (status) => status === 200),
        Effect.map(Outside.httpStatus(`${home}auth`), (status) => status === 200),
        Outside.isAlive(child)
      ])
    })
  }

  const redisBroken = (name: string, fault: (child: ProcessIdentity) => Effect.Effect<void, unknown>): Fault => ({
    name,
    component: "redis",
    inject: Effect.gen(function* () {
      const old = yield* childOf("redis")
      yield* Outside.redis(ports.redis, "SET nexobot:fault kept")
      yield* fault(old)
      return every([
        Effect.map(Outside.redis(ports.redis, "GET nexobot:fault"), (reply) => reply?.includes("kept") === true),
        Effect.map(Outside.isAlive(old), (alive) => !alive)
      ])
    })
  })
  const redis = [redisBroken("redis kill -9", ProcessFault.kill), redisBroken("redis SIGSTOP", ProcessFault.freeze)]

  const running = new Set(stack.listeners.map((one) => one.name))
  return [...gateway, webUi, ...redis].filter((fault) => running.has(fault.component))
}
