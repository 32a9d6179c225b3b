/**
 * What Effect's `RateLimiter`, `PersistedQueue`, `PersistedCache` and `Persistence` need of Redis, over the shared
 * `RedisClient`.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { cast } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Persistence from "effect/persistence/Redis"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import type { Cluster, Redis } from "ioredis"

import * as Backoff from "./Backoff.ts"
import * as Connection from "./internal/redisConnection.ts"
import * as Options from "./Options.ts"
import * as RedisClient from "./RedisClient.ts"

/**
 * The connections kept for blocking commands (`Redis.reserve`).
 *
 * @category models
 * @since 0.1.0
 */
export interface RedisPersistenceOptions {
  /** At most so many; 10 unless told. More callers wait. */
  readonly maxConnections?: number
  /** Kept though nobody uses them; 0 unless told. */
  readonly minConnections?: number
  /** How long one of the others is kept; 60 seconds unless told. */
  readonly idleTimeout?: Duration.Input
  /** How long a caller waits for one before it fails; for ever unless told. */
  readonly acquireTimeout?: Duration.Input
}

const checks = Options.checks("RedisPersistence")

const poolOf = (options: RedisPersistenceOptions) => {
  checks.known(options, ["maxConnections", "minConnections", "idleTimeout", "acquireTimeout"])
  const maxConnections = checks.integer("maxConnections", options.maxConnections ?? 10, 1, 1000)
  return {
    maxConnections,
    minConnections: checks.integer("minConnections", options.minConnections ?? 0, 0, maxConnections),
    idleTimeout: checks.duration("idleTimeout", options.idleTimeout ?? "60 seconds", 1),
    acquireTimeout:
      options.acquireTimeout === undefined ? undefined : checks.duration("acquireTimeout", options.acquireTimeout, 1)
  }
}

/** Where a blocking command says how long it may block: first, last, or after `BLOCK`; in seconds or milliseconds. */
const blocking: ReadonlyMap<string, { readonly at: "first" | "last" | "block"; readonly unit: number }> = new Map(
  Object.entries({
    BLPOP: { at: "last", unit: 1000 },
    BRPOP: { at: "last", unit: 1000 },
    BLMOVE: { at: "last", unit: 1000 },
    BRPOPLPUSH: { at: "last", unit: 1000 },
    BZPOPMIN: { at: "last", unit: 1000 },
    BZPOPMAX: { at: "last", unit: 1000 },
    BLMPOP: { at: "first", unit: 1000 },
    BZMPOP: { at: "first", unit: 1000 },
    WAIT: { at: "last", unit: 1 },
    WAITAOF: { at: "last", unit: 1 },
    XREAD: { at: "block", unit: 1 },
    XREADGROUP: { at: "block", unit: 1 }
  } as const)
)

/** Milliseconds that a command may take in Redis itself. */
const blocksFor = (command: string, args: ReadonlyArray<string>): number => {
  const rule = blocking.get(command.toUpperCase())
  if (rule === undefined) return 0
  const { at, unit } = rule
  const after = args.findIndex((arg) => arg.toUpperCase() === "BLOCK")
  if (at === "block" && after === -1) return 0
  const time = Number(at === "first" ? args[0] : at === "last" ? args.at(-1) : args[after + 1]) * unit
  // What is no number Redis refuses itself.
  return time === 0 ? Infinity : Number.isNaN(time) ? 0 : time
}

const failed = (cause: unknown) => new Persistence.RedisError({ cause })

/** A script has to be known to whichever node of a cluster a key leads to. */
const request = (client: Redis | Cluster, command: string, args: ReadonlyArray<string>): Promise<unknown> =>
  Connection.isCluster(client) && command.toUpperCase() === "SCRIPT"
    ? Promise.all(client.nodes("master").map((node) => node.call(command, ...args))).then(([first]) => first)
    : client.call(command, ...args)

const sendOn =
  (client: Redis | Cluster, commandTimeout: number) =>
  <A>(command: string, ...args: ReadonlyArray<string>): Effect.Effect<A, Persistence.RedisError> => {
    const limit = Duration.millis(commandTimeout + blocksFor(command, args))
    // What a command answers with its caller knows, and the service believes it.
    return RedisClient.call(client, () => request(client, command, args), limit).pipe(
      Effect.map((answer) => cast<unknown, A>(answer)),
      Effect.mapError(failed)
    )
  }

const subscribe = Effect.fnUntraced(function* (
  client: Redis | Cluster,
  channel: string,
  onMessage: (message: Persistence.RedisMessage) => void
): Effect.fn.Return<Redis | Cluster, never, Scope.Scope> {
  const random = yield* Random.Random
  const backoff = Backoff.exponential({ initial: "50 millis", max: "2 seconds" })
  const retry = (times: number) => backoff.delay(times - 1, random.nextDoubleUnsafe())
  const subscriber = yield* Effect.acquireRelease(
    Effect.sync(() => Connection.duplicate(client, { retry, blocking: false })),
    Connection.close
  )
  subscriber.on("message", (from: string, message: string) => onMessage({ channel: from, message }))
  // By hand at every new connection: what `ioredis` sends on its own rejects unhandled when that breaks again.
  const listen = () =>
    subscriber.subscribe(channel).then(
      () => undefined,
      () => subscriber.disconnect(true)
    )
  const first = new Promise<void>((resolve) => {
    subscriber.on("ready", () => void listen().then(resolve))
    subscriber.once("close", () => resolve())
  })
  subscriber.connect().catch(() => undefined)
  yield* Effect.promise(() => first).pipe(Effect.timeoutOption(Connection.commandTimeout(client)))
  return subscriber
})

/** A peer that vanished without a word leaves a subscriber deaf; so often it is asked whether it is there. */
const heartbeat = "10 seconds"

const keepAlive = (subscriber: Redis | Cluster): Effect.Effect<never> => {
  const alive = RedisClient.call(subscriber, (one) => one.ping()).pipe(
    Effect.catch(() => Effect.sync(() => subscriber.disconnect(true)))
  )
  return Effect.sleep(heartbeat).pipe(
    Effect.andThen(Effect.suspend(() => (subscriber.status === "ready" ? alive : Effect.void))),
    Effect.forever
  )
}

const connect = (client: Redis | Cluster) =>
  Effect.suspend(() => {
    const connection = Connection.duplicate(client, { retry: null, blocking: true })
    const close = Connection.close(connection)
    return RedisClient.connect(connection).pipe(
      Effect.mapError(failed),
      Effect.onError(() => close),
      Effect.as({ send: sendOn(connection, Connection.commandTimeout(client)), close })
    )
  })

/**
 * The service over the client of this context. Every failure is a `RedisError` whose cause is a `RedisClientError`.
 *
 * A subscription that cannot be made now is made as soon as Redis is there; messages published meanwhile are missed.
 * Reserved connections do not reconnect; a blocking command on one may take as long as it says it blocks, and a command
 * timeout more.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: RedisPersistenceOptions = {}
): Effect.Effect<Persistence.Redis["Service"], never, RedisClient.RedisClient | Scope.Scope> => {
  const pool = poolOf(options)
  return Effect.flatMap(RedisClient.RedisClient, (client) =>
    Persistence.make({
      send: sendOn(client, Connection.commandTimeout(client)),
      subscribe: (channel, onMessage) => Effect.map(subscribe(client, channel, onMessage), keepAlive),
      connect: connect(client),
      pool
    })
  )
}

/**
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options: RedisPersistenceOptions = {}
): Layer.Layer<Persistence.Redis, never, RedisClient.RedisClient> => Layer.effect(Persistence.Redis, make(options))
