/**
 * Paths of unix sockets.
 *
 * @since 0.1.0
 */
import type { Checks } from "@nexobot/core/Options"

/** What a socket's address has room for; Node would cut the rest, and ask somebody else. */
const longest = process.platform === "linux" ? 107 : 103

/** On Linux, a path that begins with a NUL names a socket without a file. */
export const checkedSocketPath = (checks: Checks, option: string, value: unknown): string => {
  const path = checks.nonEmptyString(option, value)
  const abstract = process.platform === "linux" && path.startsWith("\0")
  if (Buffer.byteLength(path) > longest) checks.fail(option, path, `a path of at most ${longest} bytes`)
  if (path.includes("\0", abstract ? 1 : 0)) checks.fail(option, path, "a path without NUL")
  return path
}

/** Where to find it in what people read. */
export const shownSocketPath = (path: string): string => path.replace("\0", "@")
