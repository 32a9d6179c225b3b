/**
 * The life of a supervised app: it starts, is ready, drains, and ends.
 */
import * as Fs from "node:fs"
import type { IncomingMessage, ServerResponse } from "node:http"
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2"
import type { AddressInfo, Server } from "node:net"

import * as Readiness from "@nexobot/core/Readiness"
import { constVoid } from "effect/Function"

import { closeAll, type NotClosed } from "./closers.ts"
import { type Connections, track } from "./connections.ts"
import * as Listen from "./listen.ts"
import * as Notify from "./notify.ts"
import { type AppPolicy, type DrainReport, listenOptions, serverOf } from "./options.ts"
import * as Requests from "./requests.ts"
import { type AppTimers, settles, sleep } from "./timers.ts"

/**
 * A handler of requests, as servers of HTTP and HTTPS have them.
 *
 * @category models
 * @since 0.1.0
 */
export type Handler = (request: IncomingMessage, response: ServerResponse) => unknown

/**
 * The same of a server of HTTP/2.
 *
 * @category models
 * @since 0.1.0
 */
export type Http2Handler = (request: Http2ServerRequest, response: Http2ServerResponse) => unknown

/**
 * What it needs of an answer of either protocol.
 *
 * @category models
 * @since 0.1.0
 */
export interface Answering {
  writeHead(status: number, headers: Record<string, string>): { end(body: string): unknown }
}

/**
 * Answers whether it is ready, or alive, whatever was asked.
 *
 * @category models
 * @since 0.1.0
 */
export type AnswerHandler = (request: unknown, response: Answering) => void

/**
 * Puts both paths before a handler.
 *
 * @category models
 * @since 0.1.0
 */
export interface WithPaths {
  (handler: Handler): Handler
  (handler: Http2Handler): Http2Handler
}

/**
 * @category models
 * @since 0.1.0
 */
export interface SupervisedApp {
  readonly phase: Readiness.Phase
  /** Aborted when the drain begins: for streams, queues and other work without an end of its own. */
  readonly signal: AbortSignal
  /** It works: readiness is 200 from now on, the supervisor is told, and heartbeats begin. */
  readonly ready: () => void
  /** Begins the drain, or joins it. Rejects only with what `onDrained` throws. */
  readonly drain: () => Promise<DrainReport>
  /**
   * Listens, with other processes on the same port if the supervisor asks for it, and drains this server too. Rejects
   * with `AppError`.
   */
  readonly listen: (server: Server, options: { readonly port: number; readonly host?: string }) => Promise<AddressInfo>
  /** Answers both paths, and leaves everything else to this one. */
  readonly handler: WithPaths
  /** 200 while it is ready, else 503, with the phase as text. */
  readonly readyz: AnswerHandler
  /** 200 unless it takes too long to start or to end. */
  readonly healthz: AnswerHandler
}

const exitCodeOf = (isDone: boolean, notClosed: ReadonlyArray<NotClosed>): DrainReport["exitCode"] => {
  if (!isDone || notClosed.some(({ why }) => why === "TimedOut")) return 124
  return notClosed.length > 0 ? 1 : 0
}

/** What was lost, without what was thrown: a connection string may be in it. */
const complaint = ({ cut, notClosed }: DrainReport): string => {
  const cuts = cut === 0 ? [] : [`${cut} connections were cut off`]
  const closers = notClosed.map(
    ({ name, why }) => `${name} ${why === "Failed" ? "failed to close" : "did not close in time"}`
  )
  return `supervised: ${[...cuts, ...closers].join("; ")}\n`
}

/** At once: a stream may not be written any more when the process ends. */
const complain = (report: DrainReport): void => {
  if (report.exitCode === 0) return
  try {
    Fs.writeSync(2, complaint(report))
  } catch {
    // Nobody reads it.
  }
}

const isSignal = (reason: Requests.DrainReason): reason is NodeJS.Signals => reason.startsWith("SIG")

export const start = (policy: AppPolicy, timers: AppTimers): SupervisedApp => {
  const notifier = Notify.take(process.env)
  const reusePort = Listen.takeReusePort(process.env)
  const tracked = new Map<Server, Connections>()
  const controller = new AbortController()
  let state = Readiness.starting(timers.now())
  let stopHeartbeat: () => void = constVoid
  let drained: Promise<DrainReport> | undefined

  const add = (server: Server): void => {
    if (!tracked.has(server)) tracked.set(server, track(server, timers, policy.upgraded))
  }
  const answer =
    (ask: typeof Readiness.readiness): AnswerHandler =>
    (_request, response) => {
      const { body, status } = ask(policy.readiness, state, timers.now())
      response.writeHead(status, { "content-type": "text/plain", "cache-control": "no-store" }).end(body)
    }

  const run = async (reason: Requests.DrainReason): Promise<DrainReport> => {
    await sleep(timers, policy.readinessDelay)
    const all = [...tracked.values()]
    const isDone = await settles(timers, policy.drain, Promise.all(all.map(({ drain }) => drain(policy.idle))))
    const cut = isDone ? 0 : all.reduce((sum, connections) => sum + connections.cut(), 0)
    const notClosed = await closeAll(timers, policy.closeTimeout, policy.closers)
    state = Readiness.stopped(state, timers.now())
    const report = { reason, cut, notClosed, exitCode: exitCodeOf(isDone, notClosed) }
    stopHeartbeat()
    stopListening()
    complain(report)
    policy.onDrained(report)
    if (policy.exit) process.exit(report.exitCode)
    return report
  }
  const drain = (reason: Requests.DrainReason): Promise<DrainReport> => {
    if (drained !== undefined) return drained
    state = Readiness.draining(state, timers.now())
    notifier.stopping()
    drained = run(reason)
    controller.abort()
    return drained
  }
  let signalled = false
  const stopListening = Requests.listen(policy, (reason) => {
    if (isSignal(reason)) {
      if (signalled) process.exit(Requests.signalCode(reason))
      signalled = true
    }
    void drain(reason)
  })
  policy.servers.forEach(add)

  const [readyz, healthz] = [answer(Readiness.readiness), answer(Readiness.liveness)]
  const handler =
    <Q extends { readonly url?: string | undefined }, S extends Answering>(own: (request: Q, response: S) => unknown) =>
    (request: Q, response: S): unknown => {
      const [path] = (request.url ?? "").split("?", 1)
      if (path === policy.paths.readiness) return readyz(request, response)
      if (path === policy.paths.liveness) return healthz(request, response)
      return own(request, response)
    }
  return {
    get phase() {
      return state.phase
    },
    signal: controller.signal,
    ready: () => {
      if (state.phase !== "Starting") return
      state = Readiness.ready(state, timers.now())
      notifier.ready()
      Requests.tellReady()
      if (notifier.isOpen) stopHeartbeat = timers.every(policy.heartbeat, notifier.alive)
    },
    drain: () => drain("Call"),
    listen: (server, options) => {
      const asked = listenOptions(options)
      add(serverOf("listen", server))
      return Listen.listen(server, asked, reusePort)
    },
    handler,
    readyz,
    healthz
  }
}
