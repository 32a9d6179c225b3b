/**
 * Why an app cannot listen. `reusePort` says whether it was asked to share the port.
 *
 * @category models
 * @since 0.1.0
 */
export type AppErrorReason =
  | { readonly _tag: "PortHeld"; readonly port: number; readonly reusePort: boolean }
  | { readonly _tag: "PortForbidden"; readonly port: number }
  | { readonly _tag: "ReusePortUnsupported"; readonly port: number; readonly platform: string }
  | { readonly _tag: "NotListening"; readonly port: number; readonly code: string }

const messageOf = (reason: AppErrorReason): string => {
  const port = `port ${reason.port}`
  switch (reason._tag) {
    case "PortHeld":
      return reason.reusePort
        ? `${port} is held by a process that does not share it: let that one listen with app.listen too, or stop it first`
        : `${port} is held by another process: stop that one, or listen on another port`
    case "PortForbidden":
      return `${port} may not be used by this user: take one from 1024 up, or give the program CAP_NET_BIND_SERVICE`
    case "ReusePortUnsupported":
      return `${port} cannot be shared on ${reason.platform}: reload this app by stopping the old process first`
    case "NotListening":
      return `cannot listen on ${port} (${reason.code}): check host and port`
  }
}

/**
 * An app could not do what it was asked.
 *
 * A plain error, not one of Schema's: that would cost every app more memory than all the rest of this module.
 *
 * @category errors
 * @since 0.1.0
 */
export class AppError extends Error {
  readonly _tag = "AppError"
  override readonly name = "AppError"
  readonly reason: AppErrorReason
  constructor(reason: AppErrorReason, cause?: unknown) {
    super(`supervised: ${messageOf(reason)}`, { cause })
    this.reason = reason
  }
}
