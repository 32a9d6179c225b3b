import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Verdict from "@nexobot/core/Verdict"
import { eventually, refusal } from "@nexobot/testing/Expect"
import * as TestFolder from "@nexobot/testing/TestFolder"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"

import { DatabaseError, type Session, Unreachable } from "../src/Database.ts"
import * as SchemaMigrations from "../src/SchemaMigrations.ts"
import * as SchemaProbe from "../src/SchemaProbe.ts"
import { at, kinds, nameOf, refusing } from "./sqlServers.ts"
import { signatureOf, tcpServer } from "./support.ts"

/** A folder with these files. */
const folderOf = (files: Readonly<Record<string, string>>) =>
  Effect.map(TestFolder.make, (folder) => {
    for (const [name, text] of Object.entries(files)) {
      Fs.mkdirSync(Path.dirname(Path.join(folder, name)), { recursive: true })
      Fs.writeFileSync(Path.join(folder, name), text)
    }
    return folder
  })

const create =
  "-- a; comment\nCREATE TABLE a (id int NOT NULL, name varchar(9) DEFAULT ';');\nCREATE TABLE b (id int);\n"
const change = "ALTER TABLE a ADD COLUMN price decimal(8,2) NOT NULL DEFAULT 0; DROP TABLE b; /* ; */"

for (const { connected, dialect, isMissing, scratches, server } of kinds) {
  describe.skipIf(isMissing())(`SchemaMigrations, ${dialect}`, () => {
    const its = server()
    const int = dialect === "postgres" ? "integer" : "int"
    const [text, decimal] =
      dialect === "postgres" ? ["character varying(9)", "numeric(8,2)"] : ["varchar(9)", "decimal(8,2)"]
    const expected = {
      tables: {
        a: {
          columns: {
            id: { type: int, nullable: false, default: null },
            name: { type: text, nullable: true, default: "';'" },
            price: { type: decimal, nullable: false, default: "0" }
          }
        }
      }
    }
    const nothingLeft = Effect.gen(function* () {
      const { sql } = yield* its
      assert.strictEqual(yield* sql(scratches), "")
      yield* eventually(
        "nobody is connected",
        Effect.map(sql(connected), (count) => (count === "0" ? true : undefined))
      )
    })

    it.live("files are run in the order of their names, each with all its statements, and nothing is left", () =>
      Effect.gen(function* () {
        const { scratch } = yield* its
        const folder = yield* folderOf({
          "002_change.sql": change,
          "001_create.sql": `\uFEFF${create}`,
          "001_create.down.sql": "DROP TABLE a",
          "003_empty.sql": "-- nothing",
          "README.md": "no SQL"
        })
        assert.deepStrictEqual(yield* SchemaMigrations.read({ folder, scratch }), expected)
        yield* nothingLeft
      })
    )

    it.live("Prisma's layout, and files: one after the other as they are told", () =>
      Effect.gen(function* () {
        const { scratch } = yield* its
        const folder = yield* folderOf({
          "20260101_init/migration.sql": create,
          "20260102_price/migration.sql": change,
          "20260103_draft/notes.txt": "",
          "migration_lock.toml": ""
        })
        assert.deepStrictEqual(yield* SchemaMigrations.read({ folder, scratch }), expected)
        const files = ["20260101_init", "20260102_price"].map((name) => Path.join(folder, name, "migration.sql"))
        assert.deepStrictEqual(yield* SchemaMigrations.read({ files, scratch }), expected)
        const error = yield* Effect.flip(SchemaMigrations.read({ files: files.toReversed(), scratch }))
        assert.strictEqual(error.reason._tag, "Refused")
        yield* nothingLeft
      })
    )

    it.live("a migration that is refused is named, with what the database says; nothing is left", () =>
      Effect.gen(function* () {
        const { scratch } = yield* its
        const wrong = { syntax: "CREATE TABEL c (id int)", later: `${create} ALTER TABLE nowhere ADD COLUMN x int;` }
        for (const [name, sql] of Object.entries(wrong)) {
          const folder = yield* folderOf({ "001.sql": "CREATE TABLE z (id int)", [`002_${name}.sql`]: sql })
          const error = yield* Effect.flip(SchemaMigrations.read({ folder, scratch }))
          assert.strictEqual(error.reason._tag, "Refused")
          assert.include(error.message, Path.join(folder, `002_${name}.sql`))
          assert.match(error.message, /TABEL|nowhere/)
          yield* nothingLeft
        }
      })
    )

    it.live("an interruption in the middle of a migration leaves nothing", () =>
      Effect.gen(function* () {
        const { scratch, sql } = yield* its
        const sleep = dialect === "postgres" ? "SELECT pg_sleep(60)" : "SELECT sleep(60)"
        const folder = yield* folderOf({ "001.sql": `${create} ${sleep};` })
        const fiber = yield* Effect.forkChild(SchemaMigrations.read({ folder, scratch }))
        const running =
          dialect === "postgres"
            ? "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            : "SELECT count(*) FROM information_schema.processlist WHERE state = 'User sleep'"
        yield* eventually(
          "it sleeps",
          Effect.map(sql(running), (count) => (count === "1" ? true : undefined))
        )
        yield* Fiber.interrupt(fiber)
        yield* nothingLeft
      })
    )

    it.live("an answer to CREATE DATABASE that comes too late leaves nothing", () =>
      Effect.gen(function* () {
        const { scratch } = yield* its
        const target = scratch.target
        const lost = Effect.fail(new DatabaseError({ target, reason: new Unreachable({ code: "ECONNRESET" }) }))
        const losing = {
          ...scratch,
          connect: Effect.map(scratch.connect, ({ query }): Session => ({
            query: (sql, values) =>
              sql.startsWith("CREATE DATABASE") ? Effect.andThen(query(sql, values), lost) : query(sql, values)
          }))
        }
        const folder = yield* folderOf({ "001.sql": create })
        const { reason } = yield* Effect.flip(SchemaMigrations.read({ folder, scratch: losing }))
        assert.deepInclude(reason, { _tag: "ScratchFailed" })
        yield* nothingLeft
      })
    )

    it.live("several at once do not meet", () =>
      Effect.gen(function* () {
        const { scratch } = yield* its
        const folder = yield* folderOf({ "001.sql": create, "002.sql": change })
        const reading = SchemaMigrations.read({ folder, scratch })
        const all = yield* Effect.all([reading, reading, reading], { concurrency: "unbounded" })
        for (const one of all) assert.deepStrictEqual(one, expected)
        yield* nothingLeft
      })
    )

    it.live("no folder, no migrations, no server and no right to make a database: each is said", () =>
      Effect.gen(function* () {
        const { scratch } = yield* its
        const folder = yield* folderOf({ "README.md": "SELECT 1" })
        const says = (options: Partial<SchemaMigrations.SchemaMigrationsOptions>) =>
          Effect.map(Effect.flip(SchemaMigrations.read({ scratch, ...options })), ({ reason }) => reason)
        assert.deepInclude(yield* says({ folder }), { _tag: "Unreadable", why: "there are no migrations" })
        const path = Path.join(folder, "none")
        assert.deepInclude(yield* says({ folder: path }), { _tag: "Unreadable", path, why: "ENOENT" })
        assert.deepInclude(yield* says({ files: [path] }), { _tag: "Unreadable", path, why: "ENOENT" })
        const files = [Path.join(folder, "README.md")]
        assert.deepInclude(yield* says({ files, scratch: yield* refusing(dialect) }), { _tag: "ScratchFailed" })
        assert.deepInclude(yield* says({ files }), { _tag: "Unreadable", why: "they make no tables here" })
        Fs.writeFileSync(path, "CREATE TABLE a (id int);\0 DROP TABLE a")
        assert.deepInclude(yield* says({ files: [path] }), { _tag: "Unreadable", path, why: "there is a NUL in it" })
        yield* nothingLeft
      })
    )

    it.effect("a server that says nothing keeps nobody for longer than half a minute", () =>
      Effect.gen(function* () {
        const { port } = yield* tcpServer(() => {})
        const folder = yield* folderOf({ "001.sql": create })
        const reading = Effect.flip(SchemaMigrations.read({ folder, scratch: at(dialect, port) }))
        const fiber = yield* Effect.forkChild(reading)
        while (fiber.pollUnsafe() === undefined) {
          yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 5)))
          yield* TestClock.adjust("30 seconds")
        }
        const { reason } = yield* Fiber.join(fiber)
        assert.deepInclude(reason, { _tag: "ScratchFailed", message: "no answer in time" })
      })
    )

    it.live("a live database is compared with its migrations", () =>
      Effect.gen(function* () {
        const { fresh, scratch } = yield* its
        const folder = yield* folderOf({ "001.sql": create, "002.sql": change })
        const schema = yield* SchemaMigrations.read({ folder, scratch })
        const good = SchemaProbe.make({ name: "schema", database: yield* fresh(create + change), schema })
        assert.deepStrictEqual(yield* good.check, Verdict.healthy)
        const behind = SchemaProbe.make({ name: "schema", database: yield* fresh(create), schema })
        assert.deepInclude(signatureOf(yield* behind.check), { _tag: "Schema/MissingColumn", column: "price" })
      })
    )

    if (dialect === "mysql") {
      it.live("an interruption ends a migration that left its database, too", () =>
        Effect.gen(function* () {
          const { fresh, scratch, sql } = yield* its
          const other = nameOf(yield* fresh(""))
          const folder = yield* folderOf({
            "001.sql": `${create} USE ${other}; SELECT sleep(1); CREATE TABLE afterwards (id int);`
          })
          const fiber = yield* Effect.forkChild(SchemaMigrations.read({ folder, scratch }))
          const sleeping = "SELECT count(*) FROM information_schema.processlist WHERE state = 'User sleep'"
          yield* eventually(
            "it sleeps",
            Effect.map(sql(sleeping), (count) => (count === "1" ? true : undefined))
          )
          yield* Fiber.interrupt(fiber)
          yield* nothingLeft
          assert.strictEqual(yield* sql("SHOW TABLES", other), "")
        })
      )

      it.live("several statements need a scratch database that takes them", () =>
        Effect.gen(function* () {
          const { port } = yield* its
          const folder = yield* folderOf({ "001.sql": create })
          const scratch = at(dialect, port, "nexo", "nexo")
          const error = yield* Effect.flip(SchemaMigrations.read({ folder, scratch }))
          assert.strictEqual(error.reason._tag, "Refused")
          yield* nothingLeft
        })
      )

      it.live("bodies with several statements, without DELIMITER", () =>
        Effect.gen(function* () {
          const { scratch } = yield* its
          const trigger =
            "CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW BEGIN SET NEW.name = 'x'; SET NEW.id = 1; END;"
          const folder = yield* folderOf({ "001.sql": create, "002.sql": change + trigger })
          assert.deepStrictEqual(yield* SchemaMigrations.read({ folder, scratch }), expected)
        })
      )
    } else {
      it.live(
        "bodies with several statements; what must be in no transaction, if it is alone; settings end with the file",
        () =>
          Effect.gen(function* () {
            const { scratch } = yield* its
            const body =
              "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.id = 1; RETURN NEW; END$$;"
            const folder = yield* folderOf({
              "001.sql": `${create} ${body} CREATE TYPE mood AS ENUM ('a');`,
              "002.sql": "CREATE INDEX CONCURRENTLY i ON a (id)",
              "003.sql": "SET search_path = pg_catalog; SELECT set_config('search_path', '', false);",
              "004.sql": change
            })
            assert.deepStrictEqual(yield* SchemaMigrations.read({ folder, scratch }), expected)
            const other = yield* folderOf({ "001.sql": "CREATE SCHEMA s; CREATE TABLE s.t (a int);" })
            const { tables } = yield* SchemaMigrations.read({ folder: other, scratch, namespace: "s" })
            assert.deepStrictEqual(Object.keys(tables), ["t"])
          })
      )
    }

    it("refuses options that cannot work, and names them", () => {
      const scratch = at(dialect, 1)
      const refused: ReadonlyArray<readonly [object, string]> = [
        [{}, "folder"],
        [{ folder: "" }, "folder"],
        [{ folder: "a", files: ["b"] }, "folder"],
        [{ files: [] }, "files"],
        [{ files: [""] }, "files"],
        [{ folder: "a", namespace: "" }, "namespace"],
        [{ folder: "a", scratch: "postgres://x" }, "scratch"],
        [{ path: "a" }, "path"]
      ]
      for (const [options, option] of refused) {
        const error = refusal(() => SchemaMigrations.read({ scratch, ...options }))
        assert.deepStrictEqual([error.module, error.option], ["SchemaMigrations", option])
      }
    })
  })
}
