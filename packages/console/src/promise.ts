/**
 * The console for programs without Effect.
 *
 * @since 0.1.0
 */
import { Recovery } from "@nexobot/recovery/Recovery"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"

import * as Console from "./Console.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface MountOptions {
  /** The loop to show: its service, or a context with it (and with the `Redactor` to use). */
  readonly recovery: Recovery["Service"] | Context.Context<Recovery>
  /** At least 16 characters; a random one unless given. */
  readonly token?: string | undefined
  /** Host names under which the console may be reached, besides loopback. */
  readonly allowedHosts?: ReadonlyArray<string> | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Options extends MountOptions {
  readonly host?: string | undefined
  readonly port?: number | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface MountedConsole extends Pick<Console.Mounted, "fetch" | "listener"> {
  /** The bearer token, in the clear: keep it out of logs. */
  readonly token: string
  /** A code that opens the dashboard once: `<origin>/dashboard/system-health#code=<code>`. */
  readonly issueCode: () => Promise<string>
  /** Ends event streams and stops serving. */
  readonly close: () => Promise<void>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface RunningConsole extends MountedConsole {
  readonly address: string
  /** Address of the page with a fresh one-time code. */
  readonly dashboardUrl: () => Promise<string>
}

const open = async <A extends Console.Mounted, E>(
  recovery: MountOptions["recovery"],
  make: Effect.Effect<A, E, Recovery | Scope.Scope>
) => {
  const scope = Scope.makeUnsafe()
  const context = Context.isContext(recovery) ? recovery : Context.make(Recovery, recovery)
  const exit = await Effect.runPromiseExit(make.pipe(Scope.provide(scope), Effect.provideContext(context)))
  const close = () => Effect.runPromise(Scope.close(scope, Exit.void))
  if (Exit.isFailure(exit)) await close()
  const made = await Effect.runPromise(exit)
  const mounted: MountedConsole = {
    fetch: made.fetch,
    listener: made.listener,
    token: Redacted.value(made.token),
    issueCode: () => Effect.runPromise(made.issueCode),
    close
  }
  return { made, mounted }
}

const redacted = <A extends { readonly token?: string | undefined }>({ token, ...options }: A) => ({
  ...options,
  token: token === undefined ? undefined : Redacted.make(token)
})

/**
 * Handlers of the console for a server that is there already; see `Console.mount`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const mountConsole = async ({ recovery, ...options }: MountOptions): Promise<MountedConsole> =>
  (await open(recovery, Console.mount(redacted(options)))).mounted

/**
 * Serves the console on a port of its own; see `Console.make`. Rejects with `ConsoleError` when the port is taken.
 *
 * @category constructors
 * @since 0.1.0
 */
export const startConsole = async ({ recovery, ...options }: Options): Promise<RunningConsole> => {
  const { made, mounted } = await open(recovery, Console.make(redacted(options)))
  return { ...mounted, address: made.address, dashboardUrl: () => Effect.runPromise(made.dashboardUrl) }
}
