/**
 * Postgres behind the port `Database`; needs `@effect/sql-pg`.
 *
 * @since 0.1.0
 */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import { ParseError } from "@effect/sql-pg/PgProtocol"
import * as Options from "@nexobot/core/Options"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Predicate from "effect/Predicate"
import type * as Redacted from "effect/Redacted"
import type { SqlError } from "effect/sql/SqlError"

import * as Database from "./Database.ts"
import { addressOf, broken, failing, type Reason, sockets } from "./internal/databaseSocket.ts"
import { type Tls, tlsOf } from "./internal/databaseTls.ts"
import * as DatabaseUrl from "./internal/databaseUrl.ts"
import { codeOf } from "./internal/systemError.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface PostgresDatabaseOptions {
  /**
   * For example `postgres://user:password@127.0.0.1:5432/shop`, or `postgres://user@localhost/shop?host=/var/run/postgresql` for a
   * unix socket. Other parameters: `sslmode`, `application_name` (`nexobot` unless told) and `options`.
   */
  readonly url: string | Redacted.Redacted
  /** What `sslmode` in the URL says unless told; the certificate is verified in every mode that uses TLS. */
  readonly tls?: Tls
}

const checks = Options.checks("PostgresDatabase")

type Phase = "connect" | "query"

/** Of the role that logs in, and not of the server or the database. The message may be in any language. */
const isLimitOfRole = (code: string, cause: object): boolean =>
  code === "53300" && Predicate.hasProperty(cause, "routine") && cause.routine === "InitializeSessionUserId"

/** SQLSTATEs: https://www.postgresql.org/docs/current/errcodes-appendix.html */
const reasonOf = (code: string, message: string, phase: Phase): Reason => {
  // It starts, recovers or shuts down, or ended this session because it does.
  if (["57P01", "57P02", "57P03"].includes(code)) return new Database.NotReady({ message })
  if (code === "53300") return new Database.TooManyConnections({ message })
  if (code.startsWith("08")) return new Database.Unreachable({ code })
  // No such database, no permission to connect to it, or it takes no connections.
  const refused = code.startsWith("28") || (phase === "connect" && ["3D000", "42501", "55000"].includes(code))
  return refused ? new Database.AccessDenied({ message }) : new Database.QueryFailed({ code, message })
}

/** What the server or the system said is below what the driver says of it. */
const toldBy = ({ reason }: SqlError, phase: Phase, shown: (message: string) => string): Reason => {
  const cause: unknown = reason.cause
  const message = shown(cause instanceof Error ? cause.message : reason.message)
  if (Predicate.hasProperty(cause, "severity")) {
    const code = codeOf(cause)
    return isLimitOfRole(code, cause) ? new Database.OwnFault({ why: message }) : reasonOf(code, message, phase)
  }
  if (reason._tag === "AuthenticationError") return new Database.AccessDenied({ message })
  if (reason._tag === "ConnectionError") {
    return broken(cause instanceof ParseError ? "it does not speak like Postgres" : shown(codeOf(cause)))
  }
  return new Database.QueryFailed({ code: reason._tag, message })
}

/** Numbers, strings, booleans and bytes, whatever the driver makes of them. */
const plain = (value: unknown): unknown => {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value)
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "infinity" : value.toISOString()
  return Array.isArray(value) ? value.map(plain) : value
}

const plainRow = (row: Database.Row): Database.Row =>
  Object.fromEntries(Object.entries(row).map(([column, value]) => [column, plain(value)]))

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: PostgresDatabaseOptions): Database.Database => {
  checks.known(options, ["url", "tls"])
  const parsed = DatabaseUrl.parse(checks, options.url, {
    protocols: ["postgres:", "postgresql:"],
    defaultPort: 5432,
    pathParameter: "host",
    parameters: ["sslmode", "application_name", "options"]
  })
  const sslmode = parsed.parameters.get("sslmode")
  const modes = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
  if (sslmode !== undefined && !modes.includes(sslmode)) {
    checks.fail("url", sslmode, `an sslmode that is one of ${modes.join(", ")}`)
  }
  const ssl = tlsOf(checks, options.tls)
  const { host, parameters, password, path, port, reach, targetOf, url } = parsed

  const named = (database: string | undefined): Database.Database => {
    const target = targetOf(database)
    const fail = failing(target, password)
    const failed = (phase: Phase) => (error: SqlError) => fail((shown) => toldBy(error, phase, shown))
    const connect = Effect.gen(function* () {
      const { bounded, destroy, loggedIn, open } = yield* sockets
      const address =
        path === undefined
          ? yield* addressOf(host, port).pipe(Effect.catch((code) => fail(() => broken(code))))
          : { path: `${path}/.s.PGSQL.${port}` }
      const connection = yield* PgConnection.make({
        url,
        ...(database === undefined ? {} : { database }),
        ...(ssl === undefined ? {} : { ssl }),
        applicationName: parameters.get("application_name") ?? "nexobot",
        // Who asks has a time limit of its own.
        connectTimeout: Duration.infinity,
        prepare: false,
        stream: () => bounded(open(address))
      }).pipe(Effect.catch(failed("connect")))
      loggedIn()
      const query: Database.Session["query"] = (sql, values) =>
        Effect.gen(function* () {
          // The driver, interrupted, waits up to 5 seconds for the server to confirm. Without a socket it ends at once.
          const asking = yield* Effect.forkDetach(connection.query(sql, values))
          const { rows } = yield* Effect.onInterrupt(Fiber.join(asking), () => Effect.sync(destroy))
          return rows.map(plainRow)
        }).pipe(Effect.catch(failed("query")))
      return { query }
    })
    const identity = ["postgres", url, ssl, database]
    return { dialect: "postgres", target, reach, identity, multipleStatements: false, connect, withDatabase: named }
  }
  return named(parsed.database)
}
