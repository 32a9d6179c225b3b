/**
 * MySQL and MariaDB behind the port `Database`; needs `mysql2`.
 *
 * @since 0.1.0
 */
import * as Net from "node:net"

import * as Options from "@nexobot/core/Options"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Mysql from "mysql2"

import * as Database from "./Database.ts"
import { addressOf, broken, failing, type Reason, sockets } from "./internal/databaseSocket.ts"
import { type Tls, tlsOf } from "./internal/databaseTls.ts"
import * as DatabaseUrl from "./internal/databaseUrl.ts"
import { codeOf } from "./internal/systemError.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface MysqlDatabaseOptions {
  /**
   * For example `mysql://user:password@127.0.0.1:3306/shop`, or `mysql://user@localhost/shop?socketPath=/run/mysqld/mysqld.sock`.
   */
  readonly url: string | Redacted.Redacted
  /** Whether to speak TLS, and whom to trust; `false` unless told. A host that is an IP address cannot be verified. */
  readonly tls?: Tls
  /** Whether a query may have several statements, as files of migrations do; `false` unless told. No probe needs it, and `IntegrityProbe` refuses it. */
  readonly multipleStatements?: boolean
}

const checks = Options.checks("MysqlDatabase")

type Phase = "connect" | "query"

/** Numbers of errors: https://mariadb.com/kb/en/mariadb-error-code-reference/ and MySQL's reference of server errors. */
const tooMany = new Set([1040])
/** Of connections and statements, for this account only. */
const ownLimit = new Set([1203, 1226])
const denied = new Set([1044, 1045, 1049, 1130, 1251, 1698, 4151])
/** Some servers let in whose password has expired, and then refuse every statement. */
const expired = new Set([1820, 1862])
const notReady = new Set([1053, 3032, 3168])

const stranger = "it does not speak like MySQL"

const greetingHead = 5

/**
 * The driver takes nearly anything for a greeting, and complains on the console of what follows. This is the head of one
 * (its length, no packet before it, version 10 of the protocol), or of an error that comes in its place. Who closes may
 * have said less.
 */
const isGreeting = (head: Buffer): boolean => {
  if (head.length < greetingHead) return false
  const [length, packet, kind] = [head.readUIntLE(0, 3), head[3], head[4]]
  return length > 1 && length < 4096 && ((packet === 0 && kind === 10) || kind === 0xff)
}

/** What the driver finds wrong itself: codes of the system, or its own. */
const notTold = (code: string, message: string): Reason => {
  // A way to log in that it has not, or that would show the password.
  if (code.startsWith("AUTH_SWITCH") || code.startsWith("MYSQL_CLEAR")) return new Database.AccessDenied({ message })
  // TLS: the message says what is wrong with the certificate.
  if (code.startsWith("HANDSHAKE_")) return broken(code.includes("SSL") ? message : stranger)
  // It was lost before, and the driver says only that nothing can be asked any more.
  if (message.includes("closed state")) return broken("PROTOCOL_CONNECTION_LOST")
  const isKnown = /^(E[A-Z]+|PROTOCOL_[A-Z_]+)$/.test(code)
  return broken(isKnown ? code : stranger)
}

/** Names of MariaDB's own errors, which the driver does not know. */
const mariaDb = new Map([[1969, "ER_STATEMENT_TIMEOUT"]])

const reasonOf = (error: unknown, phase: Phase, shown: (message: string) => string): Reason => {
  const message = shown(error instanceof Error ? error.message : String(error))
  const code = shown(codeOf(error))
  // An error of the server has its number and state.
  const isTold = Predicate.hasProperty(error, "sqlState") && Predicate.hasProperty(error, "errno")
  if (!isTold) return notTold(code, message)
  const errno = Number(error.errno)
  const name = mariaDb.get(errno) ?? code
  if (tooMany.has(errno)) return new Database.TooManyConnections({ message })
  if (ownLimit.has(errno)) return new Database.OwnFault({ why: message })
  if (notReady.has(errno)) return new Database.NotReady({ message })
  if (expired.has(errno) || (phase === "connect" && denied.has(errno))) return new Database.AccessDenied({ message })
  return phase === "connect"
    ? new Database.Unreachable({ code: name })
    : new Database.QueryFailed({ code: name, message })
}

/** Rows of a statement that has some; the driver gives a header to those that have none. */
const rowsOf = (result: unknown): ReadonlyArray<Database.Row> =>
  Array.isArray(result) ? result.filter(Predicate.isObject).map((row) => Object.fromEntries(Object.entries(row))) : []

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: MysqlDatabaseOptions): Database.Database => {
  checks.known(options, ["url", "tls", "multipleStatements"])
  const parsed = DatabaseUrl.parse(checks, options.url, {
    protocols: ["mysql:", "mariadb:"],
    defaultPort: 3306,
    pathParameter: "socketPath",
    parameters: []
  })
  const { host, password, path, port, reach, targetOf, url, user } = parsed
  const tls = tlsOf(checks, options.tls) ?? false
  if (tls !== false && tls.rejectUnauthorized && Net.isIP(host) !== 0) {
    // It would take a certificate for localhost.
    checks.fail("tls", options.tls, "a host name in the URL: mysql2 cannot verify an IP address; or { verify: false }")
  }
  const multipleStatements = checks.boolean("multipleStatements", options.multipleStatements ?? false)

  const settings: Mysql.ConnectionOptions = {
    host,
    port,
    user,
    ...(password === undefined ? {} : { password: Redacted.value(password) }),
    ...(tls === false ? {} : { ssl: { ...tls, verifyIdentity: tls.rejectUnauthorized } }),
    // Who asks has a time limit of its own.
    connectTimeout: 0,
    // A server may not ask for our files, nor have code made of its answers.
    flags: ["-LOCAL_FILES"],
    disableEval: true,
    supportBigNumbers: true,
    dateStrings: true,
    multipleStatements
  }

  const named = (database: string | undefined): Database.Database => {
    const target = targetOf(database)
    const fail = failing(target, password)
    const failed = (phase: Phase, error: unknown) => fail((shown) => reasonOf(error, phase, shown))
    const connect = Effect.gen(function* () {
      const { bounded, destroy, loggedIn, open } = yield* sockets
      const address =
        path === undefined
          ? yield* addressOf(host, port).pipe(Effect.catch((code) => fail(() => broken(code))))
          : { path }
      const driver = yield* Effect.callback<Mysql.Connection, Database.DatabaseError>((resume) => {
        const socket = open(address)
        const lost = (code: string) => resume(fail(() => broken(code)))
        const drive = () => {
          const chosen = database === undefined ? {} : { database }
          const made = Mysql.createConnection({ ...settings, ...chosen, stream: () => bounded(socket) })
          // Stays: an error that nobody listens for ends the process.
          made.on("error", (error) => resume(failed("connect", error)))
          // The official client takes this for the end, too. The driver goes on, and complains of each packet on the
          // console, which it cannot be told not to do: paused, it has complained of one.
          made.on("warn", () => {
            made.pause()
            lost(stranger)
            destroy()
          })
          made.once("connect", () => resume(Effect.succeed(made)))
        }
        const look = () => {
          const head: unknown = socket.read(greetingHead)
          if (!Buffer.isBuffer(head)) return
          if (!isGreeting(head)) return lost(stranger)
          socket.off("readable", look)
          socket.unshift(head)
          drive()
        }
        socket.on("readable", look)
        socket.once("error", (error) => lost(codeOf(error)))
        socket.once("close", () => lost("PROTOCOL_CONNECTION_LOST"))
        return Effect.sync(destroy)
      })
      loggedIn()
      const query: Database.Session["query"] = (sql, values = []) =>
        Effect.callback((resume) => {
          const done = (error: unknown, result: unknown) =>
            resume(error === null ? Effect.succeed(rowsOf(result)) : failed("query", error))
          // The server puts the values in: the client does not know which characters it takes for quotes.
          if (values.length === 0) driver.query(sql, done)
          else driver.execute(sql, [...values], done)
          return Effect.sync(destroy)
        })
      return { query }
    })
    return {
      dialect: "mysql",
      target,
      reach,
      identity: ["mysql", url, tls, multipleStatements, database],
      multipleStatements,
      connect,
      withDatabase: named
    }
  }
  return named(parsed.database)
}
