/**
 * What `RedisProbe` can find. `target` is always the Redis, without user and password.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

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
 * down and lets it answer reads only (`CLUSTERDOWN`).
 *
 * @category signatures
 * @since 0.1.0
 */
export class WritesRefused extends Schema.TaggedClass<WritesRefused>("@nexobot/probes/Redis/WritesRefused")(
  "Redis/WritesRefused",
  { target: Schema.String, code: Schema.String }
) {}

/**
 * It refuses even reads: a replica that has lost its primary and may not answer without it (`MASTERDOWN`), or a node of a
 * cluster that is down (`CLUSTERDOWN`).
 *
 * @category signatures
 * @since 0.1.0
 */
export class ReadsRefused extends Schema.TaggedClass<ReadsRefused>("@nexobot/probes/Redis/ReadsRefused")(
  "Redis/ReadsRefused",
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
