/** Both kinds of databases, for tests that run against each. */
import * as Crypto from "node:crypto"

import * as TestMariaDb from "@nexobot/testing/TestMariaDb"
import * as TestPostgres from "@nexobot/testing/TestPostgres"
import * as Effect from "effect/Effect"

import type * as Database from "../src/Database.ts"
import { DatabaseError, OwnFault } from "../src/Database.ts"
import * as MysqlDatabase from "../src/MysqlDatabase.ts"
import * as PostgresDatabase from "../src/PostgresDatabase.ts"
import { shared } from "./DatabaseContract.ts"
import { freePort } from "./support.ts"

export interface SqlServer {
  /** The database that is there from the beginning. */
  readonly database: Database.Database
  /** The same, and it takes the files of migrations. */
  readonly scratch: Database.Database
  /** An empty database, in which these statements were run. */
  readonly fresh: (statements: string) => Effect.Effect<Database.Database>
  /** Runs statements as the superuser. */
  readonly sql: (statements: string, database?: string) => Effect.Effect<string>
  readonly freeze: Effect.Effect<void>
  readonly thaw: Effect.Effect<void>
  readonly port: number
}

export interface Kind {
  readonly dialect: Database.Database["dialect"]
  readonly isMissing: () => boolean
  /** One for all tests of a file; called once there. */
  readonly server: () => Effect.Effect<SqlServer>
  readonly scratches: string
  readonly connected: string
}

const named = () => `test_${Crypto.randomBytes(6).toString("hex")}`

export const kinds: ReadonlyArray<Kind> = [
  {
    dialect: "postgres",
    isMissing: TestPostgres.isMissing,
    server: () =>
      shared(
        Effect.map(TestPostgres.make, ({ freeze, port, sql, thaw, url }) => {
          const database = PostgresDatabase.make({ url })
          const fresh = (statements: string) => {
            const name = named()
            const made = sql(`CREATE DATABASE ${name} TEMPLATE template0;\n\\connect ${name}\n${statements}`)
            return Effect.as(made, database.withDatabase(name))
          }
          return { database, scratch: database, fresh, sql, freeze, thaw, port }
        })
      ),
    scratches: "SELECT datname FROM pg_database WHERE datname LIKE 'nexo_scratch_%'",
    connected: "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nexobot'"
  },
  {
    dialect: "mysql",
    isMissing: TestMariaDb.isMissing,
    server: () =>
      shared(
        Effect.map(TestMariaDb.make, ({ freeze, port, sql, thaw, url }) => {
          const database = MysqlDatabase.make({ url })
          const scratch = MysqlDatabase.make({ url, multipleStatements: true })
          const within = (statements: string, name = "nexo") => sql(`USE ${name};\n${statements}`)
          const fresh = (statements: string) => {
            const name = named()
            const made = sql(`CREATE DATABASE ${name}; USE ${name};\n${statements}`)
            return Effect.as(made, database.withDatabase(name))
          }
          return { database, scratch, fresh, sql: within, freeze, thaw, port }
        })
      ),
    scratches: "SHOW DATABASES LIKE 'nexo_scratch_%'",
    connected: "SELECT count(*) FROM information_schema.processlist WHERE user = 'nexo'"
  }
]

/** A database for each text, made when it is first asked for: probes leave it as it is. */
export const databases = (server: Effect.Effect<SqlServer>) => {
  const made = new Map<string, Effect.Effect<Database.Database>>()
  return (statements: string): Effect.Effect<Database.Database> =>
    Effect.suspend(() => {
      const known = made.get(statements)
      if (known !== undefined) return known
      const making = Effect.runSync(Effect.cached(Effect.flatMap(server, ({ fresh }) => fresh(statements))))
      made.set(statements, making)
      return making
    })
}

/** Whatever listens on that port. */
export const at = (dialect: Database.Database["dialect"], port: number, user = "nobody", name = "shop") =>
  (dialect === "postgres" ? PostgresDatabase : MysqlDatabase).make({
    url: `${dialect}://${user}@127.0.0.1:${port}/${name}`
  })

export const refusing = (dialect: Database.Database["dialect"]) => Effect.map(freePort, (port) => at(dialect, port))

/** A database that gives these answers: the first whose expression matches; no rows otherwise. */
export const answering = (
  database: Database.Database,
  answers: ReadonlyArray<readonly [RegExp, ReadonlyArray<Database.Row> | Database.DatabaseError["reason"]]>,
  asked: Array<string> = []
): Database.Database => ({
  ...database,
  connect: Effect.succeed({
    query: (sql) => {
      asked.push(sql)
      const answer = answers.find(([expression]) => expression.test(sql))?.[1] ?? []
      return "_tag" in answer
        ? Effect.fail(new DatabaseError({ target: database.target, reason: answer }))
        : Effect.succeed(answer)
    }
  })
})

/** A database on this machine, which has no more file descriptors. */
export const tooManyFiles: Database.Database["connect"] = Effect.fail(
  new DatabaseError({ target: "x", reason: new OwnFault({ why: "too many files" }) })
)

/** The name of a database. */
export const nameOf = ({ target }: Database.Database): string => new URL(target).pathname.slice(1)
