/**
 * Who listens on a TCP port: from the socket's inode in `/proc/net/tcp` to the processes that have it open.
 *
 * @since 0.1.0
 */
import * as Net from "node:net"

import * as Effect from "effect/Effect"

import * as IpAddress from "./internal/ipAddress.ts"
import * as ProcessIdentity from "./ProcessIdentity.ts"
import { isDead, ProcessTable, type Unsupported } from "./ProcessTable.ts"

/**
 * The holders of one port.
 *
 * @category models
 * @since 0.1.0
 */
export interface PortHolders {
  readonly listening: boolean
  /** Processes that have a listening socket of the port open; several may share one. */
  readonly holders: ReadonlyArray<ProcessIdentity.ProcessIdentity>
  /** Listening sockets whose holder cannot be seen (another user's process, another namespace). */
  readonly unseen: number
}

/**
 * Whether a listener on the first address keeps somebody from listening on the second one, with the same port. Both must
 * be IP addresses; one that IPv6 maps (`::ffff:127.0.0.1`) is the IPv4 address.
 *
 * `::` is taken for every address of both families. A listener may leave IPv4 out (`IPV6_V6ONLY`), but `/proc` does not
 * tell: then this sees an obstacle that is none, which is safer than the other way round.
 *
 * @category predicates
 * @since 0.1.0
 */
export const conflicts = (a: string, b: string): boolean => {
  const [one, other] = [IpAddress.plain(a), IpAddress.plain(b)]
  if (one === other || one === "::" || other === "::") return true
  return (one === "0.0.0.0" && Net.isIPv4(other)) || (other === "0.0.0.0" && Net.isIPv4(one))
}

/**
 * The inodes of the listening sockets that are in the way of one on that address; of all on the port unless it is told.
 *
 * @category operations
 * @since 0.1.0
 */
export const inodes = Effect.fnUntraced(function* (
  port: number,
  address?: string
): Effect.fn.Return<Set<string>, Unsupported> {
  const listening = yield* (yield* ProcessTable).listening(port)
  const inTheWay = listening.filter((socket) => address === undefined || conflicts(socket.address, address))
  return new Set(inTheWay.map((socket) => socket.inode))
})

/**
 * Finds the holders of a port.
 *
 * With `expected`, those pids are looked at first, and nobody else if they hold every listening socket: looking through
 * the open files of every process costs milliseconds, and is needed only when something is wrong. Without `others`
 * nobody else is looked at in any case; the sockets that are not theirs count as unseen.
 *
 * With `address`, only listeners count that are in the way of one on that address, see `conflicts`.
 *
 * @category operations
 * @since 0.1.0
 */
export const find = Effect.fnUntraced(function* (
  port: number,
  options: {
    readonly expected?: ReadonlyArray<number>
    /** `true` unless told. */
    readonly others?: boolean
    /** An IP address; all of this machine's unless told. */
    readonly address?: string
  } = {}
): Effect.fn.Return<PortHolders, Unsupported> {
  const table = yield* ProcessTable
  const unclaimed = yield* inodes(port, options.address)
  if (unclaimed.size === 0) return { listening: false, holders: [], unseen: 0 }
  const wanted = new Set(unclaimed)
  const holders: Array<ProcessIdentity.ProcessIdentity> = []

  const claim = Effect.fnUntraced(function* (pid: number) {
    const held = [...(yield* table.sockets(pid))].filter((inode) => wanted.has(inode))
    const identity = held.length === 0 ? undefined : yield* ProcessIdentity.of(pid)
    if (identity === undefined) return
    for (const inode of held) unclaimed.delete(inode)
    holders.push(identity)
  })

  const expected = new Set(options.expected)
  yield* Effect.forEach(expected, claim, { discard: true })
  if (unclaimed.size > 0 && options.others !== false) {
    const others = (yield* table.all).filter((stat) => !isDead(stat) && !expected.has(stat.pid))
    yield* Effect.forEach(others, (stat) => claim(stat.pid), { discard: true })
  }
  return { listening: true, holders, unseen: unclaimed.size }
})
