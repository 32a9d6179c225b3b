/**
 * Leases as advisory locks of Postgres (14 or later), each held by a connection of its own: it ends with the connection.
 *
 * The holder asks a third of `ttl` apart; a session that Postgres has not heard of for `ttl` is ended by it
 * (`idle_session_timeout`), so that neither a frozen holder nor a vanished machine keeps a lease for ever.
 *
 * Connect to the server itself: a pooler that shares connections between clients breaks advisory locks.
 *
 * @since 0.1.0
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as PgConnection from "@effect/sql-pg/PgConnection"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { isSqlError } from "effect/sql/SqlError"

import { checkTtl, keep, type Renewal, unavailable, within } from "./internal/lease.ts"
import { checkName } from "./internal/leaseName.ts"
import { type LeaseError, Leases } from "./Lease.ts"
import * as Monotonic from "./Monotonic.ts"
import * as Options from "./Options.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface PostgresLeasesOptions {
  /** How long the right outlives its holder, from 100 ms to 1 day; 15 s unless told. */
  readonly ttl?: Duration.Input
  /** Of the table `nexobot_lease_fences`, `public` unless told; both are made when missing. */
  readonly schema?: string
}

const Taken = Schema.Struct({ taken: Schema.Boolean })
const Found = Schema.Struct({ found: Schema.Boolean })
const Fence = Schema.Struct({ fence: Schema.NumberFromString.check(Schema.isInt()) })

/** The first 63 bytes of a name count in Postgres. */
const longestName = 63

/** What Postgres said is below what its client says of it. */
const toldBy = (cause: unknown): unknown =>
  isSqlError(cause) && cause.reason.cause instanceof Error ? cause.reason.cause : cause

const checks = Options.checks("PostgresLeases")

/**
 * Leases kept by the server of a client. Each lease held costs one connection besides the client's own.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  client: Pick<PgClient.PgClient, "config">,
  options: PostgresLeasesOptions = {}
): Leases["Service"] => {
  const { schema, ttl } = checked(options)
  const quoted = `"${schema.replaceAll('"', '""')}"`
  const table = `${quoted}.nexobot_lease_fences`
  const config: PgConnection.Config = { ...client.config, multiplex: false }
  let isThere = false

  return Leases.of({
    take: Effect.fnUntraced(function* (resource) {
      const failed = (cause: unknown) => unavailable(resource, toldBy(cause))
      // One name for each pair: no blank in a schema's name makes two of them the same.
      const key = `nexobot lease ${JSON.stringify([schema, checkName(resource)])}`
      const outer = yield* Effect.scope
      const own = yield* Scope.make()
      // A connection to a frozen server takes 5 s to close: it does so on its own, uninterrupted.
      const close = Effect.asVoid(within(Effect.uninterruptible(Scope.close(own, Exit.void)), releaseWithin))

      const open = Effect.gen(function* () {
        const connection = yield* Effect.flatMap(PgConnection.make(config), ({ pin }) => pin)
        const query = (sql: string, ...params: ReadonlyArray<unknown>) =>
          Effect.map(connection.query(sql, params), ({ rows }) => rows)
        const one = <A>(row: Schema.Decoder<A>, sql: string, ...params: ReadonlyArray<unknown>) =>
          Effect.flatMap(query(sql, ...params), ([first]) => Schema.decodeEffect(row)(first))

        const since = yield* Monotonic.millis
        const { taken } = yield* one(
          Taken,
          `select set_config('idle_session_timeout', $2, false), pg_try_advisory_lock(hashtextextended($1, 0)) as taken`,
          key,
          `${ttl}`
        )
        if (!taken) return Option.none()
        yield* Effect.addFinalizer(() =>
          // The connection ends next, but the server may be late to see it.
          Effect.ignore(within(query("select pg_advisory_unlock(hashtextextended($1, 0))", key), releaseWithin))
        )
        if (!isThere) {
          const { found } = yield* one(Found, "select to_regclass($1) is not null as found", table)
          if (!found) {
            yield* query("begin")
            // `if not exists` does not bear two at once.
            yield* query("select pg_advisory_xact_lock(hashtextextended($1, 0))", `nexobot lease table ${schema}`)
            const there = yield* one(Found, "select to_regnamespace($1) is not null as found", quoted)
            if (!there.found) yield* query(`create schema ${quoted}`)
            yield* query(`create table if not exists ${table} (resource text primary key, fence bigint not null)`)
            yield* query("commit")
          }
          isThere = true
        }
        // At least the server's clock: a standby that missed the last grants repeats none.
        const { fence } = yield* one(
          Fence,
          `insert into ${table} as f (resource, fence)
           values ($1, floor(extract(epoch from clock_timestamp()) * 1000)::bigint)
           on conflict (resource) do update set fence = greatest(f.fence + 1, excluded.fence)
           returning fence::text`,
          resource
        )
        // Listened to only to hear at once that the connection is cut.
        const notifications = yield* connection.listen("nexobot_lease")
        const cut = Effect.forever(Queue.take(notifications)).pipe(Effect.exit, Effect.asVoid)
        // A session that fails to answer is given up: its lock may be gone already.
        const renew = query("select 1").pipe(
          Effect.as<Renewal>("kept"),
          Effect.orElseSucceed((): Renewal => "gone")
        )
        return Option.some(yield* keep({ adapter: "postgres", resource, fence, ttl, since, renew, cut }))
      })

      return yield* Effect.uninterruptibleMask((restore) =>
        restore(within(Scope.provide(open, own), ttl)).pipe(
          Effect.mapError(failed),
          Effect.flatMap(
            Option.match({
              onNone: () => Effect.fail<LeaseError>(failed(`Postgres did not answer within ${ttl} ms`)),
              onSome: Effect.succeed
            })
          ),
          Effect.tap((lease) => (Option.isSome(lease) ? Scope.addFinalizer(outer, close) : close)),
          Effect.onError(() => {
            // Somebody may have dropped the table.
            isThere = false
            return close
          })
        )
      )
    })
  })
}

/** Milliseconds. A release that is not heard within this is left to the end of the connection. */
const releaseWithin = 1000

const checked = (options: PostgresLeasesOptions) => {
  checks.known(options, ["ttl", "schema"])
  const schema = checks.nonEmptyString("schema", options.schema ?? "public")
  if (Buffer.byteLength(schema) > longestName || schema.includes("\0")) {
    checks.fail("schema", options.schema, `a name of at most ${longestName} bytes`)
  }
  return { schema, ttl: checkTtl(checks, options.ttl) }
}

/**
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: PostgresLeasesOptions = {}): Layer.Layer<Leases, never, PgClient.PgClient> => {
  checked(options)
  return Layer.effect(
    Leases,
    Effect.map(PgClient.PgClient, (client) => make(client, options))
  )
}
