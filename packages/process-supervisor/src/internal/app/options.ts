/**
 * The options of a supervised app, checked.
 */
import type { Server } from "node:net"

import * as Options from "@nexobot/core/Options"
import * as Readiness from "@nexobot/core/Readiness"
import * as Duration from "effect/Duration"
import { constVoid } from "effect/Function"

import { type Closable, type Closer, closerOf, type NotClosed } from "./closers.ts"
import type { DrainReason } from "./requests.ts"
import { type TellUpgraded, tellWebSocket } from "./upgrades.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface AppOptions {
  /** Drained when the app ends: servers of HTTP, HTTPS, HTTP/2, or anything on `net`. None has to listen yet. */
  readonly servers?: ReadonlyArray<Server>
  /** Closed in this order when the servers are drained: functions, or clients and pools that can be closed. */
  readonly close?: ReadonlyArray<Closable>
  /** How often the supervisor is told that the event loop turns; 1 second unless told. */
  readonly heartbeat?: Duration.Input
  /** How long requests under way may take when the app ends; 3 seconds unless told. */
  readonly drain?: Duration.Input
  /** How long readiness is 503 before nobody is accepted any more, for load balancers; none unless told. */
  readonly readinessDelay?: Duration.Input
  /** How long a connection without a request is kept open then, for one that is on its way; 100 ms unless told. */
  readonly idle?: Duration.Input
  /** How long each of `close` may take; 1 second unless told. */
  readonly closeTimeout?: Duration.Input
  /** How long starting may take before liveness is 503; 30 seconds unless told. */
  readonly startGrace?: Duration.Input
  /** Where `handler` answers; `/readyz` and `/healthz` unless told. */
  readonly paths?: { readonly readiness?: string; readonly liveness?: string }
  /** SIGTERM and SIGINT unless told. A second signal ends the process at once. */
  readonly signals?: ReadonlyArray<NodeJS.Signals>
  /** Whether the app ends when its IPC channel does, so with the process that started it; `false` unless told. */
  readonly stopOnDisconnect?: boolean
  /** Tells an upgraded connection that the app ends; unless told, a WebSocket is told by a close frame with 1001. */
  readonly upgraded?: TellUpgraded
  /** Gets the report before the process ends. */
  readonly onDrained?: (report: DrainReport) => void
  /** Whether the process ends when it is drained; `true` unless told. */
  readonly exit?: boolean
}

/**
 * How the app came to its end.
 *
 * @category models
 * @since 0.1.0
 */
export interface DrainReport {
  readonly reason: DrainReason
  /** Connections that were destroyed because their time was over. */
  readonly cut: number
  /** What did not close. */
  readonly notClosed: ReadonlyArray<NotClosed>
  /** 0 when nothing was lost, 124 when time was over for a connection or for one of `close`, 1 when one failed. */
  readonly exitCode: 0 | 1 | 124
}

/** Checked options; times in milliseconds. */
export interface AppPolicy {
  readonly servers: ReadonlyArray<Server>
  readonly closers: ReadonlyArray<Closer>
  readonly heartbeat: number
  readonly drain: number
  readonly readinessDelay: number
  readonly idle: number
  readonly closeTimeout: number
  readonly readiness: Readiness.Policy
  readonly paths: { readonly readiness: string; readonly liveness: string }
  readonly signals: ReadonlyArray<NodeJS.Signals>
  readonly stopOnDisconnect: boolean
  readonly upgraded: TellUpgraded
  readonly onDrained: (report: DrainReport) => void
  readonly exit: boolean
}

const checks = Options.checks("supervised")

const listOf = (option: string, value: unknown): ReadonlyArray<unknown> =>
  Array.isArray(value) ? value : checks.fail(option, value, "an array")

const isServer = (value: unknown): value is Server =>
  typeof value === "object" &&
  value !== null &&
  ["on", "listen", "close"].every((method) => typeof Reflect.get(value, method) === "function")

/** It must be one of Node: frameworks have theirs inside. */
export const serverOf = (option: string, value: unknown): Server =>
  isServer(value) ? value : checks.fail(option, value, "a server of node:http, https, http2, tls or net")

const pathOf = (option: string, value: unknown): string =>
  typeof value === "string" && /^\/[^?#\s]*$/.test(value)
    ? value
    : checks.fail(option, value, "a path that begins with / and has no query")

/** What Node lets a program handle, and which ask it to end. */
const drainSignals = ["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR2", "SIGBREAK"] as const

const functionOf = <F>(option: string, value: F): F =>
  typeof value === "function" ? value : checks.fail(option, value, "a function")

/** Of `app.listen`. */
export const listenOptions = (options: { readonly port: number; readonly host?: string }) => {
  checks.known(options, ["port", "host"], "listen.")
  const port = checks.integer("listen.port", options.port, 0, 65535)
  return options.host === undefined ? { port } : { port, host: checks.host("listen.host", options.host) }
}

const known: Record<keyof AppOptions, true> = {
  servers: true,
  close: true,
  heartbeat: true,
  drain: true,
  readinessDelay: true,
  idle: true,
  closeTimeout: true,
  startGrace: true,
  paths: true,
  signals: true,
  stopOnDisconnect: true,
  upgraded: true,
  onDrained: true,
  exit: true
}

export const make = (options: AppOptions = {}): AppPolicy => {
  checks.known(options, Object.keys(known))
  const millis = (option: keyof AppOptions, unlessTold: Duration.Input, min: Duration.Input = 0): number => {
    // Only times are asked for here.
    const value = options[option] as Duration.Input | undefined // oxlint-disable-line typescript/no-unsafe-type-assertion
    return Duration.toMillis(checks.duration(option, value ?? unlessTold, min))
  }
  const paths = options.paths ?? {}
  checks.known(paths, ["readiness", "liveness"], "paths.")
  const closers = listOf("close", options.close ?? []).map((one, index) => closerOf(checks, one, index))
  const [drain, readinessDelay, closeTimeout] = [
    millis("drain", "3 seconds"),
    millis("readinessDelay", 0),
    millis("closeTimeout", "1 second")
  ]
  return {
    servers: listOf("servers", options.servers ?? []).map((one, index) => serverOf(`servers[${index}]`, one)),
    closers,
    heartbeat: millis("heartbeat", "1 second", "10 millis"),
    drain,
    readinessDelay,
    closeTimeout,
    idle: millis("idle", "100 millis"),
    readiness: Readiness.make({
      grace: millis("startGrace", "30 seconds"),
      // Then it hangs, and whoever asks is told so.
      drain: readinessDelay + drain + closeTimeout * closers.length
    }),
    paths: {
      readiness: pathOf("paths.readiness", paths.readiness ?? "/readyz"),
      liveness: pathOf("paths.liveness", paths.liveness ?? "/healthz")
    },
    signals: listOf("signals", options.signals ?? ["SIGTERM", "SIGINT"]).map((one, index) =>
      checks.oneOf(`signals[${index}]`, one, drainSignals)
    ),
    stopOnDisconnect: checks.boolean("stopOnDisconnect", options.stopOnDisconnect ?? false),
    upgraded: functionOf("upgraded", options.upgraded ?? tellWebSocket),
    onDrained: functionOf("onDrained", options.onDrained ?? constVoid),
    exit: checks.boolean("exit", options.exit ?? true)
  }
}
