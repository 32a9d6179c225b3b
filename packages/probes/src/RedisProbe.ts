/**
 * Asks a Redis how it is (`INFO`), and a primary whether it takes writes, without writing: `PING` is answered by a
 * replica, by one whose memory is full, and by one that cannot save and refuses every write.
 *
 * The question is `SETRANGE nexobot:probe 0 ""`. It is refused as any write is, and with an empty value it changes
 * nothing, whether the key exists or not. `STRLEN nexobot:probe` is refused as any read is.
 *
 * @since 0.1.0
 */
import * as Probe from "@nexobot/core/Probe"
import * as Redaction from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"

import { excerpt } from "./internal/excerpt.ts"
import type { Exactly, Given } from "./internal/given.ts"
import { reachOf } from "./internal/reach.ts"
import { type Command, converse, type Heard } from "./internal/redisConversation.ts"
import { type Info, parse } from "./internal/redisInfo.ts"
import { checked, type RedisProbeOptions, type Settings, targetOf } from "./internal/redisOptions.ts"
import {
  AccessDenied,
  Busy,
  Loading,
  MemoryHigh,
  NotReplica,
  ReadOnly,
  ReadsRefused,
  ReplicaLag,
  ReplicaLinkDown,
  SaveFailing,
  Slow,
  Timeout,
  TooManyClients,
  Unreachable,
  WritesRefused
} from "./internal/redisSignatures.ts"
import { ownFault } from "./internal/systemError.ts"

export * from "./internal/redisSignatures.ts"

export type { RedisProbeOptions, RedisTlsOptions } from "./internal/redisOptions.ts"

type Always =
  | Unreachable
  | Timeout
  | AccessDenied
  | Loading
  | Busy
  | TooManyClients
  | WritesRefused
  | ReadsRefused
  | MemoryHigh
  | SaveFailing

type OfRole<Role> =
  | (Role extends "primary" ? ReadOnly : never)
  | (Role extends "replica" ? NotReplica | ReplicaLinkDown : never)

/**
 * What a probe with these options can report.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Found<O> =
  | Always
  | (O extends { readonly role?: infer Role } ? Given<O, "role", OfRole<Role>> : never)
  | Given<O, "maxReplicaLag", ReplicaLag>
  | Given<O, "degradedAfter", Slow>

type Any = Verdict.Verdict<Found<RedisProbeOptions>>

const reported = ({ degradedAfter, maxReplicaLag, role }: Settings) => [
  Unreachable,
  Timeout,
  AccessDenied,
  Loading,
  Busy,
  TooManyClients,
  WritesRefused,
  ReadsRefused,
  MemoryHigh,
  SaveFailing,
  ...(role === "primary" ? [ReadOnly] : []),
  ...(role === "replica" ? [NotReplica, ReplicaLinkDown] : []),
  ...(maxReplicaLag === undefined ? [] : [ReplicaLag]),
  ...(degradedAfter === undefined ? [] : [Slow])
]

/** What is asked, in this order. */
const commandsOf = ({ database, password, username }: Settings): ReadonlyArray<Command> => [
  ...(password === undefined
    ? []
    : [["AUTH", ...(username === undefined ? [] : [username]), Redacted.value(password)] as const]),
  ...(database === 0 ? [] : [["SELECT", String(database)] as const]),
  ["INFO"],
  ["SETRANGE", "nexobot:probe", "0", ""],
  ["STRLEN", "nexobot:probe"]
]

/** Who gives a password where none is asked for is let in all the same. */
const needless = /no password is set|without any password configured/

/**
 * Refusals that tell nothing about writes or reads in general: not this user, not this node, not this command. A primary
 * that has just become a replica says so the next time.
 */
const unrelated = new Set(["NOPERM", "MOVED", "ASK", "ERR", "WRONGTYPE", "READONLY", "NOAUTH"])

const share = (part: number, whole: number): string => `${Math.floor((part / whole) * 100)} %`

/** What the other side says, as it may be shown. */
type Show = (text: string) => string

interface Refusals {
  readonly ofWrites: string | undefined
  readonly ofReads: string | undefined
}

const judgeInfo = (info: Info, refusals: Refusals, settings: Settings, took: Duration.Duration, show: Show): Any => {
  const target = targetOf(settings)
  const { clientsAt, degradedAfter, maxReplicaLag, memoryAt, role } = settings
  const { clients, link, maxClients, maxMemory, memory, unsaved } = info
  const says = (what: string) => [`${target}: ${what}`]
  const { ofReads, ofWrites } = refusals
  const both = new Set([ofReads, ofWrites])
  // It may have begun to load after it told INFO.
  if (info.loading || both.has("LOADING")) {
    const { loaded, loadingEta } = info
    const eta = loadingEta === undefined ? {} : { eta: Duration.seconds(loadingEta) }
    const how = loaded === undefined ? "" : `, ${share(loaded, 1)} so far`
    return Verdict.unhealthy(
      new Loading({ target, ...(loaded === undefined ? {} : { loaded }), ...eta }),
      says(`loads its data${how}`)
    )
  }
  if (role === "replica" && link === undefined)
    return Verdict.unhealthy(new NotReplica({ target }), says("is a primary"))
  if (role === "primary" && link !== undefined) {
    const primary = show(link.primary)
    return Verdict.unhealthy(new ReadOnly({ target, primary }), says(`is a replica of ${primary}`))
  }
  if (role === "replica" && link?.up === false) {
    const { syncing } = link
    const primary = show(link.primary)
    const downFor = link.downFor === undefined ? {} : { downFor: Duration.seconds(link.downFor) }
    const what = syncing ? "copies the data of" : "has no link to"
    return Verdict.unhealthy(new ReplicaLinkDown({ target, primary, syncing, ...downFor }), says(`${what} ${primary}`))
  }
  const full = new MemoryHigh({ target, used: memory, max: maxMemory })
  if (both.has("BUSY")) return Verdict.unhealthy(new Busy({ target }), says("runs a script for too long"))
  // Only a replica says that to a write, and it was none when it told INFO: it does not answer reads either.
  const readRefusal = ofReads ?? (ofWrites === "MASTERDOWN" ? ofWrites : undefined)
  if (readRefusal !== undefined) {
    const signature = new ReadsRefused({ target, code: readRefusal })
    return Verdict.unhealthy(signature, says(`refuses reads (${readRefusal})`))
  }
  if (ofWrites === "OOM") return Verdict.unhealthy(full, says("has no memory left for writes (OOM)"))
  if (ofWrites !== undefined) {
    const why = unsaved.length === 0 ? "" : `; what could not be saved: ${unsaved.join(", ")}`
    return Verdict.unhealthy(new WritesRefused({ target, code: ofWrites }), says(`refuses writes (${ofWrites})${why}`))
  }
  if (maxReplicaLag !== undefined) {
    const all = [
      ...info.replicas.map(({ address, lag }) => ({ replica: address, seconds: lag ?? 0 })),
      ...(link?.silentFor === undefined
        ? []
        : [{ replica: `${settings.host}:${settings.port}`, seconds: link.silentFor }])
    ]
    const late = all.find(({ seconds }) => Duration.isGreaterThan(Duration.seconds(seconds), maxReplicaLag))
    if (late !== undefined) {
      const lag = Duration.seconds(late.seconds)
      const replica = show(late.replica)
      const what = `replica ${replica} is ${Duration.format(lag)} behind`
      return Verdict.degraded(new ReplicaLag({ target, replica, lag }), says(what))
    }
  }
  if (!info.evicts && maxMemory > 0 && memory >= memoryAt * maxMemory) {
    return Verdict.degraded(full, says(`${share(memory, maxMemory)} of its memory is used, and it does not evict`))
  }
  if (maxClients !== undefined && clients >= clientsAt * maxClients) {
    const what = `${clients} of ${maxClients} connections are taken`
    return Verdict.degraded(new TooManyClients({ target, clients, max: maxClients }), says(what))
  }
  const [what] = unsaved
  if (what !== undefined) return Verdict.degraded(new SaveFailing({ target, what }), says(`its last ${what} failed`))
  if (degradedAfter !== undefined && Duration.isGreaterThan(took, degradedAfter)) {
    return Verdict.degraded(new Slow({ target, took, degradedAfter }), says(`took ${Duration.format(took)}`))
  }
  return Verdict.healthy
}

const judge = (heard: Heard, settings: Settings, took: Duration.Duration, show: Show): Any => {
  const { broken } = heard
  // A code is what the other side says, as any text is.
  const replies = heard.replies.map((reply) => (reply._tag === "Error" ? { ...reply, code: show(reply.code) } : reply))
  const target = targetOf(settings)
  const says = (what: string) => [`${target}: ${what}`]
  const denied = (code: string) =>
    Verdict.unhealthy(new AccessDenied({ target, code }), says(`denies access (${code})`))
  // Before anything is asked, it may refuse the connection.
  const [greeting] = replies
  if (greeting?._tag === "Error" && greeting.text.startsWith("ERR max number of clients")) {
    return Verdict.unhealthy(new TooManyClients({ target }), says("has no connection left (maxclients)"))
  }
  if (greeting?._tag === "Error" && greeting.code === "DENIED") return denied("DENIED")

  const named = new Map(commandsOf(settings).map(([name], index) => [name, replies[index]]))
  const refused = (name: string) => {
    const reply = named.get(name)
    return reply?._tag === "Error" ? reply : undefined
  }
  const [auth, info, select] = [refused("AUTH"), refused("INFO"), refused("SELECT")]
  // It may close the connection after that; who does so after any other error may be no Redis.
  const isDenial = auth !== undefined && !needless.test(auth.text) && (broken === undefined || auth.code !== "ERR")
  if (isDenial) return denied(auth.code)
  if (info?.code === "NOAUTH") return denied(info.code)
  if (broken !== undefined) return unreachable(broken, settings, show)
  if (info?.code === "BUSY") return Verdict.unhealthy(new Busy({ target }), says("runs a script for too long"))
  if (info?.code === "NOPERM") return Verdict.inconclusive(`${target}: its user may not run INFO (NOPERM)`)
  if (info !== undefined) return Verdict.inconclusive(`${target}: does not tell INFO (${info.code})`)
  if (select !== undefined) {
    return Verdict.inconclusive(`${target}: does not give database ${settings.database} (${select.code})`)
  }
  const told = named.get("INFO")
  const parsed = told === undefined ? undefined : parse(told.text)
  if (parsed === undefined) return unreachable("no Redis with data answers there", settings, show)
  const refusal = (name: string) => {
    const code = refused(name)?.code
    return code === undefined || unrelated.has(code) ? undefined : code
  }
  const ofWrites = parsed.role === "replica" ? undefined : refusal("SETRANGE")
  return judgeInfo(parsed, { ofWrites, ofReads: refusal("STRLEN") }, settings, took, show)
}

const unreachable = (code: string, settings: Settings, show: Show): Any => {
  const target = targetOf(settings)
  const own = ownFault(code)
  if (own !== undefined) return Verdict.inconclusive(`${target}: ${own}`)
  return Verdict.unhealthy(new Unreachable({ target, code: show(code) }), [`${target}: ${show(code)}`])
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends RedisProbeOptions>(
  options: Exactly<O, RedisProbeOptions>
): Probe.Probe<Found<O>> => {
  const settings = checked(options)
  const target = targetOf(settings)
  const { timeout } = settings
  const commands = commandsOf(settings)
  const ownSecrets = Redaction.make(settings.password === undefined ? [] : [settings.password])
  const check = Effect.flatMap(Redaction.Redactor, (shared) => {
    const redactor = Redaction.andThen(ownSecrets, shared)
    const show: Show = (text) => excerpt(text, redactor)
    let connected = false
    const asked = converse(settings, commands, () => {
      connected = true
    })
    return Effect.timed(asked).pipe(
      Effect.map(([took, heard]) => judge(heard, settings, took, show)),
      Effect.catch(({ code, isOwn }) =>
        Effect.succeed(
          isOwn ? Verdict.inconclusive(`${target} cannot be asked: ${show(code)}`) : unreachable(code, settings, show)
        )
      ),
      Effect.timeoutOrElse({
        duration: timeout,
        orElse: () =>
          Effect.sync(() =>
            Verdict.unhealthy(new Timeout({ target, after: timeout, connected }), [
              `${target}: ${connected ? "connected, no answer" : "no connection"} in time`
            ])
          )
      })
    )
  })
  const probe = Probe.make({
    name: options.name,
    reports: reported(settings),
    target,
    timeout,
    reach: reachOf(settings.host),
    // A key among the options of TLS is as secret as a password.
    question: ["RedisProbe", { ...settings, tls: Redacted.make(settings.tls) }],
    check
  })
  // Without an option, its signatures are neither declared nor found.
  return probe as Probe.Probe<Found<O>> // oxlint-disable-line typescript/no-unsafe-type-assertion
}
