/**
 * What the tables of a database should look like, told by its migrations.
 *
 * Nothing here understands SQL: the migrations are run, in a fresh database of their own that is dropped afterwards.
 * They have all rights of the login: what they do to other databases, or to roles, is done and stays.
 *
 * @since 0.1.0
 */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"

import * as Options from "@nexobot/core/Options"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"

import type * as Database from "./Database.ts"
import * as DatabaseSchema from "./DatabaseSchema.ts"
import { checkDatabase } from "./internal/databaseFailure.ts"
import { readSmallFile } from "./internal/smallFile.ts"
import { type Dialect, quoted } from "./internal/sqlText.ts"
import { codeOf } from "./internal/systemError.ts"

/**
 * A migration was refused.
 *
 * @category errors
 * @since 0.1.0
 */
export class Refused extends Schema.TaggedClass<Refused>("@nexobot/probes/SchemaMigrations/Refused")("Refused", {
  file: Schema.String,
  /** What the database said. */
  message: Schema.String
}) {}

/**
 * The migrations cannot be read, there are none, or they make no tables.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unreadable extends Schema.TaggedClass<Unreadable>("@nexobot/probes/SchemaMigrations/Unreadable")(
  "Unreadable",
  { path: Schema.String, why: Schema.String }
) {}

/**
 * The server refused to make, show or drop the database for the migrations, or was lost.
 *
 * @category errors
 * @since 0.1.0
 */
export class ScratchFailed extends Schema.TaggedClass<ScratchFailed>("@nexobot/probes/SchemaMigrations/ScratchFailed")(
  "ScratchFailed",
  {
    /** Its name: it may be there still, when it could not be dropped. */
    database: Schema.String,
    message: Schema.String
  }
) {}

/**
 * @category errors
 * @since 0.1.0
 */
export class SchemaMigrationsError extends Schema.TaggedError<SchemaMigrationsError>(
  "@nexobot/probes/SchemaMigrationsError"
)("SchemaMigrationsError", { reason: Schema.Union([Refused, Unreadable, ScratchFailed]) }) {
  override get message(): string {
    const { reason } = this
    switch (reason._tag) {
      case "Refused":
        return `${reason.file}: ${reason.message}`
      case "Unreadable":
        return `${reason.path}: ${reason.why}`
      case "ScratchFailed":
        return `database ${reason.database}: ${reason.message}`
    }
  }
}

/**
 * @category models
 * @since 0.1.0
 */
export interface SchemaMigrationsOptions {
  /**
   * A database of a throw-away server, on which another one may be made and dropped; itself it is left alone unless a
   * migration names it. Never the server that is watched. For MySQL it is made with `multipleStatements: true`.
   */
  readonly scratch: Database.Database
  /**
   * A folder: its files `*.sql` (but not `*.down.sql`) and, as Prisma has them, the `migration.sql` in each of its folders,
   * in the order of their names.
   */
  readonly folder?: string
  /** In place of `folder`: the files themselves, in this order. */
  readonly files?: ReadonlyArray<string>
  /** The schema of Postgres to read; `public` unless told. */
  readonly namespace?: string
}

const checks = Options.checks("SchemaMigrations")

const fail = (reason: SchemaMigrationsError["reason"]) => Effect.fail(new SchemaMigrationsError({ reason }))

const mostBytes = 16 * 1024 * 1024

const list = Effect.fnUntraced(function* (folder: string) {
  const entries = yield* Effect.tryPromise(() => Fs.readdir(folder, { withFileTypes: true })).pipe(
    Effect.catch(({ cause }) => fail(new Unreadable({ path: folder, why: codeOf(cause) })))
  )
  const files = entries.flatMap((entry) => {
    if (entry.isDirectory()) return [Path.join(folder, entry.name, "migration.sql")]
    const isMeant = entry.name.endsWith(".sql") && !entry.name.endsWith(".down.sql")
    return isMeant ? [Path.join(folder, entry.name)] : []
  })
  return files.toSorted((a, b) => (a < b ? -1 : 1))
})

/** Names and texts; folders without a migration are passed over. */
const texts = Effect.fnUntraced(function* (folder: string | undefined, files: ReadonlyArray<string>) {
  const paths = folder === undefined ? files : yield* list(folder)
  const found = yield* Effect.forEach(paths, (path) =>
    readSmallFile(path, mostBytes).pipe(
      Effect.map((text) => [{ path, text: text.replace(/^\uFEFF/, "") }]),
      // Databases end a statement there, or refuse the message without the file's name.
      Effect.filterOrFail(
        (read) => !read.some(({ text }) => text.includes("\0")),
        () => "there is a NUL in it"
      ),
      Effect.catch((why) =>
        folder !== undefined && Path.dirname(path) !== folder && why === "ENOENT"
          ? Effect.succeed([])
          : fail(new Unreadable({ path, why }))
      )
    )
  )
  const migrations = found.flat()
  return migrations.length > 0
    ? migrations
    : yield* fail(new Unreadable({ path: folder ?? "files", why: "there are no migrations" }))
})

/**
 * Several statements as one, for Postgres, whose drivers send one at a time: the server itself takes them apart. As in one
 * transaction, which a single statement does not need: some must not be in any.
 */
const together = (sql: string): string => {
  const [outer, inner] = ["a", "b"].map((name) => `$${name}${Crypto.randomBytes(8).toString("hex")}$`)
  return `DO ${outer}BEGIN EXECUTE ${inner}${sql}${inner}; END${outer}`
}

const run = (session: Database.Session, dialect: Dialect, sql: string) =>
  dialect === "mysql"
    ? session.query(sql)
    : session.query(sql).pipe(
        Effect.catchIf(
          // Before any of it was run.
          ({ reason }) => reason._tag === "QueryFailed" && reason.code === "42601",
          () => session.query(together(sql))
        )
      )

/** Sessions that were given up may still hold it, or go on elsewhere. */
const drop = Effect.fnUntraced(function* (
  session: Database.Session,
  dialect: Dialect,
  name: string,
  known: Iterable<number>
) {
  if (dialect === "postgres") return yield* session.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
  const held = yield* session.query(
    `SELECT id AS id FROM information_schema.processlist WHERE db = ${quoted(dialect, name)}`
  )
  const sessions = new Set([...held.map(({ id }) => Number(id)), ...known])
  yield* Effect.forEach(sessions, (id) => Effect.ignore(session.query(`KILL ${id}`)))
  return yield* session.query(`DROP DATABASE IF EXISTS ${name}`)
})

/** A migration may leave its database with `USE`: of a session that runs one, the server's number for it is kept. */
const remembering = Effect.fnUntraced(function* (session: Database.Session, dialect: Dialect, running: Set<number>) {
  if (dialect === "postgres") return undefined
  const [row] = yield* session.query("SELECT connection_id() AS id")
  const id = Number(row?.["id"])
  if (Number.isSafeInteger(id)) running.add(id)
  return id
})

const withScratch = <A>(
  server: Database.Database,
  use: (
    scratch: Database.Database,
    running: Set<number>
  ) => Effect.Effect<A, SchemaMigrationsError | Database.DatabaseError>
): Effect.Effect<A, SchemaMigrationsError> => {
  // Nothing in it needs quotes.
  const name = `nexo_scratch_${Crypto.randomBytes(8).toString("hex")}`
  const running = new Set<number>()
  const { dialect } = server
  const failed = (message: string) => fail(new ScratchFailed({ database: name, message }))
  // Not to be interrupted: without a limit, a frozen server would keep its caller.
  const asking = (ask: (session: Database.Session) => Effect.Effect<unknown, Database.DatabaseError>) =>
    Effect.scoped(Effect.flatMap(server.connect, ask)).pipe(
      Effect.timeoutOrElse({ duration: "30 seconds", orElse: () => failed("no answer in time") }),
      Effect.catchTag("DatabaseError", ({ message }) => failed(message)),
      Effect.asVoid
    )
  const dropping = asking((session) => drop(session, dialect, name, running))
  const template = dialect === "postgres" ? " TEMPLATE template0" : ""
  const create = `CREATE DATABASE ${name}${template}`
  // Postgres goes on with it, whoever waits for the answer.
  const ended = asking((session) =>
    dialect === "postgres"
      ? session.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = $1", [create])
      : Effect.void
  )
  return Effect.acquireUseRelease(
    asking((session) => session.query(create)).pipe(
      // It may have been made, and the answer be lost.
      Effect.tapError(() => Effect.andThen(ended, dropping).pipe(Effect.timeoutOption("10 seconds"), Effect.ignore))
    ),
    () => Effect.catchTag(use(server.withDatabase(name), running), "DatabaseError", ({ message }) => failed(message)),
    (_, exit) => {
      // What went wrong before is what the caller has to know.
      const told = dropping.pipe(Effect.catch(({ message }) => Effect.logWarning(message)))
      return Exit.isSuccess(exit) ? dropping : told
    }
  )
}

/**
 * Runs the migrations in a fresh database on the scratch server, reads the schema that they make, and drops that
 * database again, also when it fails or is interrupted.
 *
 * @category operations
 * @since 0.1.0
 */
export const read = (
  options: SchemaMigrationsOptions
): Effect.Effect<DatabaseSchema.DatabaseSchema, SchemaMigrationsError> => {
  checks.known(options, ["scratch", "folder", "files", "namespace"])
  const { files, folder, namespace, scratch } = options
  checkDatabase(checks, scratch, "scratch")
  if (files === undefined) checks.nonEmptyString("folder", folder)
  else if (folder !== undefined) checks.fail("folder", folder, "none beside files")
  else if (!Array.isArray(files) || files.length === 0) checks.fail("files", files, "at least one file")
  for (const file of files ?? []) checks.nonEmptyString("files", file)
  if (namespace !== undefined) checks.nonEmptyString("namespace", namespace)
  const { dialect } = scratch

  return Effect.flatMap(texts(folder, files ?? []), (migrations) =>
    withScratch(scratch, (fresh, running) =>
      Effect.gen(function* () {
        for (const { path, text } of migrations) {
          // Each with a session of its own: settings that one makes do not meet the next.
          const ran = Effect.gen(function* () {
            const session = yield* fresh.connect
            const id = yield* remembering(session, dialect, running)
            yield* Effect.catchIf(
              run(session, dialect, text),
              ({ reason }) => reason._tag === "QueryFailed",
              ({ message }) => fail(new Refused({ file: path, message }))
            )
            if (id !== undefined) running.delete(id)
          })
          yield* Effect.scoped(ran)
        }
        const made = yield* DatabaseSchema.read(fresh, namespace === undefined ? {} : { namespace })
        // Another database, or another schema, has them.
        if (Object.keys(made.tables).length > 0) return made
        return yield* fail(new Unreadable({ path: folder ?? "files", why: "they make no tables here" }))
      })
    )
  )
}
