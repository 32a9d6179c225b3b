import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import * as Verdict from "@nexobot/core/Verdict"
import { eventually, refusal } from "@nexobot/testing/Expect"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

import type * as Database from "../src/Database.ts"
import { QueryFailed } from "../src/Database.ts"
import * as DatabaseSchema from "../src/DatabaseSchema.ts"
import * as PostgresDatabase from "../src/PostgresDatabase.ts"
import * as SchemaProbe from "../src/SchemaProbe.ts"
import { probeContract } from "./ProbeContract.ts"
import { answering, at, databases, kinds, nameOf, refusing, tooManyFiles } from "./sqlServers.ts"
import { signatureOf, tcpServer } from "./support.ts"

type Options = Omit<SchemaProbe.SchemaProbeOptions, "name" | "database">

const shop: DatabaseSchema.DatabaseSchema = {
  tables: {
    customers: {
      columns: {
        id: { type: "int", nullable: false },
        email: { type: "varchar(255)", nullable: false, default: null },
        active: { type: "boolean", nullable: false, default: "true" },
        created: { type: "timestamp", default: "now()" }
      }
    },
    products: { columns: { id: { type: "bigint" }, name: { type: "text", nullable: true } } }
  }
}

const customers = `CREATE TABLE customers (
  id int NOT NULL PRIMARY KEY,
  email varchar(255) NOT NULL,
  active boolean NOT NULL DEFAULT true,
  created timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP
);`
const products = "CREATE TABLE products (id bigint PRIMARY KEY, name text);"

const evidenceOf = (verdict: Verdict.Verdict<Verdict.Signature>) =>
  "evidence" in verdict && verdict.evidence !== undefined ? verdict.evidence : []

const probing = (database: Database.Database, options: Partial<Options> = {}) =>
  SchemaProbe.make({ name: "schema", database, schema: shop, ...options })

const tags = (probe: Probe.Any) => probe.reports.map(Verdict.tagOf)

const defaulting = (last: string) =>
  `CREATE TABLE t (a text[] DEFAULT ARRAY['a', ${last}], b text DEFAULT CASE WHEN true THEN 'a' ELSE ${last} END)`

const rowOf = (table: string, column: string) => ({
  table_name: table,
  column_name: column,
  column_type: "int",
  nullable: "YES",
  column_default: null,
  extra: "",
  version: "8"
})

type Any = SchemaProbe.Found<SchemaProbe.SchemaProbeOptions>

const reasonOf = (verdict: Verdict.Verdict<Any>) => {
  const found = signatureOf(verdict)
  return found._tag === "Schema/DatabaseUnavailable" ? found.reason : found._tag
}

for (const { connected, dialect, isMissing, server } of kinds) {
  describe.skipIf(isMissing())(`SchemaProbe, ${dialect}`, () => {
    const its = server()
    const live = databases(its)
    const checking = (statements: string, options: Partial<Options> = {}) =>
      Effect.flatMap(live(statements), (database) => probing(database, options).check)

    it.live("a database as declared is healthy", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* checking(customers + products), Verdict.healthy)
      })
    )

    it.live("a missing table comes before a missing column, and that before other differences", () =>
      Effect.gen(function* () {
        const changed = customers.replace("varchar(255) NOT NULL", "varchar(100)").replace(/active.*\n/, "")
        assert.deepStrictEqual(
          yield* checking(`${changed} CREATE TABLE leftovers (a int);`),
          Verdict.unhealthy(new SchemaProbe.MissingTable({ table: "products" }), [
            "table products is missing",
            "column customers.active is missing",
            dialect === "postgres"
              ? "type of customers.email is character varying(100), not character varying(255)"
              : "type of customers.email is varchar(100), not varchar(255)",
            "nullability of customers.email is nullable, not not null",
            "table leftovers was not declared"
          ])
        )
        const missing = yield* checking(products + customers.replace(/active.*\n/, ""))
        assert.deepStrictEqual(
          signatureOf(missing),
          new SchemaProbe.MissingColumn({ table: "customers", column: "active" })
        )
      })
    )

    it.live("type, nullability and default are each found, with what was expected", () =>
      Effect.gen(function* () {
        const int = dialect === "postgres" ? "integer" : "int"
        const cases = [
          ["id int ", "id bigint ", "id", "type", int, "bigint"],
          ["varchar(255) NOT NULL", "varchar(255)", "email", "nullability", "not null", "nullable"],
          ["DEFAULT true", "DEFAULT false", "active", "default", "true", "false"],
          [" DEFAULT true", "", "active", "default", "true", "none"],
          ["varchar(255) NOT NULL", "varchar(255) NOT NULL DEFAULT 'x'", "email", "default", "none", "'x'"]
        ] as const
        for (const [from, to, column, what, expected, found] of cases) {
          const verdict = yield* checking(products + customers.replace(from, to))
          assert.strictEqual(verdict._tag, "Unhealthy")
          assert.deepStrictEqual(
            signatureOf(verdict),
            new SchemaProbe.Drift({ table: "customers", column, what, expected, found })
          )
        }
      })
    )

    it.live("ghostTables and ignore: what nobody declared is Degraded, Unhealthy or nothing", () =>
      Effect.gen(function* () {
        const database = yield* live(
          `${customers + products} CREATE TABLE _migrations (a int); CREATE TABLE tmp (a int);`
        )
        const ghosts = ["table _migrations was not declared", "table tmp was not declared"]
        assert.deepStrictEqual(
          yield* probing(database).check,
          Verdict.degraded(new SchemaProbe.GhostTable({ table: "_migrations" }), ghosts)
        )
        for (const ignore of [[/^_/g], ["_migrations", /x/y]]) {
          const probe = probing(database, { ignore })
          for (const _ of [1, 2]) {
            assert.deepStrictEqual(
              yield* probe.check,
              Verdict.degraded(new SchemaProbe.GhostTable({ table: "tmp" }), ghosts.slice(1))
            )
          }
        }
        // A text is a whole name.
        assert.lengthOf(evidenceOf(yield* probing(database, { ignore: ["migrations", "t.*"] }).check), 2)
        assert.deepStrictEqual(yield* probing(database, { ghostTables: "ignored" }).check, Verdict.healthy)
        assert.strictEqual((yield* probing(database, { ghostTables: "unhealthy" }).check)._tag, "Unhealthy")
      })
    )

    it.live("ghostColumns: ignored unless told", () =>
      Effect.gen(function* () {
        const database = yield* live(customers + products.replace("name text", "name text, price int"))
        assert.deepStrictEqual(yield* probing(database).check, Verdict.healthy)
        assert.deepStrictEqual(
          yield* probing(database, { ghostColumns: "degraded" }).check,
          Verdict.degraded(new SchemaProbe.GhostColumn({ table: "products", column: "price" }), [
            "column products.price was not declared"
          ])
        )
        assert.strictEqual((yield* probing(database, { ghostColumns: "unhealthy" }).check)._tag, "Unhealthy")
      })
    )

    it.live("many findings are told in part; names from the database are cut", () =>
      Effect.gen(function* () {
        const many = Array.from({ length: 60 }, (_, index) => `CREATE TABLE t${index} (a int);`).join("\n")
        const evidence = evidenceOf(yield* checking(customers + products + many))
        assert.lengthOf(evidence, 51)
        assert.strictEqual(evidence.at(-1), "and 10 more")
      })
    )

    it.live("a default that looks like a secret is hidden", () =>
      Effect.gen(function* () {
        const verdict = yield* checking(
          products + customers.replace("255) NOT NULL", "255) DEFAULT 'token=geheim12345'")
        )
        assert.include(JSON.stringify(verdict), "token=")
        assert.notInclude(JSON.stringify(verdict), "geheim")
      })
    )

    it.live("a user without privileges: what he cannot see is not missing", () =>
      Effect.gen(function* () {
        const { database, fresh, port, sql } = yield* its
        const made = yield* fresh(customers + products)
        const name = nameOf(made)
        yield* sql(
          dialect === "postgres"
            ? "CREATE ROLE reader LOGIN"
            : `CREATE USER reader@'%'; GRANT SELECT ON ${name}.customers TO reader@'%'`
        )
        const other = at(dialect, port, "reader", name)
        const verdict = yield* probing(other).check
        // The catalogue of Postgres is open to everybody.
        assert.strictEqual(verdict._tag, dialect === "postgres" ? "Healthy" : "Inconclusive")
        if (dialect === "mysql") assert.include(JSON.stringify(verdict), "denied")
        assert.strictEqual((yield* probing(database.withDatabase("nowhere")).check)._tag, "Unhealthy")
      })
    )

    if (dialect === "mysql") {
      it.live("a column that the user may not see is not missing, and a view that he can read is there", () =>
        Effect.gen(function* () {
          const { fresh, port, sql } = yield* its
          const made = yield* fresh(`${customers} ${products} CREATE VIEW v AS SELECT id FROM products;`)
          const name = nameOf(made)
          yield* sql(`CREATE USER columns@'%'; GRANT SELECT ON ${name}.products TO columns@'%';
            GRANT SELECT (id, email, active) ON ${name}.customers TO columns@'%'`)
          const verdict = yield* probing(at(dialect, port, "columns", name)).check
          assert.strictEqual(verdict._tag, "Inconclusive")
          assert.include(JSON.stringify(verdict), "denied")
          const schema = { tables: { ...shop.tables, v: { columns: { id: { type: "bigint" } } } } }
          assert.deepStrictEqual(yield* probing(made, { schema }).check, Verdict.healthy)
        })
      )
    } else {
      it.live("defaults that differ in what they say last are not equal", () =>
        Effect.gen(function* () {
          const schema = yield* DatabaseSchema.read(yield* live(defaulting("'b'")))
          assert.deepStrictEqual(yield* probing(yield* live(defaulting("'b'")), { schema }).check, Verdict.healthy)
          assert.lengthOf(evidenceOf(yield* probing(yield* live(defaulting("'z'")), { schema }).check), 2)
        })
      )
    }

    it.live("no database, no server, a frozen server and one that says nothing are DatabaseUnavailable", () =>
      Effect.gen(function* () {
        const { database, freeze, fresh, thaw } = yield* its
        assert.strictEqual(reasonOf(yield* probing(database.withDatabase("nowhere")).check), "AccessDenied")
        assert.strictEqual(reasonOf(yield* probing(yield* refusing(dialect)).check), "Unreachable")
        const made = yield* fresh(customers + products)
        const late = probing(made, { timeout: "300 millis" }).check
        // Others use it too, whatever happens here.
        const verdict = yield* Effect.ensuring(Effect.andThen(freeze, late), thaw)
        assert.strictEqual(reasonOf(verdict), "Timeout")
        assert.deepStrictEqual(yield* probing(made).check, Verdict.healthy)
      })
    )

    it.live("nothing is connected after a check, nor after an interruption", () =>
      Effect.gen(function* () {
        const { freeze, fresh, sql, thaw } = yield* its
        const made = yield* fresh(customers + products)
        yield* probing(made).check
        const interrupted = Effect.gen(function* () {
          yield* freeze
          const fiber = yield* Effect.forkChild(probing(made).check, { startImmediately: true })
          yield* eventually(
            "it connects",
            Effect.sync(() => (process.getActiveResourcesInfo().includes("TCPSocketWrap") ? true : undefined))
          )
          yield* Fiber.interrupt(fiber)
        })
        yield* Effect.ensuring(interrupted, thaw)
        const nobody = Effect.map(sql(connected), (count) => (count === "0" ? true : undefined))
        yield* eventually("nobody is connected", nobody)
      })
    )

    probeContract<Any>(`SchemaProbe, ${dialect}`, {
      situations: {
        Healthy: Effect.map(live(customers + products), (database) => probing(database)),
        Inconclusive: Effect.map(live(""), (database) => probing({ ...database, connect: tooManyFiles })),
        "Schema/MissingTable": Effect.map(live(customers), (database) => probing(database)),
        "Schema/MissingColumn": Effect.map(live(products + customers.replace(/active.*\n/, "")), (database) =>
          probing(database)
        ),
        "Schema/Drift": Effect.map(live(products + customers.replace("255", "9")), (database) => probing(database)),
        "Schema/GhostTable": Effect.map(live(`${products + customers} CREATE TABLE g (a int)`), (database) =>
          probing(database)
        ),
        "Schema/GhostColumn": Effect.map(live(products.replace("name", "a int, name") + customers), (database) =>
          probing(database, { ghostColumns: "degraded" })
        ),
        "Schema/DatabaseUnavailable": Effect.map(refusing(dialect), (database) => probing(database))
      },
      waiting: Effect.map(
        tcpServer(() => {}),
        ({ port }) => probing(at(dialect, port))
      )
    })
  })
}

describe("SchemaProbe", () => {
  const database = PostgresDatabase.make({ url: "postgres://user:secret@127.0.0.1:1/shop" })

  it("says what it examines, and asks the same of the same database", () => {
    const probe = probing(database)
    assert.deepInclude(probe, { target: "postgres://127.0.0.1:1/shop", reach: "host", cost: 5, effects: "none" })
    const ignore = [/^_/]
    assert.deepStrictEqual(Probe.question(probing(database, { ignore })), Probe.question(probing(database, { ignore })))
    const others: ReadonlyArray<Partial<Options>> = [
      { schema: { tables: { products: { columns: { id: { type: "int" } } } } } },
      { namespace: "shop" },
      { ignore },
      { ghostTables: "unhealthy" },
      { ghostColumns: "unhealthy" },
      { timeout: "9 seconds" }
    ]
    for (const other of others) {
      const asked = Probe.question(probing(database, other))
      assert.notDeepEqual(asked, Probe.question(probe), JSON.stringify(other))
    }
    assert.notDeepEqual(Probe.question(probing(database.withDatabase("shed"))), Probe.question(probe))
    assert.notInclude(JSON.stringify([probe, Probe.question(probe)]), "secret")
  })

  it.effect("a server with another catalogue says nothing", () =>
    Effect.gen(function* () {
      for (const one of [database, at("mysql", 1)]) {
        const strange = answering(one, [[/(pg_class|information_schema)/, [{ table_name: 7 }]]])
        const verdict = yield* probing(strange).check
        assert.strictEqual(verdict._tag, "Inconclusive")
        assert.include(JSON.stringify(verdict), "another form")
      }
    })
  )

  it.effect("MySQL: names of tables are compared as the server does, and those of ghosts are shown as they are", () =>
    Effect.gen(function* () {
      const schema = { tables: { Users: { columns: { ID: { type: "int" } } } } }
      const judging = (folding: number, ghostColumns: SchemaProbe.Ghosts) =>
        probing(
          answering(at("mysql", 1), [
            [/lower_case/, [{ folding }]],
            [/information_schema/, [rowOf("users", "Id"), rowOf("users", "Xy")]],
            [/FROM `Users`/, new QueryFailed({ code: "ER_NO_SUCH_TABLE", message: "no" })]
          ]),
          { schema, ghostColumns }
        ).check
      assert.deepStrictEqual(yield* judging(1, "ignored"), Verdict.healthy)
      assert.deepStrictEqual(yield* judging(2, "ignored"), Verdict.healthy)
      assert.deepInclude(signatureOf(yield* judging(0, "ignored")), { _tag: "Schema/MissingTable", table: "Users" })
      assert.deepInclude(signatureOf(yield* judging(1, "degraded")), { _tag: "Schema/GhostColumn", column: "Xy" })
    })
  )

  it("declares just what its options can find", () => {
    const plain = SchemaProbe.make({ name: "schema", database, schema: shop })
    expectTypeOf(plain).toEqualTypeOf<Probe.Probe<Exclude<Any, SchemaProbe.GhostColumn>>>()
    assert.lengthOf(tags(plain), 5)
    const less = SchemaProbe.make({ name: "schema", database, schema: shop, ghostTables: "ignored" })
    expectTypeOf(less).toEqualTypeOf<Probe.Probe<Exclude<Any, SchemaProbe.GhostColumn | SchemaProbe.GhostTable>>>()
    assert.lengthOf(tags(less), 4)
    const more = SchemaProbe.make({ name: "schema", database, schema: shop, ghostColumns: "degraded" })
    expectTypeOf(more).toEqualTypeOf<Probe.Probe<Any>>()
    assert.lengthOf(tags(more), 6)
    // @ts-expect-error a misspelt option
    const error = refusal(() => SchemaProbe.make({ name: "schema", database, schema: shop, ghosts: "ignored" }))
    assert.strictEqual(error.option, "ghosts")
  })

  it("refuses options that cannot work, and names them", () => {
    const refused: ReadonlyArray<readonly [object, string]> = [
      [{ schema: { tables: {} } }, "tables"],
      [{ namespace: "" }, "namespace"],
      [{ ignore: "x" }, "ignore"],
      [{ ignore: [""] }, "ignore"],
      [{ ghostTables: "bad" }, "ghostTables"],
      [{ ghostColumns: true }, "ghostColumns"],
      [{ database: "postgres://127.0.0.1/shop" }, "database"],
      [{ database: { ...database, dialect: "mysql" }, namespace: "shop" }, "namespace"],
      [{ timeout: 0 }, "timeout"],
      [{ tables: {} }, "tables"]
    ]
    for (const [options, option] of refused) {
      assert.strictEqual(refusal(() => probing(database, options)).option, option)
    }
  })
})
