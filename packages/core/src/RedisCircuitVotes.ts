/**
 * Votes of circuits in Redis, for the processes of several machines. Every change is one script, and time is that of
 * Redis alone: a client whose clock is wrong moves nothing. Everything expires by itself.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Persistence from "effect/persistence/Redis"
import * as PubSub from "effect/PubSub"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

import { CircuitVotes, CircuitVotesError, type Tally } from "./CircuitVotes.ts"
import * as Options from "./Options.ts"
import type { RedisClient } from "./RedisClient.ts"
import * as RedisPersistence from "./RedisPersistence.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface RedisCircuitVotesOptions {
  /**
   * Processes that share circuits have the same; `nexobot:circuits` unless told. All keys begin with it in braces, so that
   * a Redis Cluster keeps them in one place.
   */
  readonly prefix?: string
}

const checks = Options.checks("RedisCircuitVotes")

/** Votes are members of one sorted set, by when they expire in milliseconds. */
const now = `local t = redis.call("TIME") local now = t[1] * 1000 + math.floor(t[2] / 1000) `

/** The set goes with its last vote. */
const expire = `
redis.call("ZREMRANGEBYSCORE", KEYS[1], "-inf", now)
local last = redis.call("ZRANGE", KEYS[1], -1, -1, "WITHSCORES")[2]
if last then redis.call("PEXPIREAT", KEYS[1], string.format("%.0f", last)) end `

/** Who has the trial of a key has finished it. */
const endTrial = `if redis.call("GET", KEYS[2]) == ARGV[1] then redis.call("DEL", KEYS[2]) end `

/** What a change is about: the set and the trial, the node, its vote, and whom to tell which key changed. */
interface Change {
  readonly votes: string
  readonly trial: string
  readonly node: string
  readonly member: string
  readonly channel: string
  readonly key: string
}

const change = ({ channel, key, member, node, trial, votes }: Change) => [votes, trial, node, member, channel, key]

const vote = Persistence.script((about: Change, millis: number) => [...change(about), millis], {
  numberOfKeys: 2,
  lua: `${now} ${endTrial}
redis.call("ZADD", KEYS[1], string.format("%.0f", now + ARGV[5]), ARGV[2]) ${expire}
redis.call("PUBLISH", ARGV[3], ARGV[4])`
})

const withdraw = Persistence.script(change, {
  numberOfKeys: 2,
  lua: `${now} ${endTrial}
if redis.call("ZREM", KEYS[1], ARGV[2]) == 1 then ${expire} redis.call("PUBLISH", ARGV[3], ARGV[4]) end`
})

/** Reads only. Scores are given as what remains of them. */
const tally = Persistence.script((votes: string) => [votes], {
  numberOfKeys: 1,
  lua: `${now} local found = redis.call("ZRANGEBYSCORE", KEYS[1], string.format("(%.0f", now), "+inf", "WITHSCORES")
for i = 2, #found, 2 do found[i] = string.format("%.0f", found[i] - now) end
return found`
}).withReturnType<unknown>()

const claim = Persistence.script((trial: string, node: string, millis: number) => [trial, node, millis], {
  numberOfKeys: 1,
  lua: `local holder = redis.call("GET", KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])
return 1`
}).withReturnType<unknown>()

const release = Persistence.script((trial: string, node: string) => [trial, node], {
  numberOfKeys: 1,
  lua: `if redis.call("GET", KEYS[1]) == ARGV[1] then redis.call("DEL", KEYS[1]) end`
})

const Votes = Schema.Array(Schema.String)
const Member = Schema.fromJsonString(Schema.Tuple([Schema.String, Schema.String]))

const told = (found: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const tallies = new Map<string, Map<string, Duration.Duration>>()
    for (let index = 0; index + 1 < found.length; index += 2) {
      const [key, node] = yield* Schema.decodeEffect(Member)(found[index] ?? "")
      const cast = tallies.get(key) ?? new Map<string, Duration.Duration>()
      tallies.set(key, cast.set(node, Duration.millis(Number(found[index + 1]))))
    }
    const all: ReadonlyMap<string, Tally> = tallies
    return all
  })

const failed = (cause: unknown): CircuitVotesError => {
  const why = cause instanceof Persistence.RedisError ? cause.cause : cause
  return new CircuitVotesError({ why: why instanceof Error ? why.message : String(why) })
}

/** At least one, which is the least that Redis expires; at most a year, more than any circuit stays open. */
const millisOf = (duration: Duration.Duration): number =>
  Math.min(365 * 24 * 3_600_000, Math.max(1, Math.ceil(Duration.toMillis(duration))))

const make = Effect.fnUntraced(function* (prefix: string) {
  const redis = yield* RedisPersistence.make()
  const votes = `{${prefix}}:votes`
  const channel = `{${prefix}}:changes`
  const changed = yield* PubSub.sliding<string>(64)
  // Messages are hints: nothing waits for a Redis that does not answer.
  yield* redis.subscribe(channel).pipe(
    Effect.flatMap((messages) =>
      Effect.forever(Effect.flatMap(Queue.take(messages), ({ message }) => PubSub.publish(changed, message)))
    ),
    Effect.ignore,
    Effect.forkScoped
  )
  const trialOf = (key: string) => `{${prefix}}:trial:${key}`
  const about = (key: string, node: string): Change => ({
    votes,
    trial: trialOf(key),
    node,
    member: JSON.stringify([key, node]),
    channel,
    key
  })
  return CircuitVotes.of({
    vote: (key, node, open) => Effect.mapError(redis.eval(vote)(about(key, node), millisOf(open)), failed),
    withdraw: (key, node) => Effect.mapError(redis.eval(withdraw)(about(key, node)), failed),
    tally: redis
      .eval(tally)(votes)
      .pipe(Effect.flatMap(Schema.decodeUnknownEffect(Votes)), Effect.flatMap(told), Effect.mapError(failed)),
    claimTrial: (key, node, lease) =>
      redis
        .eval(claim)(trialOf(key), node, millisOf(lease))
        .pipe(
          // Clients with `stringNumbers` answer integers as text.
          Effect.map((answer) => Number(answer) === 1),
          Effect.mapError(failed)
        ),
    releaseTrial: (key, node) => Effect.mapError(redis.eval(release)(trialOf(key), node), failed),
    changes: Stream.fromPubSub(changed)
  })
})

/**
 * Without Redis everything fails with `CircuitVotesError`, at once or within the client's command timeout.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: RedisCircuitVotesOptions = {}): Layer.Layer<CircuitVotes, never, RedisClient> => {
  checks.known(options, ["prefix"])
  const prefix = checks.nonEmptyString("prefix", options.prefix ?? "nexobot:circuits")
  if (/[{}]/.test(prefix)) checks.fail("prefix", prefix, "a string without braces")
  return Layer.effect(CircuitVotes, make(prefix))
}
