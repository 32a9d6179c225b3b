import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"

import * as TestPostgres from "../../testing/src/TestPostgres.ts"

export interface PostgresServer extends TestPostgres.TestPostgres {
  /** A client of its own, with few connections. */
  readonly client: Effect.Effect<PgClient.PgClient, never, Scope.Scope>
}

export const cannotRunPostgres = TestPostgres.isMissing

export const postgresServer: Effect.Effect<PostgresServer, never, Scope.Scope> = Effect.map(
  TestPostgres.make,
  (server) => ({
    ...server,
    client: PgClient.make({ url: Redacted.make(server.url), maxConnections: 3 }).pipe(
      Effect.provide(Reactivity.layer),
      Effect.orDie
    )
  })
)
