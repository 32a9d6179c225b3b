/**
 * Asks a Redis how it is (`INFO`), and a primary whether it takes writes, without writing: `PING` is answered by a
 * replica, by one whose memory is full, and by one that cannot save and refuses every write.
 *
 * The question is `SETRANGE nexobot:probe 0 ""`. It is refused as any write is, and with an empty value it changes
 * nothing, whether the key exists or not.
 *
 * @since 0.1.0
 */
import type { ConnectionOptions } from "node:tls"

import * as Probe from "@nexobot/core/Probe"
import * as Verdict from "@nexobot/core/Verdict"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

import type { Exactly, Given } from "./internal/given.ts"
import { reachOf } from "./internal/reach.ts"
import { type Command, converse, type Heard } from "./internal/redisConversation.ts"
import { type Info, parse } from "./internal/redisInfo.ts"
import { checked, type Settings, targetOf } from "./internal/redisOptions.ts"
import { ownFault } from "./internal/systemError.ts"

/**
 * No connection, or it broke, or something answers there that is no Redis with data.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Unreachable extends Schema.TaggedClass<Unreachable>("@nexobot/probes/Redis/Unreachable")(
  "Redis/Unreachable",
  {
    target: Schema.String,
    /** The system's code, for example `ECONNREFUSED`, or what is wrong. */
    code: Schema.String
  }
) {}

/**
 * No connection, or not all answers, within the time allowed.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Timeout extends Schema.TaggedClass<Timeout>("@nexobot/probes/Redis/Timeout")("Redis/Timeout", {
  target: Schema.String,
  after: Schema.DurationFromMillis,
  /** Whether the connection stood: then something is there and does not answer. */
  connected: Schema.Boolean
}) {}

/**
 * User or password are missing or wrong, or it lets no stranger in (protected mode).
 *
 * @category signatures
 * @since 0.1.0
 */
export class AccessDenied extends Schema.TaggedClass<AccessDenied>("@nexobot/probes/Redis/AccessDenied")(
  "Redis/AccessDenied",
  {
    target: Schema.String,
    /** Redis's own: `NOAUTH`, `WRONGPASS`, `DENIED`; `ERR` in versions below 6. */
    code: Schema.String
  }
) {}

/**
 * It has started and reads its data.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Loading extends Schema.TaggedClass<Loading>("@nexobot/probes/Redis/Loading")("Redis/Loading", {
  target: Schema.String,
  /** How much it has read, from 0 to 1, as it reckons. */
  loaded: Schema.optionalKey(Schema.Finite),
  /** How long it will still take, as it reckons. */
  eta: Schema.optionalKey(Schema.DurationFromMillis)
}) {}

/**
 * A script or a function runs for so long that it refuses everything else (`BUSY`).
 *
 * @category signatures
 * @since 0.1.0
 */
export class Busy extends Schema.TaggedClass<Busy>("@nexobot/probes/Redis/Busy")("Redis/Busy", {
  target: Schema.String
}) {}

/**
 * Nearly all of its connections are taken (degraded), or it refuses new ones (unhealthy).
 *
 * @category signatures
 * @since 0.1.0
 */
export class TooManyClients extends Schema.TaggedClass<TooManyClients>("@nexobot/probes/Redis/TooManyClients")(
  "Redis/TooManyClients",
  {
    target: Schema.String,
    /** Connections, replicas included; who is refused does not learn it. */
    clients: Schema.optionalKey(Schema.Int),
    max: Schema.optionalKey(Schema.Int)
  }
) {}

/**
 * It is a primary and refuses writes: it cannot save (`MISCONF`), has too few replicas (`NOREPLICAS`), or its cluster is
 * down (`CLUSTERDOWN`).
 *
 * @category signatures
 * @since 0.1.0
 */
export class WritesRefused extends Schema.TaggedClass<WritesRefused>("@nexobot/probes/Redis/WritesRefused")(
  "Redis/WritesRefused",
  { target: Schema.String, code: Schema.String }
) {}

/**
 * Without eviction, its memory is nearly full (degraded), or full, so that it refuses writes (unhealthy).
 *
 * @category signatures
 * @since 0.1.0
 */
export class MemoryHigh extends Schema.TaggedClass<MemoryHigh>("@nexobot/probes/Redis/MemoryHigh")("Redis/MemoryHigh", {
  target: Schema.String,
  /** Bytes. */
  used: Schema.Int,
  /** Bytes: its `maxmemory`. */
  max: Schema.Int
}) {}

/**
 * It works, and what it holds does not get to its disk.
 *
 * @category signatures
 * @since 0.1.0
 */
export class SaveFailing extends Schema.TaggedClass<SaveFailing>("@nexobot/probes/Redis/SaveFailing")(
  "Redis/SaveFailing",
  {
    target: Schema.String,
    /** What failed last: `snapshot`, `append only file`, or `rewrite of the append only file`. */
    what: Schema.String
  }
) {}

/**
 * A replica where a primary should be: it takes no writes, or loses them.
 *
 * @category signatures
 * @since 0.1.0
 */
export class ReadOnly extends Schema.TaggedClass<ReadOnly>("@nexobot/probes/Redis/ReadOnly")("Redis/ReadOnly", {
  target: Schema.String,
  /** The address that it follows. */
  primary: Schema.String
}) {}

/**
 * A primary where a replica should be.
 *
 * @category signatures
 * @since 0.1.0
 */
export class NotReplica extends Schema.TaggedClass<NotReplica>("@nexobot/probes/Redis/NotReplica")("Redis/NotReplica", {
  target: Schema.String
}) {}

/**
 * A replica without its primary: what it answers gets older.
 *
 * @category signatures
 * @since 0.1.0
 */
export class ReplicaLinkDown extends Schema.TaggedClass<ReplicaLinkDown>("@nexobot/probes/Redis/ReplicaLinkDown")(
  "Redis/ReplicaLinkDown",
  {
    target: Schema.String,
    /** The address that it should follow. */
    primary: Schema.String,
    /** Whether it copies all of the primary's data, which ends by itself. */
    syncing: Schema.Boolean,
    downFor: Schema.optionalKey(Schema.DurationFromMillis)
  }
) {}

/**
 * A replica is too far behind, as far as Redis knows that.
 *
 * @category signatures
 * @since 0.1.0
 */
export class ReplicaLag extends Schema.TaggedClass<ReplicaLag>("@nexobot/probes/Redis/ReplicaLag")("Redis/ReplicaLag", {
  target: Schema.String,
  /** Its address. */
  replica: Schema.String,
  lag: Schema.DurationFromMillis
}) {}

/**
 * All was answered, later than `degradedAfter`.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Slow extends Schema.TaggedClass<Slow>("@nexobot/probes/Redis/Slow")("Redis/Slow", {
  target: Schema.String,
  took: Schema.DurationFromMillis,
  degradedAfter: Schema.DurationFromMillis
}) {}

/**
 * Where Redis is, as `url` or in parts, and what it should be.
 *
 * @category models
 * @since 0.1.0
 */
export interface RedisProbeOptions {
  readonly name: string
  /** `redis://user:password@host:6379/0`, or `rediss://` for TLS. User, password and database are optional. */
  readonly url?: string | Redacted.Redacted
  /** 127.0.0.1 unless told. */
  readonly host?: string
  /** 6379 unless told. */
  readonly port?: number
  readonly username?: string
  readonly password?: Redacted.Redacted
  /** The number of the database; 0 unless told. */
  readonly database?: number
  /** `true` for TLS with what Node trusts, or options of `node:tls`; they may go with a `rediss://` URL too. */
  readonly tls?: boolean | ConnectionOptions
  /** What it must be. Either is fine unless told. */
  readonly role?: "primary" | "replica"
  /**
   * With `role`. Of a primary, how long one of its replicas may say nothing; of a replica, how long its primary may: that
   * speaks every 10 seconds at least, as `repl-ping-replica-period` says. Not judged unless told.
   */
  readonly maxReplicaLag?: Duration.Input
  /** From this share of `maxmemory` on its memory is high, unless it evicts; 0.9 unless told. */
  readonly memoryAt?: number
  /** From this share of `maxclients` on it has too many clients; 0.9 unless told. */
  readonly clientsAt?: number
  /** Longer answers are degraded, as `Redis/Slow`. */
  readonly degradedAfter?: Duration.Input
  /** Until all is answered; 5 seconds unless told. */
  readonly timeout?: Duration.Input
}

type Always =
  | Unreachable
  | Timeout
  | AccessDenied
  | Loading
  | Busy
  | TooManyClients
  | WritesRefused
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
  ["SETRANGE", "nexobot:probe", "0", ""]
]

/** Who gives a password where none is asked for is let in all the same. */
const needless = /no password is set|without any password configured/

/** Refusals that tell nothing about writes in general: not this user, not this node, not this command. */
const unrelated = new Set(["NOPERM", "MOVED", "ASK", "ERR", "WRONGTYPE", "READONLY", "NOAUTH"])

const share = (part: number, whole: number): string => `${Math.floor((part / whole) * 100)} %`

const judgeInfo = (info: Info, refusal: string | undefined, settings: Settings, took: Duration.Duration): Any => {
  const target = targetOf(settings)
  const { clientsAt, degradedAfter, maxReplicaLag, memoryAt, role } = settings
  const { clients, link, maxClients, maxMemory, memory, unsaved } = info
  const says = (what: string) => [`${target}: ${what}`]
  if (info.loading) {
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
    const { primary } = link
    return Verdict.unhealthy(new ReadOnly({ target, primary }), says(`is a replica of ${primary}`))
  }
  if (role === "replica" && link?.up === false) {
    const { primary, syncing } = link
    const downFor = link.downFor === undefined ? {} : { downFor: Duration.seconds(link.downFor) }
    const what = syncing ? "copies the data of" : "has no link to"
    return Verdict.unhealthy(new ReplicaLinkDown({ target, primary, syncing, ...downFor }), says(`${what} ${primary}`))
  }
  const full = new MemoryHigh({ target, used: memory, max: maxMemory })
  if (refusal === "BUSY") return Verdict.unhealthy(new Busy({ target }), says("runs a script for too long"))
  if (refusal === "OOM") return Verdict.unhealthy(full, says("has no memory left for writes (OOM)"))
  if (refusal !== undefined) {
    const why = unsaved.length === 0 ? "" : `; what could not be saved: ${unsaved.join(", ")}`
    return Verdict.unhealthy(new WritesRefused({ target, code: refusal }), says(`refuses writes (${refusal})${why}`))
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
      const what = `replica ${late.replica} is ${Duration.format(lag)} behind`
      return Verdict.degraded(new ReplicaLag({ target, replica: late.replica, lag }), says(what))
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

const judge = ({ broken, replies }: Heard, settings: Settings, took: Duration.Duration): Any => {
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
  if (broken !== undefined) return unreachable(broken, settings)

  const named = new Map(commandsOf(settings).map(([name], index) => [name, replies[index]]))
  const refused = (name: string) => {
    const reply = named.get(name)
    return reply?._tag === "Error" ? reply : undefined
  }
  const [auth, info, select, write] = [refused("AUTH"), refused("INFO"), refused("SELECT"), refused("SETRANGE")]
  if (auth !== undefined && !needless.test(auth.text)) return denied(auth.code)
  if (info?.code === "NOAUTH") return denied(info.code)
  if (info?.code === "BUSY") return Verdict.unhealthy(new Busy({ target }), says("runs a script for too long"))
  if (info?.code === "NOPERM") return Verdict.inconclusive(`${target}: its user may not run INFO (NOPERM)`)
  if (info !== undefined) return Verdict.inconclusive(`${target}: does not tell INFO (${info.code})`)
  if (select !== undefined) {
    return Verdict.inconclusive(`${target}: does not give database ${settings.database} (${select.code})`)
  }
  const told = named.get("INFO")
  const parsed = told === undefined ? undefined : parse(told.text)
  if (parsed === undefined) return unreachable("no Redis with data answers there", settings)
  const refusal = write === undefined || parsed.role === "replica" || unrelated.has(write.code) ? undefined : write.code
  return judgeInfo(parsed, refusal?.slice(0, 200), settings, took)
}

const unreachable = (code: string, settings: Settings): Any => {
  const target = targetOf(settings)
  const own = ownFault(code)
  if (own !== undefined) return Verdict.inconclusive(`${target}: ${own}`)
  return Verdict.unhealthy(new Unreachable({ target, code: code.slice(0, 200) }), [`${target}: ${code.slice(0, 200)}`])
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
  const check = Effect.suspend(() => {
    let connected = false
    const asked = converse(settings, commands, () => {
      connected = true
    })
    return Effect.timed(asked).pipe(
      Effect.map(([took, heard]) => judge(heard, settings, took)),
      Effect.catch((code) => Effect.succeed(unreachable(code, settings))),
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
    reach: reachOf(settings.host),
    // A key among the options of TLS is as secret as a password.
    question: ["RedisProbe", { ...settings, tls: Redacted.make(settings.tls) }],
    check
  })
  // Without an option, its signatures are neither declared nor found.
  return probe as Probe.Probe<Found<O>> // oxlint-disable-line typescript/no-unsafe-type-assertion
}
