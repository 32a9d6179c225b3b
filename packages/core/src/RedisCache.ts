/**
 * A cache in Redis, shared by all processes that use the same prefix. Expiry is Redis's own: no clock of a client
 * decides, and nothing is left behind.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

import { type CachePort, CachePortError, Unstorable, UnusableKey } from "./CachePort.ts"
import * as Options from "./Options.ts"
import * as RedisClient from "./RedisClient.ts"
import type { RedisClientError } from "./RedisClientError.ts"

const checks = Options.checks("RedisCache")

/** Something else is kept under the key: no copy of ours, and SET replaces it. */
const isOtherType = (failure: Error): boolean => failure.message.startsWith("WRONGTYPE")

/** Anything else is the same text for many keys, such as `[object Object]`. */
const isText = (key: unknown): key is string | number | bigint | boolean =>
  typeof key === "string" || typeof key === "number" || typeof key === "bigint" || typeof key === "boolean"

/** A client may be told to give numbers as text. */
const millisOf = (remaining: unknown): number =>
  typeof remaining === "number" || typeof remaining === "string" ? Number(remaining) : Number.NaN

/**
 * Values are kept as JSON by way of `schema`, one Redis string for each key.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <Key, Value>(options: {
  /** Before every key; give it a version when the schema changes, for example `users:v2:`. */
  readonly prefix: string
  readonly schema: Schema.Codec<Value, unknown>
  /** The key as text; needed unless keys are strings, numbers or booleans: others are refused by `CachePortError`. */
  readonly key?: (key: Key) => string
}): Effect.Effect<CachePort<Key, Value, RedisClientError | CachePortError>, never, RedisClient.RedisClient> => {
  checks.known(options, ["prefix", "schema", "key"])
  const prefix = checks.nonEmptyString("prefix", options.prefix)
  const { key: textOf } = options
  if (textOf !== undefined && typeof textOf !== "function")
    checks.fail("key", textOf, "a function from the key to text")
  if (!Schema.isSchema(options.schema)) checks.fail("schema", options.schema, "a schema")
  // The time that a copy may be stale is written beside it, so that Redis's remaining time tells whether it is fresh.
  const Stored = Schema.fromJsonString(
    Schema.Struct({ staleFor: Schema.Int, value: Schema.toCodecJson(options.schema) })
  )
  const decode = Schema.decodeUnknownOption(Stored)
  const encode = Schema.encodeEffect(Stored)
  const nameOf = (key: Key): Effect.Effect<string, CachePortError> =>
    Effect.suspend(() => {
      const text = textOf === undefined ? key : textOf(key)
      if (isText(text)) return Effect.succeed(`${prefix}${text}`)
      const why = `it is ${typeof text === "object" ? "an object" : `of type ${typeof text}`}, not text`
      return Effect.fail(new CachePortError({ reason: new UnusableKey({ why }) }))
    })
  return Effect.map(RedisClient.RedisClient, (client) => ({
    get: (key) =>
      nameOf(key).pipe(
        Effect.flatMap((name) =>
          RedisClient.call(client, async (redis) => {
            // Together, or the time would be that of a later copy.
            const [content, remaining] = (await redis.multi().get(name).pttl(name).exec()) ?? []
            const failure = content?.[0]
            if (failure !== null && failure !== undefined && !isOtherType(failure)) throw failure
            return { content: content?.[1], remaining: millisOf(remaining?.[1]) }
          })
        ),
        Effect.map(({ content, remaining }) => {
          const stored = Option.getOrUndefined(decode(content))
          // No expiry means that it was not written here.
          if (stored === undefined || !(remaining >= 0)) return undefined
          return { value: stored.value, fresh: remaining > stored.staleFor }
        })
      ),
    set: (key, value, { staleFor, ttl }) => {
      const stale = Math.ceil(Duration.toMillis(staleFor))
      const expiry = Math.max(1, Math.ceil(Duration.toMillis(ttl))) + stale
      const content = Effect.mapError(
        encode({ staleFor: stale, value }),
        (error) => new CachePortError({ reason: new Unstorable({ why: error.message }) })
      )
      return Effect.all([nameOf(key), content]).pipe(
        Effect.flatMap(([name, text]) => RedisClient.call(client, (redis) => redis.set(name, text, "PX", expiry))),
        Effect.asVoid
      )
    },
    remove: (key) =>
      Effect.asVoid(Effect.flatMap(nameOf(key), (name) => RedisClient.call(client, (redis) => redis.del(name))))
  }))
}
