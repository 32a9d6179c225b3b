/**
 * The console: REST API and dashboard of the recovery loop.
 *
 * `layer` serves it on a port of its own; `mount` gives handlers for a server that is there already.
 *
 * @since 0.1.0
 */
import type * as Http from "node:http"

import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import type { Recovery } from "@nexobot/recovery/Recovery"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpEffect from "effect/http/HttpEffect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"

import { isKnownPath, pathOf } from "./internal/answers.ts"
import * as App from "./internal/app.ts"
import * as Checked from "./internal/options.ts"
import * as Server from "./internal/server.ts"

/**
 * Another process listens on the port.
 *
 * @category errors
 * @since 0.1.0
 */
export class PortTaken extends Schema.TaggedClass<PortTaken>("@nexobot/console/PortTaken")("PortTaken", {
  host: Schema.String,
  port: Schema.Int
}) {}

/**
 * The address cannot be listened on; `code` is the operating system's, for example `EACCES` or `EADDRNOTAVAIL`.
 *
 * @category errors
 * @since 0.1.0
 */
export class ListenFailed extends Schema.TaggedClass<ListenFailed>("@nexobot/console/ListenFailed")("ListenFailed", {
  host: Schema.String,
  port: Schema.Int,
  code: Schema.String
}) {}

/**
 * The console cannot be served.
 *
 * @category errors
 * @since 0.1.0
 */
export class ConsoleError extends Schema.TaggedError<ConsoleError>("@nexobot/console/ConsoleError")("ConsoleError", {
  reason: Schema.Union([PortTaken, ListenFailed])
}) {
  override get message(): string {
    const { host, port } = this.reason
    return this.reason._tag === "PortTaken"
      ? `port ${port} of ${host} is taken; name another one, or 0 for any that is free`
      : `cannot listen on ${host} port ${port}: ${this.reason.code}`
  }
}

/**
 * @category models
 * @since 0.1.0
 */
export interface MountOptions {
  /** At least 16 characters; a random one unless given. */
  readonly token?: Redacted.Redacted | undefined
  /**
   * Host names under which the console may be reached, besides loopback: what a browser shows in its address bar,
   * without scheme and port. Everything else is refused, against DNS rebinding.
   */
  readonly allowedHosts?: ReadonlyArray<string> | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Options extends MountOptions {
  /** The address to listen on; `127.0.0.1` unless told. */
  readonly host?: string | undefined
  /** 0 for any free port; 18999 unless told. */
  readonly port?: number | undefined
}

/**
 * Path of the page.
 *
 * @category constants
 * @since 0.1.0
 */
export const dashboardPath = "/dashboard/system-health"

/**
 * A console without a server of its own.
 *
 * @category models
 * @since 0.1.0
 */
export interface Mounted {
  readonly token: Redacted.Redacted
  /** A code that opens the dashboard once, within ten minutes: `<origin>/dashboard/system-health#code=<code>`. */
  readonly issueCode: Effect.Effect<string>
  /** For servers that speak Fetch: Next.js routes, Hono, `Bun.serve`. */
  readonly fetch: (request: Request) => Promise<Response>
  /**
   * For `node:http` and what is built on it, at the root and before anything that reads bodies. With `next`, as Express
   * gives it, paths that are not the console's are passed on; without, they are answered with 404.
   */
  readonly listener: (request: Http.IncomingMessage, response: Http.ServerResponse, next?: () => void) => void
}

/**
 * The console of a program.
 *
 * @category services
 * @since 0.1.0
 */
export class Console extends Context.Service<
  Console,
  Mounted & {
    /** For example `http://127.0.0.1:18999`. */
    readonly address: string
    /** Address of the page with a fresh one-time code in its fragment, which no server log sees. */
    readonly dashboardUrl: Effect.Effect<string>
  }
>()("@nexobot/console/Console") {}

const mounted = Effect.fnUntraced(function* (app: App.App): Effect.fn.Return<Mounted, never, Scope.Scope> {
  const context = yield* Effect.context()
  const handler = yield* NodeHttpServer.makeHandler(app.handle, { scope: yield* Effect.scope })
  const fetch = HttpEffect.toWebHandlerWith<never, HttpServerRequest | Scope.Scope>(context)(app.handle)
  return {
    token: app.token,
    issueCode: app.issueCode,
    fetch: (request) => fetch(request),
    listener: (request, response, next) => {
      if (next !== undefined && !isKnownPath(pathOf(request.url ?? ""))) next()
      else handler(request, response)
    }
  }
})

/**
 * Handlers of the console for a server that is there already. When the scope closes, event streams end and requests are
 * refused with 503; in-flight recoveries are interrupted.
 *
 * Throws `OptionError` for an option that cannot work.
 *
 * @category constructors
 * @since 0.1.0
 */
export const mount = (options: MountOptions = {}): Effect.Effect<Mounted, never, Recovery | Scope.Scope> => {
  const checked = Checked.mount(options)
  return Effect.flatMap(App.make(checked), mounted)
}

/**
 * Serves the console on a port of its own for as long as the scope is open. Closing ends event streams at once and lets
 * other answers finish for two seconds. Answers are masked by the `Redactor` in use here.
 *
 * Throws `OptionError` for an option that cannot work.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: Options = {}
): Effect.Effect<Console["Service"], ConsoleError, Recovery | Scope.Scope> => {
  const { host, port, ...access } = Checked.listen(options)
  return Effect.gen(function* () {
    const app = yield* App.make(access)
    const bound = yield* Effect.mapError(Server.listen(app, { host, port }), (error) => {
      const code = Server.codeOf(error)
      return new ConsoleError({
        reason: code === "EADDRINUSE" ? new PortTaken({ host, port }) : new ListenFailed({ host, port, code })
      })
    })
    const address = Server.addressOf(host, bound.port)
    return {
      ...(yield* mounted(app)),
      address,
      dashboardUrl: Effect.map(app.issueCode, (code) => `${address}${dashboardPath}#code=${code}`)
    }
  })
}

/**
 * `make` as a layer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<Console, ConsoleError, Recovery> =>
  Layer.effect(Console, make(options))
