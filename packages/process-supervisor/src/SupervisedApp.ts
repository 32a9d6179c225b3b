/**
 * For the program that is supervised and is written with Effect: readiness, a drain that loses no request, and word for
 * the supervisor. Without Effect, see `app`.
 *
 * The drain is the release of the scope, so whatever interrupts the program begins it. Build this layer on top of those
 * that the requests need: they are released after it, in reverse order, as Effect does.
 *
 * @since 0.1.0
 */
import type { AddressInfo, Server } from "node:net"

import type * as Readiness from "@nexobot/core/Readiness"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"

import type { AppError } from "./internal/app/appError.ts"
import { type AnswerHandler, start, type WithPaths } from "./internal/app/lifecycle.ts"
import * as Options from "./internal/app/options.ts"
import { type AppTimers, node } from "./internal/app/timers.ts"

export { AppError, type AppErrorReason } from "./internal/app/appError.ts"

/**
 * As of `supervised`, without what Effect does itself: signals interrupt the program, layers close pools.
 *
 * @category models
 * @since 0.1.0
 */
export type SupervisedAppOptions = Omit<Options.AppOptions, "close" | "closeTimeout" | "exit" | "onDrained" | "signals">

/**
 * @category services
 * @since 0.1.0
 */
export class SupervisedApp extends Context.Service<
  SupervisedApp,
  {
    readonly phase: Effect.Effect<Readiness.Phase>
    /** Readiness is 200 from now on, the supervisor is told, and heartbeats begin. */
    readonly ready: Effect.Effect<void>
    /** Begins the drain, or joins it. */
    readonly drain: Effect.Effect<Options.DrainReport>
    /** Waits until somebody has begun the drain, such as PM2 by its message, and it is done. */
    readonly drained: Effect.Effect<Options.DrainReport>
    /** Listens, with other processes on the same port if the supervisor asks for it, and drains this server too. */
    readonly listen: (
      server: Server,
      options: { readonly port: number; readonly host?: string }
    ) => Effect.Effect<AddressInfo, AppError>
    /** Aborted when the drain begins. */
    readonly signal: AbortSignal
    readonly handler: WithPaths
    readonly readyz: AnswerHandler
    readonly healthz: AnswerHandler
  }
>()("@nexobot/process-supervisor/SupervisedApp") {}

/** The clock of the program, and fibers that end with the scope. */
const timers: Effect.Effect<AppTimers, never, Scope.Scope> = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const fork = yield* FiberSet.makeRuntime()
  const forked = (work: Effect.Effect<void>) => {
    const fiber = fork(work)
    return () => fiber.interruptUnsafe()
  }
  return {
    now: () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6,
    after: (millis, work) => forked(Effect.andThen(Effect.sleep(millis), Effect.sync(work))),
    every: (millis, work) => forked(Effect.forever(Effect.andThen(Effect.sleep(millis), Effect.sync(work)))),
    soon: node.soon
  }
})

const build = Effect.fnUntraced(function* (
  policy: Options.AppPolicy
): Effect.fn.Return<SupervisedApp["Service"], never, Scope.Scope> {
  const app = start(policy, yield* timers)
  const drain = Effect.promise(() => app.drain())
  yield* Effect.addFinalizer(() => drain)
  const isDraining = Effect.callback<void>((resume) => {
    const onAbort = () => resume(Effect.void)
    if (app.signal.aborted) return onAbort()
    app.signal.addEventListener("abort", onAbort, { once: true })
    return Effect.sync(() => app.signal.removeEventListener("abort", onAbort))
  })
  return {
    phase: Effect.sync(() => app.phase),
    ready: Effect.sync(app.ready),
    drain,
    drained: Effect.andThen(isDraining, drain),
    listen: (server, where) =>
      Effect.suspend(() => {
        const listening = app.listen(server, where)
        return Effect.tryPromise({
          try: () => listening,
          // Nothing else is rejected with.
          catch: (cause) => cause as AppError // oxlint-disable-line typescript/no-unsafe-type-assertion
        })
      }),
    signal: app.signal,
    handler: app.handler,
    readyz: app.readyz,
    healthz: app.healthz
  }
})

/**
 * Makes the program one that can be supervised; once in a process. It drains when the scope closes. A bad option is an
 * `OptionError`, thrown at once.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: SupervisedAppOptions = {}): Effect.Effect<SupervisedApp["Service"], never, Scope.Scope> =>
  build(Options.make({ ...options, signals: [], exit: false }))

/**
 * See `make`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: SupervisedAppOptions): Layer.Layer<SupervisedApp> =>
  Layer.effect(SupervisedApp, make(options))
