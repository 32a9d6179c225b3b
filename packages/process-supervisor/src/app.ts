/**
 * For the program that is supervised, by this package or by anybody else: readiness, a drain that loses no request, and
 * word for the supervisor. Plain Node; with Effect, see `SupervisedApp`.
 *
 * ```js
 * const app = supervised({ close: [() => pool.end(), redis] })
 * const server = createServer(app.handler(handle))
 * await app.listen(server, { port: 3000 })
 * app.ready()
 * ```
 *
 * @since 0.1.0
 */
import { start, type SupervisedApp } from "./internal/app/lifecycle.ts"
import { type AppOptions, make } from "./internal/app/options.ts"
import { node } from "./internal/app/timers.ts"

export { AppError, type AppErrorReason } from "./internal/app/appError.ts"
export type { Closable, NotClosed } from "./internal/app/closers.ts"
export type {
  AnswerHandler,
  Answering,
  Handler,
  Http2Handler,
  SupervisedApp,
  WithPaths
} from "./internal/app/lifecycle.ts"
export type { AppOptions, DrainReport } from "./internal/app/options.ts"
export type { DrainReason } from "./internal/app/requests.ts"
export type { TellUpgraded } from "./internal/app/upgrades.ts"

/**
 * Makes the process one that can be supervised. Call it once, before its servers listen. A bad option is an
 * `OptionError`.
 *
 * SIGTERM or SIGINT (and PM2's message `shutdown`) begin the drain: readiness is 503, after `readinessDelay` nobody is
 * accepted any more, requests under way are answered, WebSockets told, `close` is closed in order, and the process ends
 * with 0; with 124 when `drain` or `closeTimeout` was over first; with 1 when something failed to close. An uncaught
 * exception ends the process as in any other program.
 *
 * @category constructors
 * @since 0.1.0
 */
export const supervised = (options?: AppOptions): SupervisedApp => start(make(options), node)
