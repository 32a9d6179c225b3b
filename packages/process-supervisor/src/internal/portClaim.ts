/**
 * Makes sure, before a start, that the child can have its port. What an earlier life of ours left there is ended; nobody
 * else is touched.
 *
 * The kernel is asked by listening there for a moment, which costs some ten microseconds. Reading `/proc/net/tcp` for a
 * port that is free costs milliseconds: the kernel goes through its whole table of connections.
 */
import * as Net from "node:net"

import * as PortOwner from "@nexobot/core/PortOwner"
import type { Ownership } from "@nexobot/core/ProcessControl"
import { PortHeld } from "@nexobot/core/ProcessExit"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { type ProcessStat, ProcessTable, type Unsupported } from "@nexobot/core/ProcessTable"
import { Redactor } from "@nexobot/core/Redaction"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

type Identity = ProcessIdentity.ProcessIdentity

export interface Claim {
  readonly port: number
  /** An IP address, on which the child listens; without it, or with a name, whoever is on any address is in the way. */
  readonly address?: string | undefined
  /** For whom it is: its own running children are not in its way. */
  readonly process: string
  readonly ownership: (identity: Identity) => Effect.Effect<Ownership>
  /** Between SIGTERM and SIGKILL for what an earlier life left; 500 ms unless told. */
  readonly grace?: Duration.Input
}

/** The system's code when nobody can listen there, `undefined` when we could. */
const listenOnce = (port: number, host: string): Effect.Effect<string | undefined> =>
  Effect.callback((resume) => {
    const server = Net.createServer((socket) => socket.destroy())
    server.once("error", (cause: NodeJS.ErrnoException) => resume(Effect.succeed(cause.code ?? "")))
    // Exclusive: for a worker of `node:cluster` its parent would listen.
    server.listen({ port, host, exclusive: true }, () => server.close(() => resume(Effect.undefined)))
  })

/**
 * Whether it is certain that nobody listens there. An answer other than "in use" may mean this machine, such as one
 * without IPv6 or a port that only root may have: then it is not.
 */
const isFree = Effect.fnUntraced(function* (
  port: number,
  address: string | undefined
): Effect.fn.Return<"free" | "held" | "unknown"> {
  const first = yield* listenOnce(port, address ?? "::")
  const code =
    address === undefined && (first === "EAFNOSUPPORT" || first === "EADDRNOTAVAIL")
      ? yield* listenOnce(port, "0.0.0.0")
      : first
  return code === undefined ? "free" : code === "EADDRINUSE" ? "held" : "unknown"
})

/** A process and those above it, as far as `goesOn` wants to know. */
const upwards = Effect.fnUntraced(function* (
  from: Identity,
  goesOn: (above: Identity) => Effect.Effect<boolean> = () => Effect.succeed(true)
): Effect.fn.Return<ReadonlyArray<Identity>, Unsupported> {
  const table = yield* ProcessTable
  const found = [from]
  for (let at: Identity | undefined = from; at !== undefined;) {
    const stat: ProcessStat | undefined = yield* table.stat(at.pid)
    const parent: Identity | undefined = stat === undefined ? undefined : yield* ProcessIdentity.of(stat.parent)
    if (parent === undefined || found.some((one) => one.pid === parent.pid) || !(yield* goesOn(parent))) break
    found.push(parent)
    at = parent
  }
  return found
})

/** Long enough for a process that is ending to let go of its sockets. */
const mostWaits = 20
const between = "10 millis"
/** Orphans that come back as often as they are ended must not keep a start waiting for ever. */
const mostRounds = 5

/** Who is in the way when somebody is. */
const clear = Effect.fnUntraced(function* (
  { grace = "500 millis", port, process: name, ...what }: Claim,
  address: string | undefined
): Effect.fn.Return<void, PortHeld | Unsupported> {
  const table = yield* ProcessTable
  const { text } = yield* Redactor
  const held = Effect.fnUntraced(function* ({ pid }: Identity) {
    const command = text(yield* table.commandLine(pid)).slice(0, 200)
    return yield* Effect.fail(new PortHeld({ port, pid, ...(command === "" ? {} : { command }) }))
  })

  // Whatever marks we may have inherited: neither we nor who is above us are anybody's orphans.
  const self = yield* ProcessIdentity.of(process.pid)
  const above = new Set(self === undefined ? [process.pid] : (yield* upwards(self)).map(({ pid }) => pid))
  const ownership = (one: Identity): Effect.Effect<Ownership> =>
    above.has(one.pid) ? Effect.succeed({ _tag: "Foreign" }) : what.ownership(one)
  const isOrphan = (one: Identity) => Effect.map(ownership(one), ({ _tag }) => _tag === "Orphan")

  let waits = 0
  let rounds = 0
  while (rounds < mostRounds && waits < mostWaits) {
    const found = yield* PortOwner.find(port, address === undefined ? {} : { address })
    if (!found.listening) return
    // First all are judged, then somebody is signalled.
    const orphans: Array<Identity> = []
    let vague = found.unseen
    for (const holder of found.holders) {
      const whose = yield* ownership(holder)
      if (whose._tag === "Orphan") orphans.push(holder)
      else if (whose._tag === "Current" && whose.process === name) continue
      // Whoever is gone by now is nobody's.
      else if (yield* ProcessIdentity.isAlive(holder)) return yield* held(holder)
      else vague += 1
    }
    if (orphans.length > 0) {
      rounds += 1
      const all = new Map<number, Identity>()
      for (const orphan of orphans) {
        // With those above it that are left behind as well: one that watches over it would start it again.
        for (const one of yield* upwards(orphan, isOrphan)) all.set(one.pid, one)
      }
      const { survivors } = yield* ProcessIdentity.terminate([...all.values()].toReversed(), { grace })
      const survivor = survivors.find(({ pid }) => orphans.some((orphan) => orphan.pid === pid))
      if (survivor !== undefined) return yield* held(survivor)
    } else if (vague === 0) {
      return
    } else {
      // Another user's, or of one that is just ending: a process lets go of its files one after the other.
      waits += 1
      yield* Effect.sleep(between)
    }
  }
  return yield* Effect.fail(new PortHeld({ port }))
})

/**
 * Ends when the child can have its port; fails with who has it. Where nothing can be told it lets the child try.
 */
export const claim = Effect.fnUntraced(function* (what: Claim): Effect.fn.Return<void, PortHeld> {
  const { port } = what
  const address = what.address !== undefined && Net.isIP(what.address) !== 0 ? what.address : undefined
  const answer = yield* isFree(port, address)
  if (answer === "free") return
  yield* clear(what, address).pipe(
    Effect.catchTag("Unsupported", () => (answer === "held" ? Effect.fail(new PortHeld({ port })) : Effect.void))
  )
})
