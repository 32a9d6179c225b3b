import { assert, describe, it } from "@effect/vitest"
import { refusal } from "@nexobot/testing/Expect"
import * as Effect from "effect/Effect"

import type * as Database from "../src/Database.ts"
import * as DatabaseSchema from "../src/DatabaseSchema.ts"
import { answering, at, kinds, nameOf } from "./sqlServers.ts"

type Dialect = Database.Database["dialect"]

const typeOf = (dialect: Dialect, type: string) => DatabaseSchema.normalise(dialect, { type }).type

const defaultOf = (dialect: Dialect, type: string, text: string) =>
  DatabaseSchema.normalise(dialect, { type, default: text }).default

/** Types as they are written, each with what it is reported as, in normal form. */
const types: Readonly<Record<Dialect, ReadonlyArray<readonly [string, string]>>> = {
  postgres: [
    ["int4", "integer"],
    ["INT", "integer"],
    ["int8", "bigint"],
    ["smallint", "smallint"],
    ["serial", "integer"],
    ["BigSerial", "bigint"],
    ["float4", "real"],
    ["float(24)", "real"],
    ["float(25)", "double precision"],
    ["float", "double precision"],
    ["decimal(10, 2)", "numeric(10,2)"],
    ["numeric(8)", "numeric(8,0)"],
    ["numeric", "numeric"],
    ["bool", "boolean"],
    ["varchar(255)", "character varying(255)"],
    ["varchar", "character varying"],
    ["character  varying ( 20 )", "character varying(20)"],
    ["char(3)", "character(3)"],
    ["char", "character(1)"],
    ['"char"', '"char"'],
    ["nchar(3)", "character(3)"],
    ["national character varying(9)", "character varying(9)"],
    ["text", "text"],
    ["bpchar", "bpchar"],
    ["timestamptz", "timestamp with time zone"],
    ["timestamptz(3)", "timestamp(3) with time zone"],
    ["timestamp (3) with time zone", "timestamp(3) with time zone"],
    ["TIMESTAMP(3)", "timestamp(3) without time zone"],
    ["timestamp(6)", "timestamp without time zone"],
    ["timestamp without time zone", "timestamp without time zone"],
    ["time", "time without time zone"],
    ["timetz(2)", "time(2) with time zone"],
    ["date", "date"],
    ["interval day to second(2)", "interval day to second(2)"],
    ["interval(4)", "interval(4)"],
    ["uuid", "uuid"],
    ["jsonb", "jsonb"],
    ["bytea", "bytea"],
    ["bit", "bit(1)"],
    ["varbit(5)", "bit varying(5)"],
    ["int[]", "integer[]"],
    ["varchar(9)[3][]", "character varying(9)[]"],
    ["text array[4]", "text[]"],
    ["timestamptz(3)[]", "timestamp(3) with time zone[]"],
    ["inet", "inet"],
    ["mood", "mood"],
    ['"mood"', "mood"],
    ["public.mood", "mood"],
    ['"Strange Mood"', '"Strange Mood"'],
    ['"Strange Mood"[]', '"Strange Mood"[]'],
    ["pg_catalog.int4", "integer"],
    ["money", "money"],
    ['varchar(255) COLLATE "C"', "character varying(255)"]
  ],
  mysql: [
    ["int(11)", "int"],
    ["INTEGER", "int"],
    ["int(10) unsigned", "int unsigned"],
    ["bigint", "bigint"],
    ["int8", "bigint"],
    ["middleint", "mediumint"],
    ["tinyint(1)", "boolean"],
    ["bool", "boolean"],
    ["BOOLEAN", "boolean"],
    ["tinyint", "tinyint"],
    ["tinyint(4)", "tinyint"],
    ["tinyint(1) unsigned", "tinyint unsigned"],
    ["smallint(5) zerofill", "smallint(5) unsigned zerofill"],
    ["varchar(255)", "varchar(255)"],
    ["character varying(9)", "varchar(9)"],
    ["char", "char(1)"],
    ["varchar(20) character set utf8mb4 collate utf8mb4_bin", "varchar(20)"],
    ["text charset latin1", "text"],
    ["decimal(10, 2)", "decimal(10,2)"],
    ["numeric", "decimal(10,0)"],
    ["dec(5)", "decimal(5,0)"],
    ["decimal(9,3) unsigned", "decimal(9,3) unsigned"],
    ["double precision", "double"],
    ["real", "double"],
    ["float", "float"],
    ["float(10)", "float"],
    ["float(30)", "double"],
    ["float(7,2)", "float(7,2)"],
    ["datetime", "datetime"],
    ["datetime(3)", "datetime(3)"],
    ["datetime(0)", "datetime"],
    ["time(0)", "time"],
    ["date", "date"],
    ["year", "year"],
    ["year(4)", "year"],
    ["json", "longtext"],
    ["longtext", "longtext"],
    ["long varchar", "mediumtext"],
    ["blob", "blob"],
    ["binary", "binary(1)"],
    ["varbinary(16)", "varbinary(16)"],
    ["bit", "bit(1)"],
    ["enum('New', 'it''s', 'a,(b)')", "enum('New','it''s','a,(b)')"],
    ["set('a','b')", "set('a','b')"],
    ['enum("it\'s", "b")', "enum('it''s','b')"],
    ["nchar(3)", "char(3)"],
    ["nvarchar(9)", "varchar(9)"],
    ["national varchar(9)", "varchar(9)"],
    ["uuid", "uuid"],
    ["inet6", "inet6"],
    ["point", "point"]
  ]
}

/** Types and defaults as they are written, each with its normal form. */
const defaults: Readonly<Record<Dialect, ReadonlyArray<readonly [string, string, string | null]>>> = {
  postgres: [
    ["timestamptz", "now()", "current_timestamp"],
    ["timestamptz", "CURRENT_TIMESTAMP", "current_timestamp"],
    ["timestamp(3)", "CURRENT_TIMESTAMP(3)", "current_timestamp(3)"],
    ["timestamptz", "(now())", "current_timestamp"],
    ["timestamptz", "(now() + interval '1 day')", "now() + interval '1 day'"],
    ["text", "'x'", "'x'"],
    ["varchar(9)", "'It''s'::character varying(9)", "'It''s'"],
    ["text", "''", "''"],
    ["text", "NULL", null],
    ["varchar(5)", "NULL::varchar", null],
    ["text", "'null'", "'null'"],
    ["text", "0", "'0'"],
    ["integer", "0", "0"],
    ["integer", "'-1'::integer", "-1"],
    ["integer", "(-1)", "-1"],
    ["numeric(10,2)", "0.00", "0"],
    ["numeric(10,2)", "1.50", "1.5"],
    ["varchar(9)", "'1.50'", "'1.50'"],
    ["boolean", "TRUE", "true"],
    ["boolean", "'f'", "false"],
    ["jsonb", "'{}'::jsonb", "'{}'"],
    ["text[]", "ARRAY[]::TEXT[]", "'{}'"],
    ["text[]", "'{}'", "'{}'"],
    ["mood", "'happy'::public.mood", "'happy'"],
    ["uuid", "gen_random_uuid()", "gen_random_uuid()"],
    ["integer", "1 + 2", "1 + 2"],
    ["date", "CURRENT_DATE", "current_date"],
    ["text", "lower('ABC'::text)", "lower('ABC')"],
    ["text", "concat('a'::character varying, 'b')", "concat('a','b')"],
    ["text", "'a'::varchar(3) || now()::text", "'a' || now()"],
    ["text", "'a::b'", "'a::b'"],
    ["text[]", "ARRAY['a'::text, 'b'::text]", "array['a','b']"],
    ["text", "CASE WHEN true THEN 'a'::text ELSE 'b'::text END", "case when true then 'a' else 'b' end"]
  ],
  mysql: [
    ["datetime", "now()", "current_timestamp"],
    ["datetime", "CURRENT_TIMESTAMP", "current_timestamp"],
    ["datetime", "current_timestamp()", "current_timestamp"],
    ["datetime(3)", "NOW(3)", "current_timestamp(3)"],
    ["varchar(9)", "'x'", "'x'"],
    ["varchar(9)", '"x"', "'x'"],
    ["varchar(9)", "'It''s'", "'It''s'"],
    ["varchar(9)", "'It\\'s'", "'It''s'"],
    ["varchar(9)", "''", "''"],
    ["varchar(9)", "NULL", null],
    ["varchar(9)", "'NULL'", "'NULL'"],
    ["int", "0", "0"],
    ["int", "'7'", "7"],
    ["int", "-1", "-1"],
    ["decimal(10,2)", "0", "0"],
    ["decimal(10,2)", "1.50", "1.5"],
    ["varchar(9)", "5", "'5'"],
    ["boolean", "true", "true"],
    ["boolean", "0", "false"],
    ["enum('a','b')", "'a'", "'a'"],
    ["json", "'{}'", "'{}'"],
    ["varchar(40)", "(uuid())", "uuid()"],
    ["varchar(40)", "(reverse('ABC'))", "reverse('ABC')"],
    ["bit", "b'0'", "b'0'"],
    ["bit", "0", "b'0'"],
    ["bit(8)", "5", "b'101'"]
  ]
}

/** The server writes these expressions in another way. */
const loose = new Set<string>(["(now() + interval '1 day')", "'a'::varchar(3) || now()::text"])

/** The same numbers each time: a linear congruential generator. */
const numbers = (seed: number) => {
  let state = seed
  return (below: number): number => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return Math.floor((state / 2_147_483_648) * below)
  }
}

// prettier-ignore
const pieces = [
  "int", "varchar", "(", ")", "[]", "[", "'", "''", '"', "`", "\\", "::", "text", " ", ",", "3", "0.50", "-1", "now()",
  "unsigned", "zerofill", "time", " with time zone", "'x'", "NULL", "array", "serial", "nextval(", "É", "\n", "true", "tinyint(1)",
  "charset x", "public.", '"int"', "float", "(4)", "enum('a', 'B')", "b'0'", "."
]

describe("DatabaseSchema.normalise", () => {
  for (const dialect of ["postgres", "mysql"] as const) {
    it(`${dialect}: types have one name`, () => {
      for (const [written, normal] of types[dialect]) {
        if (written === "public.mood") continue
        assert.strictEqual(typeOf(dialect, written), normal, written)
        assert.strictEqual(typeOf(dialect, normal), normal)
      }
    })

    it(`${dialect}: defaults have one form`, () => {
      for (const [type, written, normal] of defaults[dialect]) {
        assert.strictEqual(defaultOf(dialect, type, written), normal, `${type} ${written}`)
        if (normal !== null) assert.strictEqual(defaultOf(dialect, type, normal), normal, `${type} ${normal}`)
      }
    })

    it(`${dialect}: whatever is written, normalised twice is normalised once`, () => {
      const next = numbers(dialect === "mysql" ? 1 : 2)
      const anything = () => Array.from({ length: 1 + next(6) }, () => pieces[next(pieces.length)] ?? "").join("")
      for (let round = 0; round < 5000; round += 1) {
        const type = next(2) === 0 ? anything() : (types[dialect][next(types[dialect].length)]?.[0] ?? "")
        const column = { type, nullable: true, default: anything() }
        const once = DatabaseSchema.normalise(dialect, column)
        assert.deepStrictEqual(DatabaseSchema.normalise(dialect, once), once, JSON.stringify(column))
      }
    })
  }

  it("takes no long time for long texts", () => {
    for (const dialect of ["postgres", "mysql"] as const) {
      for (const piece of ["(", ")", "'", "''", "\\", "::", " ", "[", "a ", "(::", "unsigned ", "charset x "]) {
        const text = piece.repeat(2000)
        assert.isString(DatabaseSchema.normalise(dialect, { type: text, default: text }).type)
      }
    }
  })

  it("what is not told stays untold", () => {
    assert.deepStrictEqual(DatabaseSchema.normalise("postgres", { type: "int" }), { type: "integer" })
    const told = { type: "int", nullable: false, default: null }
    assert.deepStrictEqual(DatabaseSchema.normalise("mysql", told), told)
  })
})

describe("DatabaseSchema.make", () => {
  it("refuses what is no schema, and names it", () => {
    const column = { type: "int" }
    assert.deepStrictEqual(
      DatabaseSchema.make({ tables: { a: { columns: { b: column } } } }).tables["a"]?.columns["b"],
      column
    )
    const refused: ReadonlyArray<readonly [unknown, string]> = [
      [{}, "tables"],
      [{ tables: [] }, "tables"],
      [{ tables: {} }, "tables"],
      [{ tables: { a: {} } }, "tables.a.columns"],
      [{ tables: { a: { columns: { b: { type: "" } } } } }, "tables.a.columns.b.type"],
      [{ tables: { a: { columns: { b: { type: " " } } } } }, "tables.a.columns.b.type"],
      [{ tables: { a: { columns: { b: "int" } } } }, "tables.a.columns.b"],
      [{ tables: { a: { columns: { b: { ...column, nulable: true } } } } }, "tables.a.columns.b.nulable"],
      [{ tables: { a: { columns: { b: { ...column, nullable: "no" } } } } }, "tables.a.columns.b.nullable"],
      [{ tables: { a: { columns: { b: { ...column, default: 0 } } } } }, "tables.a.columns.b.default"],
      [{ tables: { a: { columns: { b: { ...column, default: "" } } } } }, "tables.a.columns.b.default"],
      [{ tables: { a: { columns: { b: column }, rows: 1 } } }, "tables.a.rows"]
    ]
    for (const [schema, option] of refused) {
      const error = refusal(() => DatabaseSchema.make(schema as DatabaseSchema.DatabaseSchema))
      assert.deepStrictEqual([error.module, error.option], ["DatabaseSchema", option])
    }
  })
})

/** As the catalogue of MySQL 8 tells of a column. */
const rowOf = (column: string, type: string, value: string | null, extra = "") => ({
  table_name: "t",
  column_name: column,
  column_type: type,
  nullable: "YES",
  column_default: value,
  extra,
  version: "8.0.36"
})

describe("DatabaseSchema.read, MySQL 8", () => {
  it.effect("defaults are values there, unless they are expressions", () =>
    Effect.gen(function* () {
      const database = answering(at("mysql", 1), [
        [
          /information_schema/,
          [
            rowOf("a", "int", "7"),
            rowOf("b", "varchar(9)", "it's"),
            rowOf("c", "varchar(40)", "_utf8mb4\\'x\\'", "DEFAULT_GENERATED"),
            rowOf("d", "datetime(3)", "CURRENT_TIMESTAMP(3)", "DEFAULT_GENERATED on update CURRENT_TIMESTAMP(3)"),
            rowOf("e", "datetime", "CURRENT_TIMESTAMP"),
            rowOf("f", "bigint", null, "auto_increment"),
            rowOf("g", "int", null, "STORED GENERATED"),
            rowOf("h", "varchar(9)", null)
          ]
        ]
      ])
      const columns = (yield* reading(database)).tables["t"]?.columns ?? {}
      assert.deepStrictEqual(
        Object.entries(columns).map(([name, column]) => [name, column.default]),
        [
          ["a", "7"],
          ["b", "'it''s'"],
          ["c", "'x'"],
          ["d", "current_timestamp(3)"],
          ["e", "current_timestamp"],
          ["f", "auto"],
          ["g", "generated"],
          ["h", null]
        ]
      )
    })
  )

  it.effect("a catalogue of another form is an error", () =>
    Effect.gen(function* () {
      for (const dialect of ["postgres", "mysql"] as const) {
        const database = answering(at(dialect, 1), [[/(pg_class|information_schema)/, [{ table_name: 7 }]]])
        const { reason } = yield* Effect.flip(reading(database))
        assert.deepInclude(reason, { _tag: "QueryFailed", message: "the catalogue of this server has another form" })
      }
    })
  )
})

const reading = (database: Database.Database, namespace?: string) =>
  DatabaseSchema.read(database, namespace === undefined ? {} : { namespace })

for (const { dialect, isMissing, server } of kinds) {
  describe.skipIf(isMissing())(`DatabaseSchema.read, ${dialect}`, () => {
    const its = server()
    const mood = `CREATE TYPE mood AS ENUM ('happy', 'sad'); CREATE TYPE "Strange Mood" AS ENUM ('x');`
    const beforehand = dialect === "postgres" ? mood : ""

    it.live("every type is reported as what was written, in normal form", () =>
      Effect.gen(function* () {
        const { fresh } = yield* its
        const columns = types[dialect].map(([written], index) => `c${index} ${written}`)
        const database = yield* fresh(`${beforehand} CREATE TABLE t (${columns.join(", ")})`)
        const { tables } = yield* reading(database)
        const found = tables["t"]?.columns ?? {}
        const wrong = types[dialect].flatMap(([written, normal], index) => {
          const type = found[`c${index}`]?.type
          return type === normal ? [] : [[written, normal, type]]
        })
        assert.deepStrictEqual(wrong, [])
      })
    )

    it.live("every default is reported as what was written, in normal form", () =>
      Effect.gen(function* () {
        const { fresh } = yield* its
        const columns = defaults[dialect].map(([type, written], index) => `c${index} ${type} DEFAULT ${written}`)
        const database = yield* fresh(`${beforehand} CREATE TABLE t (${columns.join(", ")})`)
        const { tables } = yield* reading(database)
        const found = tables["t"]?.columns ?? {}
        const wrong = defaults[dialect].flatMap(([type, written, normal], index) => {
          const said = found[`c${index}`]?.default
          return said === normal || loose.has(written) ? [] : [[type, written, normal, said]]
        })
        assert.deepStrictEqual(wrong, [])
      })
    )

    it.live("keys, counters, generated columns, odd names; views are left out", () =>
      Effect.gen(function* () {
        const { fresh } = yield* its
        const quote = dialect === "postgres" ? '"' : "`"
        const [counter, computed] =
          dialect === "postgres"
            ? ["serial PRIMARY KEY, b int GENERATED ALWAYS AS IDENTITY", "int GENERATED ALWAYS AS (a + 1) STORED"]
            : ["int AUTO_INCREMENT PRIMARY KEY, b int NOT NULL", "int AS (a + 1)"]
        const database = yield* fresh(`
          CREATE TABLE t (a ${counter}, n int NOT NULL, c ${computed});
          CREATE TABLE ${quote}Odd name, it's${quote} (${quote}constructor${quote} int);
          CREATE VIEW v AS SELECT 1 AS a`)
        const { tables } = yield* reading(database)
        assert.deepStrictEqual(Object.keys(tables).toSorted(), ["Odd name, it's", "t"])
        const int = dialect === "postgres" ? "integer" : "int"
        assert.deepStrictEqual(tables["t"]?.columns, {
          a: { type: int, nullable: false, default: "auto" },
          b: { type: int, nullable: false, default: dialect === "postgres" ? "auto" : null },
          n: { type: int, nullable: false, default: null },
          c: { type: int, nullable: true, default: "generated" }
        })
        assert.deepStrictEqual(tables["Odd name, it's"]?.columns, {
          constructor: { type: int, nullable: true, default: null }
        })
        // What was read is a schema itself, also after a file had it.
        assert.deepStrictEqual(DatabaseSchema.make(JSON.parse(JSON.stringify({ tables }))), { tables })
        assert.deepStrictEqual(DatabaseSchema.normaliseAll(dialect, { tables }), { tables })
        assert.isNotEmpty(nameOf(database))
      })
    )

    if (dialect === "mysql") return

    it.live("namespace: another schema of Postgres, and the types that it has", () =>
      Effect.gen(function* () {
        const { fresh } = yield* its
        const database = yield* fresh(`
          CREATE SCHEMA "Shop"; CREATE TYPE "Shop".mood AS ENUM ('happy');
          CREATE TABLE "Shop".t (m "Shop".mood DEFAULT 'happy', l "Shop".mood[]); CREATE TABLE u (a int)`)
        const { tables } = yield* reading(database, "Shop")
        assert.deepStrictEqual(tables, {
          t: {
            columns: {
              m: { type: "mood", nullable: true, default: "'happy'" },
              l: { type: "mood[]", nullable: true, default: null }
            }
          }
        })
        assert.deepStrictEqual((yield* reading(database, "none")).tables, {})
      })
    )

    it.live("read by whichever user, with whichever search path, it is the same", () =>
      Effect.gen(function* () {
        const { fresh, port, sql } = yield* its
        const database = yield* fresh(`
          CREATE SCHEMA shop; CREATE SCHEMA ext; CREATE TYPE ext.kind AS ENUM ('q');
          CREATE FUNCTION shop.new_id() RETURNS text LANGUAGE sql AS $$SELECT 'shop.x'$$;
          CREATE TABLE shop.t (id text DEFAULT shop.new_id() || ' shop.x', k ext.kind);`)
        yield* sql("CREATE ROLE searching LOGIN; ALTER ROLE searching SET search_path = shop, ext")
        const found = yield* reading(database, "shop")
        assert.deepStrictEqual(found.tables["t"]?.columns, {
          id: { type: "text", nullable: true, default: "new_id() || ' shop.x'" },
          k: { type: "ext.kind", nullable: true, default: null }
        })
        const other = at(dialect, port, "searching", nameOf(database))
        assert.deepStrictEqual(yield* reading(other, "shop"), found)
      })
    )

    it.live("a table without columns, as a schema and as data", () =>
      Effect.gen(function* () {
        const { fresh } = yield* its
        const read = yield* reading(yield* fresh("CREATE TABLE z ()"))
        assert.deepStrictEqual(DatabaseSchema.make(read), { tables: { z: { columns: {} } } })
      })
    )

    it.live("partitions are a part of their table", () =>
      Effect.gen(function* () {
        const { fresh } = yield* its
        const database = yield* fresh(`
          CREATE TABLE p (a int) PARTITION BY RANGE (a); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9)`)
        assert.deepStrictEqual(Object.keys((yield* reading(database)).tables), ["p"])
      })
    )
  })
}
