/**
 * What a supervised app tells its supervisor, in lines on a descriptor.
 */
import * as Fs from "node:fs"
import * as Net from "node:net"

import { constVoid } from "effect/Function"

/** Names the descriptor. */
export const variable = "NEXO_NOTIFY_FD"

export interface Notifier {
  /** Whether somebody is told. */
  readonly isOpen: boolean
  readonly ready: () => void
  readonly alive: () => void
  readonly stopping: () => void
}

const attempt = <A>(work: () => A): A | undefined => {
  try {
    return work()
  } catch {
    return undefined
  }
}

const links = "/proc/self/fd"

/** As in `pipe:[123]`; `undefined` where there is no /proc. */
const linkOf = (fd: number | string): string | undefined => attempt(() => Fs.readlinkSync(`${links}/${fd}`))

/** A pipe that has both its ends in this process is one of Node itself, and a line in it would break Node. */
const isOwnPipe = (fd: number, link: string): boolean =>
  (attempt(() => Fs.readdirSync(links)) ?? []).some((other) => other !== String(fd) && linkOf(other) === link)

/** Each line is a socket, with its inode in the tenth column. */
const tables = ["tcp", "tcp6", "udp", "udp6"]

/** The supervisor's socket is of Unix; one of a network is a connection of the app. Other namespaces' are not listed. */
const isOfNetwork = (link: string): boolean => {
  const inode = /\d+/.exec(link)?.[0]
  return tables
    .flatMap((table) => (attempt(() => Fs.readFileSync(`/proc/net/${table}`, "latin1")) ?? "").split("\n"))
    .some((line) => line.trim().split(/\s+/)[9] === inode)
}

/**
 * Whether it can be the supervisor's. The variable may have come through a shell or `npm` to a process that has something
 * else under that number.
 */
const isSupervisors = (fd: number): boolean => {
  const stat = attempt(() => Fs.fstatSync(fd))
  if (stat === undefined || !(stat.isFIFO() || stat.isSocket())) return false
  const link = linkOf(fd)
  return link === undefined || (stat.isFIFO() ? !isOwnPipe(fd, link) : !isOfNetwork(link))
}

const fdOf = (value: string | undefined): number | undefined => {
  if (value === undefined || !/^\d{1,4}$/.test(value)) return undefined
  const fd = Number(value)
  return fd >= 3 && isSupervisors(fd) ? fd : undefined
}

/** Sockets that hold a descriptor: one that is collected closes it. */
const held: Array<Net.Socket> = []

/**
 * Takes the variable out of the environment, so that no child of the app tells anything in its name. What cannot be
 * written at once is not written: the supervisor is gone, or has not read for very long.
 */
export const take = (environment: NodeJS.ProcessEnv): Notifier => {
  const fd = fdOf(environment[variable])
  delete environment[variable]
  // Only for that it makes the descriptor non-blocking; it neither reads nor writes, and keeps nothing alive.
  const socket = fd === undefined ? undefined : attempt(() => new Net.Socket({ fd, readable: false, writable: true }))
  if (fd === undefined || socket === undefined) {
    return { isOpen: false, ready: constVoid, alive: constVoid, stopping: constVoid }
  }
  held.push(socket.unref())
  const say = (line: string) => () => void attempt(() => Fs.writeSync(fd, line))
  return { isOpen: true, ready: say("READY=1\n"), alive: say("WATCHDOG=1\n"), stopping: say("STOPPING=1\n") }
}
