/**
 * Listens where the supervisor wants it: side by side with the process that is replaced, if told so.
 */
import type { AddressInfo, ListenOptions, Server } from "node:net"

import { AppError, type AppErrorReason } from "./appError.ts"

/** `1` asks for it. */
export const reuseVariable = "NEXO_REUSE_PORT"

/** Taken out of the environment: a child of the app must not share a port by accident. */
export const takeReusePort = (environment: NodeJS.ProcessEnv): boolean => {
  const asked = environment[reuseVariable] === "1"
  delete environment[reuseVariable]
  return asked
}

const unsupported = new Set(["ENOTSUP", "EOPNOTSUPP", "EINVAL", "ENOPROTOOPT"])

const reasonOf = (code: string, port: number, reusePort: boolean): AppErrorReason => {
  if (code === "EADDRINUSE") return { _tag: "PortHeld", port, reusePort }
  if (code === "EACCES" || code === "EPERM") return { _tag: "PortForbidden", port }
  if (reusePort && unsupported.has(code)) return { _tag: "ReusePortUnsupported", port, platform: process.platform }
  return { _tag: "NotListening", port, code }
}

const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : String(cause)

export const listen = (
  server: Server,
  options: { readonly port: number; readonly host?: string },
  reusePort: boolean
): Promise<AddressInfo> =>
  new Promise((resolve, reject) => {
    const refuse = (cause: unknown): void => {
      server.off("listening", onListening)
      reject(new AppError(reasonOf(codeOf(cause), options.port, reusePort), cause))
    }
    const onListening = (): void => {
      server.off("error", refuse)
      const address = server.address()
      if (typeof address === "object" && address !== null) resolve(address)
      else refuse(new Error("the server was closed at once"))
    }
    server.once("listening", onListening)
    server.once("error", refuse)
    const asked: ListenOptions = reusePort ? { ...options, reusePort } : options
    try {
      server.listen(asked)
    } catch (cause) {
      server.off("error", refuse)
      refuse(cause)
    }
  })
