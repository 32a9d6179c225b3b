/**
 * What the operating system says when it refuses.
 *
 * @since 0.1.0
 */
import * as Predicate from "effect/Predicate"

/** The system's code of an error, such as `ECONNREFUSED`; its text when it has none. */
export const codeOf = (error: unknown): string =>
  Predicate.hasProperty(error, "code") && typeof error.code === "string"
    ? error.code
    : error instanceof Error
      ? error.message
      : String(error)

/**
 * Codes that tell of this machine and not of the target: no file descriptor, memory, local port or route is left, or we
 * may not. A check that meets one says nothing.
 */
const ours: ReadonlyMap<string, string> = new Map([
  ["EMFILE", "this process has too many files open"],
  ["ENFILE", "this machine has too many files open"],
  ["ENOBUFS", "this machine has no buffers left"],
  ["ENOMEM", "this machine has no memory left"],
  ["EAGAIN", "this machine cannot start another process or thread"],
  ["EADDRNOTAVAIL", "this machine has no local port or address left for it"],
  ["ENETDOWN", "this machine's network is down"],
  ["ENETUNREACH", "this machine has no route to it"],
  ["EACCES", "this process may not"],
  ["EPERM", "this process may not"]
])

/** Why the fault is this machine's or this process's, if it is. */
export const ownFault = (code: string): string | undefined => {
  const why = ours.get(code)
  return why === undefined ? undefined : `${why} (${code})`
}
