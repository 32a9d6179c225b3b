/**
 * The connection to Redis that the adapters of this package share: an `ioredis` client, an optional peer dependency
 * that is loaded when `layer` is built.
 *
 * While Redis is away calls fail at once, rather than queue; the connection comes back by itself, and nothing that
 * happens to it ends the process.
 *
 * @since 0.1.0
 */
import type { ConnectionOptions } from "node:tls"

import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { Cluster, Redis } from "ioredis"

import * as Backoff from "./Backoff.ts"
import * as Connection from "./internal/redisConnection.ts"
import * as Options from "./Options.ts"
import { RedisClientError, type Reason, reasonOf, TimedOut } from "./RedisClientError.ts"

/**
 * @category services
 * @since 0.1.0
 */
export class RedisClient extends Context.Service<RedisClient, Redis | Cluster>()("@nexobot/core/RedisClient") {}

/**
 * An address in a list of nodes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Node {
  readonly host: string
  /** 6379 unless told; 26379 for a sentinel. */
  readonly port?: number
}

/**
 * Where Redis is, as exactly one of `url`, `host`, `sentinels` and `cluster`, and how to behave when it is not there.
 *
 * @category models
 * @since 0.1.0
 */
export interface RedisClientOptions {
  /** `redis://user:password@host:6379/0`, or `rediss://` for TLS. */
  readonly url?: Redacted.Redacted
  readonly host?: string
  /** With `host`; 6379 unless told. */
  readonly port?: number
  /** Sentinels that know where the primary is; the name of its group is `primary`. */
  readonly sentinels?: ReadonlyArray<Node>
  /** With `sentinels`; `mymaster` unless told. */
  readonly primary?: string
  /** Some nodes of a Redis Cluster; the others are found through them. */
  readonly cluster?: ReadonlyArray<Node>
  readonly username?: string
  readonly password?: Redacted.Redacted
  /** The number of the database; 0 unless told. A cluster has only 0. */
  readonly database?: number
  /** `true` for TLS with what Node trusts, or options of `node:tls`. */
  readonly tls?: boolean | ConnectionOptions
  /** How long a command waits for its answer; 1 second unless told. */
  readonly commandTimeout?: Duration.Input
  /** How long an attempt to connect may take; 2 seconds unless told. */
  readonly connectTimeout?: Duration.Input
  /**
   * Over how many new connections an unanswered command is sent again, from 0 to 20; 0 unless told, as it may have been
   * executed already.
   */
  readonly maxRetriesPerRequest?: number
  /** Whether calls wait, at most `commandTimeout`, for Redis to come back instead of failing at once; not unless told. */
  readonly offlineQueue?: boolean
  /** Between attempts to connect, which never end; 50 milliseconds to 2 seconds with full jitter unless told. */
  readonly reconnect?: Backoff.Backoff
  /**
   * Whether to connect at the first call made through `use`. Unless told, building the layer connects; it waits for the
   * first attempt, and succeeds also when that failed.
   */
  readonly lazy?: boolean
  /** What `CLIENT LIST` shows; `nexobot` unless told. */
  readonly connectionName?: string
}

const checks = Options.checks("RedisClient")

const places = ["url", "host", "sentinels", "cluster"] as const

/** A URL in the place of a host may have a password: what is wrong is never shown. */
const hostOf = (option: string, host: unknown): string =>
  typeof host === "string" && /^[^\s/@]+$/.test(host)
    ? host
    : checks.fail(option, Redacted.make(""), "a host name or an address, without /, @ and blanks")

const nodes = (option: string, value: ReadonlyArray<Node> | undefined, port: number) => {
  if (value === undefined) return undefined
  if (!Array.isArray(value) || value.length === 0) {
    return checks.fail(option, Redacted.make(""), "a list of at least one node")
  }
  return value.map((node: unknown, index) => {
    const path = `${option}.${index}`
    if (typeof node !== "object" || node === null) return checks.fail(path, Redacted.make(""), "a node with a host")
    checks.known(node, ["host", "port"], `${path}.`)
    return {
      host: hostOf(`${path}.host`, "host" in node ? node.host : undefined),
      port: checks.port(`${path}.port`, ("port" in node ? node.port : undefined) ?? port)
    }
  })
}

/** Timers count milliseconds in 31 bits, and take more for nothing. */
const mostMillis = 2 ** 31 - 1

const millis = (option: string, value: Duration.Input): number => {
  const found = Duration.toMillis(checks.duration(option, value, 1))
  return found > mostMillis ? checks.fail(option, value, `at most ${mostMillis} milliseconds`) : found
}

/** A value that is wrong is never shown: it has a password. */
const addressOf = (url: Redacted.Redacted): string => {
  const text = Redacted.isRedacted(url) ? Redacted.value(url) : undefined
  return typeof text === "string" && URL.canParse(text) && /^rediss?:$/.test(new URL(text).protocol)
    ? text
    : checks.fail("url", Redacted.make(""), "a redacted redis:// or rediss:// URL")
}

const passwordOf = (password: Redacted.Redacted): string =>
  Redacted.isRedacted(password) && typeof Redacted.value(password) === "string"
    ? Redacted.value(password)
    : checks.fail("password", Redacted.make(""), "a redacted string")

const flag = (option: string, value: unknown = false): boolean =>
  typeof value === "boolean" ? value : checks.fail(option, value, "true or false")

const isNull = (value: unknown): value is null => value === null

const isBackoff = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "delay" in value && typeof value.delay === "function"

const known: ReadonlyArray<keyof RedisClientOptions> = [
  ...places,
  "port",
  "primary",
  "username",
  "password",
  "database",
  "tls",
  "commandTimeout",
  "connectTimeout",
  "maxRetriesPerRequest",
  "offlineQueue",
  "reconnect",
  "lazy",
  "connectionName"
]

const settingsOf = (options: RedisClientOptions) => {
  checks.known(options, known)
  const given = places.filter((place) => options[place] !== undefined)
  if (given.length !== 1) checks.fail(given[1] ?? "url", given, "exactly one of url, host, sentinels and cluster")
  for (const [option, place] of [["port", "host"] as const, ["primary", "sentinels"] as const]) {
    if (options[option] !== undefined && options[place] === undefined) {
      checks.fail(option, options[option], `nothing without ${place}`)
    }
  }
  const database = checks.integer("database", options.database ?? 0, 0, options.cluster === undefined ? 1_000_000 : 0)
  const commandTimeout = millis("commandTimeout", options.commandTimeout ?? "1 second")
  const { reconnect = Backoff.exponential({ initial: "50 millis", max: "2 seconds" }), tls = false } = options
  if (!isBackoff(reconnect)) checks.fail("reconnect", reconnect, "a Backoff")
  if (typeof tls !== "object" || Array.isArray(tls) || isNull(tls)) flag("tls", tls)
  return {
    url: options.url === undefined ? undefined : addressOf(options.url),
    cluster: nodes("cluster", options.cluster, 6379),
    lazy: flag("lazy", options.lazy),
    offlineQueue: flag("offlineQueue", options.offlineQueue),
    reconnect,
    place: {
      ...(options.host === undefined
        ? {}
        : { host: hostOf("host", options.host), port: checks.port("port", options.port ?? 6379) }),
      ...(options.sentinels === undefined
        ? {}
        : {
            sentinels: nodes("sentinels", options.sentinels, 26379),
            name: checks.nonEmptyString("primary", options.primary ?? "mymaster")
          })
    },
    connection: {
      ...(options.username === undefined ? {} : { username: checks.nonEmptyString("username", options.username) }),
      ...(options.password === undefined ? {} : { password: passwordOf(options.password) }),
      // What the URL says holds unless an option says otherwise.
      ...(options.database === undefined ? {} : { db: database }),
      ...(tls === false ? {} : { tls: tls === true ? {} : tls }),
      commandTimeout,
      // A server that stopped answering holds what it is sent: after this the connection is given up, and calls fail at once.
      socketTimeout: Math.min(2 * commandTimeout, mostMillis),
      connectTimeout: millis("connectTimeout", options.connectTimeout ?? "2 seconds"),
      maxRetriesPerRequest: checks.integer("maxRetriesPerRequest", options.maxRetriesPerRequest ?? 0, 0, 20),
      connectionName: checks.nonEmptyString("connectionName", options.connectionName ?? "nexobot")
    }
  }
}

type Settings = ReturnType<typeof settingsOf>

const open = Effect.fnUntraced(function* (settings: Settings): Effect.fn.Return<Redis | Cluster, never, Scope.Scope> {
  const random = yield* Random.Random
  const ioredis = yield* Effect.promise(() => import("ioredis"))
  const delay = (times: number) => settings.reconnect.delay(times - 1, random.nextDoubleUnsafe())
  const { cluster, connection, offlineQueue, place, url } = settings
  const make = () => {
    if (cluster !== undefined) {
      const how = { clusterRetryStrategy: delay, enableOfflineQueue: offlineQueue, lazyConnect: true }
      return new ioredis.Cluster(cluster, { ...how, redisOptions: connection })
    }
    const how = {
      retryStrategy: delay,
      sentinelRetryStrategy: delay,
      enableOfflineQueue: offlineQueue,
      lazyConnect: true
    }
    const all = { ...connection, ...place, ...how }
    return url === undefined ? new ioredis.Redis(all) : new ioredis.Redis(url, all)
  }
  const client = yield* Effect.acquireRelease(Effect.sync(make), Connection.close)
  // Sockets may complain while they are closed, when nobody watches any more; `ioredis` would print that.
  client.on("error", () => undefined)
  yield* watch(client)
  // What went wrong is told to the first call, and by `watch`.
  if (!settings.lazy) yield* Effect.ignore(connect(client))
  return client
})

/** Why a client has no connection, for calls that only hear that there is none. */
const troubles = new WeakMap<Redis | Cluster, Reason>()

type Run = (effect: Effect.Effect<void>) => unknown

/** Who watches a client, and how the listeners that all of them share are taken away. */
interface Watch {
  readonly runs: Set<Run>
  readonly stop: () => void
}

const watches = new WeakMap<Redis | Cluster, Watch>()

const listenTo = (client: Redis | Cluster): Watch => {
  const runs = new Set<Run>()
  // By the one who has watched longest, so that it is told once.
  const tell = (effect: Effect.Effect<void>) => {
    for (const run of runs) return void run(effect)
  }
  const onError = (cause: unknown) => {
    const first = !troubles.has(client)
    const reason = reasonOf(cause, Duration.millis(Connection.commandTimeout(client)))
    troubles.set(client, reason)
    if (first) tell(Effect.logWarning(new RedisClientError({ reason }).message))
  }
  const onReady = () => {
    if (troubles.delete(client)) tell(Effect.logInfo("Redis is back"))
  }
  client.on("error", onError)
  client.on("ready", onReady)
  return { runs, stop: () => void client.off("ready", onReady).off("error", onError) }
}

/** Without a listener `ioredis` prints every error. An outage is logged once, and so is its end. */
const watch = (client: Redis | Cluster): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.contextWith((context: Context.Context<never>) =>
      Effect.sync(() => {
        const run: Run = Effect.runForkWith(context)
        const found = watches.get(client) ?? listenTo(client)
        watches.set(client, found)
        found.runs.add(run)
        return { found, run }
      })
    ),
    ({ found, run }) =>
      Effect.sync(() => {
        found.runs.delete(run)
        if (found.runs.size > 0) return
        watches.delete(client)
        found.stop()
      })
  )

const errorOf = (client: Redis | Cluster, cause: unknown, limit: Duration.Duration): RedisClientError => {
  const reason = reasonOf(cause, limit)
  return new RedisClientError({ reason: reason._tag === "Unreachable" ? (troubles.get(client) ?? reason) : reason })
}

/** The first connection of a lazy client, which calls that come meanwhile wait for too. */
const connecting = new WeakMap<Redis | Cluster, Promise<unknown>>()

const started = (client: Redis | Cluster): Promise<unknown> | undefined => {
  if (client.status === "wait") {
    // The call that follows finds no connection, and says so.
    connecting.set(
      client,
      client.connect().then(
        () => connecting.delete(client),
        () => connecting.delete(client)
      )
    )
  }
  return connecting.get(client)
}

const bounded = <A>(client: Redis | Cluster, run: () => Promise<A>, limit: Duration.Duration) => {
  const running = Effect.tryPromise({ try: run, catch: (cause) => errorOf(client, cause, limit) })
  if (!Duration.isFinite(limit)) return running
  return Effect.timeoutOrElse(running, {
    duration: limit,
    orElse: () => Effect.fail(new RedisClientError({ reason: new TimedOut({ after: limit }) }))
  })
}

/**
 * Connects a client that has not been, and fails when its first attempt does.
 *
 * @category operations
 * @since 0.1.0
 */
export const connect = (client: Redis | Cluster): Effect.Effect<void, RedisClientError> =>
  bounded(client, () => client.connect(), Duration.millis(Connection.connectTimeout(client)))

/**
 * Calls a client. Fails with a typed reason when there is no answer within `limit`, which is the client's command
 * timeout unless told (1 second if it has none); an infinite one waits for as long as the connection lives.
 *
 * @category operations
 * @since 0.1.0
 */
export const call = <A>(
  client: Redis | Cluster,
  f: (client: Redis | Cluster) => Promise<A>,
  limit: Duration.Duration = Duration.millis(Connection.commandTimeout(client))
): Effect.Effect<A, RedisClientError> =>
  bounded(
    client,
    () => {
      const first = started(client)
      return first === undefined ? f(client) : first.then(() => f(client))
    },
    limit
  )

/**
 * Calls the client of this context; see `call`.
 *
 * @category operations
 * @since 0.1.0
 */
export const use = <A>(f: (client: Redis | Cluster) => Promise<A>): Effect.Effect<A, RedisClientError, RedisClient> =>
  Effect.flatMap(RedisClient, (client) => call(client, f))

/**
 * A connection of our own, closed with the layer. It is built also while Redis is away: calls fail with `Unreachable`
 * until it is there.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: RedisClientOptions): Layer.Layer<RedisClient> => {
  const settings = settingsOf(options)
  return Layer.effect(RedisClient, open(settings))
}

/**
 * A client that you made and close. Give it `enableOfflineQueue: false`, or calls queue while Redis is away until they
 * time out.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFrom = (client: Redis | Cluster): Layer.Layer<RedisClient> =>
  Layer.effect(RedisClient, Effect.as(watch(client), client))
