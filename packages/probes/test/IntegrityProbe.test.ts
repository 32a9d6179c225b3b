import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import * as Redaction from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"
import { eventually, refusal } from "@nexobot/testing/Expect"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

import type * as Database from "../src/Database.ts"
import { QueryFailed } from "../src/Database.ts"
import * as IntegrityProbe from "../src/IntegrityProbe.ts"
import * as PostgresDatabase from "../src/PostgresDatabase.ts"
import { ask } from "./DatabaseContract.ts"
import { probeContract } from "./ProbeContract.ts"
import { answering, at, databases, kinds, nameOf, refusing, tooManyFiles } from "./sqlServers.ts"
import { signatureOf, tcpServer } from "./support.ts"

type Options = Partial<Omit<IntegrityProbe.IntegrityProbeOptions, "name" | "database">>

const rule = "every product has an image"

const pictureless = "SELECT * FROM products WHERE image IS NULL ORDER BY id"

const probing = (database: Database.Database, options: Options = {}) =>
  IntegrityProbe.make({ name: "integrity", database, rule, query: pictureless, ...options })

const shop = `CREATE TABLE products (id int PRIMARY KEY, name varchar(999) NOT NULL, image varchar(99));
  CREATE TABLE orders (id int PRIMARY KEY, product int);`

const filled = `${shop}
  INSERT INTO products VALUES (1, 'cup', 'cup.png'), (2, 'pot', NULL), (3, 'api_key=geheim12345', NULL), (4, 'jug', NULL);
  INSERT INTO orders VALUES (1, 1), (2, 99);`

const evidenceOf = (verdict: Verdict.Verdict<Verdict.Signature>) =>
  "evidence" in verdict && verdict.evidence !== undefined ? verdict.evidence : []

for (const { connected, dialect, isMissing, server } of kinds) {
  describe.skipIf(isMissing())(`IntegrityProbe, ${dialect}`, () => {
    const its = server()
    const live = databases(its)
    const checking = (options: Options, statements = filled) =>
      Effect.flatMap(live(statements), (database) => probing(database, options).check)

    it.live("no rows are healthy, and some are not; their number is told", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* checking({}, shop), Verdict.healthy)
        assert.deepStrictEqual(
          yield* checking({}),
          Verdict.unhealthy(new IntegrityProbe.Violated({ rule, rows: 3, andMore: false }), [
            `${rule}: 3 rows, at most 0 expected`
          ])
        )
        const orphans = "SELECT o.id FROM orders o LEFT JOIN products p ON p.id = o.product WHERE p.id IS NULL"
        assert.deepInclude(signatureOf(yield* checking({ query: orphans })), { rows: 1 })
      })
    )

    it.live("minRows and maxRows: an empty catalogue, and a number that is tolerated", () =>
      Effect.gen(function* () {
        const query = "SELECT id FROM products"
        assert.deepStrictEqual(
          yield* checking({ query, minRows: 1 }, shop),
          Verdict.unhealthy(new IntegrityProbe.Violated({ rule, rows: 0, andMore: false }), [
            `${rule}: 0 rows, at least 1 expected`
          ])
        )
        for (const options of [{ minRows: 1 }, { minRows: 4 }, { maxRows: 4 }, { minRows: 4, maxRows: 4 }]) {
          assert.deepStrictEqual(yield* checking({ query, ...options }), Verdict.healthy)
        }
        for (const options of [{ minRows: 5 }, { maxRows: 3 }, { minRows: 0 }, { minRows: 1, maxRows: 2 }]) {
          assert.strictEqual((yield* checking({ query, ...options }))._tag, "Unhealthy")
        }
      })
    )

    it.live("show: values of these columns, redacted and cut, of the first rows; nothing else of any", () =>
      Effect.gen(function* () {
        const secret = Effect.provideService(
          checking({ show: ["id", "name"] }),
          Redaction.Redactor,
          Redaction.make(["jug"])
        )
        assert.deepStrictEqual(evidenceOf(yield* secret).slice(1), [
          "id: 2, name: pot",
          `id: 3, name: api_key=${Redaction.mask}`,
          `id: 4, name: ${Redaction.mask}`
        ])
        const many = Array.from({ length: 9 }, (_, index) => `(${index}, '${"x".repeat(900)}')`).join(", ")
        const evidence = evidenceOf(
          yield* checking(
            {
              query: 'SELECT id AS `weird "id`, name FROM products'
                .replaceAll("`", dialect === "mysql" ? "`" : '"')
                .replace('"id', dialect === "mysql" ? '"id' : '""id'),
              show: ['weird "id', "name"]
            },
            `${shop} INSERT INTO products (id, name) VALUES ${many}`
          )
        )
        assert.lengthOf(evidence, 6)
        assert.strictEqual(evidence[1], `weird "id: 0, name: ${"x".repeat(100)}`)
        const misspelt = yield* checking({ show: ["price"] })
        assert.deepInclude(signatureOf(misspelt), { _tag: "Integrity/Violated", rows: 3 })
        assert.match(evidenceOf(misspelt)[1] ?? "", /^no rows can be shown: .*price/)
      })
    )

    it.live("show: a sample that is slow has only what is left of the time, and hides nothing", () =>
      Effect.gen(function* () {
        // What is not shown is not computed for the count.
        const slow = `CREATE FUNCTION slow() RETURNS text STABLE LANGUAGE plpgsql
          AS $$BEGIN PERFORM pg_sleep(9); RETURN 'x'; END$$;`
        const [made, call] = dialect === "postgres" ? [slow, "slow()"] : ["", "sleep(9)"]
        const query = `SELECT id, ${call} AS z FROM products`
        const verdict = yield* checking({ query, show: ["z"], timeout: "700 millis" }, filled + made)
        assert.deepInclude(signatureOf(verdict), { _tag: "Integrity/Violated", rows: 4 })
        assert.match(evidenceOf(verdict)[1] ?? "", /^no rows can be shown/)
      })
    )

    it.live("a million rows are counted only so far, by the server", () =>
      Effect.gen(function* () {
        const query =
          dialect === "postgres"
            ? "SELECT n, repeat('x', 100) FROM generate_series(1, 1000000) AS n"
            : "SELECT seq, repeat('x', 100) AS x FROM seq_1_to_1000000"
        assert.deepStrictEqual(
          yield* checking({ query }),
          Verdict.unhealthy(new IntegrityProbe.Violated({ rule, rows: 1000, andMore: true }), [
            `${rule}: 1000 rows or more, at most 0 expected`
          ])
        )
        assert.deepStrictEqual(yield* checking({ query, minRows: 5000 }), Verdict.healthy)
        assert.deepInclude(signatureOf(yield* checking({ query, maxRows: 5000 })), { rows: 5001, andMore: true })
      })
    )

    it.live("queries may end with a semicolon or a comment, begin with WITH, and be sorted", () =>
      Effect.gen(function* () {
        for (const query of [
          `${pictureless};`,
          `${pictureless} ; `,
          `${pictureless} -- all of them`,
          `${pictureless} LIMIT 3`,
          `WITH p AS (${pictureless}) SELECT id FROM p`,
          "SELECT id FROM products WHERE id = 2 UNION SELECT id FROM products WHERE id IN (3, 4)"
        ]) {
          assert.deepInclude(signatureOf(yield* checking({ query })), { rows: 3 }, query)
        }
      })
    )

    it.live("nothing can be changed", () =>
      Effect.gen(function* () {
        const { fresh, sql } = yield* its
        const database = yield* fresh(filled)
        const attempts =
          dialect === "postgres"
            ? [
                "WITH gone AS (DELETE FROM products RETURNING id) SELECT id FROM gone",
                "SELECT 1) AS a; DELETE FROM products; SELECT * FROM (SELECT 1",
                "SELECT * FROM products FOR UPDATE",
                "SELECT nextval('counter')",
                "SELECT wipe()"
              ]
            : [
                "SELECT 1) AS a; DELETE FROM products; SELECT * FROM (SELECT 1",
                [
                  "SELECT 1 AS a) AS x LIMIT 1) AS y; COMMIT; DELETE FROM products;",
                  "SELECT 1 AS counted FROM (SELECT 1 AS z FROM (SELECT 1 AS q"
                ].join(" "),
                "SELECT * FROM products INTO OUTFILE '/tmp/nexo-never'",
                "SELECT wipe() AS a"
              ]
        const beforehand =
          dialect === "postgres"
            ? `CREATE SEQUENCE counter;
              CREATE FUNCTION wipe() RETURNS int LANGUAGE plpgsql AS $$BEGIN DELETE FROM products; RETURN 1; END$$;`
            : `CREATE FUNCTION wipe() RETURNS int DETERMINISTIC BEGIN DELETE FROM products; RETURN 1; END`
        yield* sql(dialect === "mysql" ? `DELIMITER //\n${beforehand}//\n` : beforehand, nameOf(database))
        for (const query of attempts) {
          const verdict = yield* probing(database, { query }).check
          assert.strictEqual(verdict._tag, "Inconclusive", `${query}: ${JSON.stringify(verdict)}`)
        }
        assert.strictEqual(yield* sql("SELECT count(*) FROM products", nameOf(database)), "4")
      })
    )

    if (dialect === "mysql") {
      it.live("timeout: when MariaDB says it first, in a code of its own, it is one as well", () =>
        Effect.gen(function* () {
          const query = "SET STATEMENT max_statement_time = 0.05 FOR SELECT sleep(9)"
          const { reason } = yield* Effect.flip(ask(yield* live(filled), query))
          assert.deepInclude(reason, { code: "ER_STATEMENT_TIMEOUT" })
        })
      )
    }

    it.live("timeout: the server stops the query too", () =>
      Effect.gen(function* () {
        const { sql } = yield* its
        const query = dialect === "postgres" ? "SELECT pg_sleep(60)" : "SELECT id FROM products WHERE sleep(60) = 0"
        const probe = probing(yield* live(filled), { query, timeout: "300 millis" })
        const verdict = yield* probe.check
        assert.deepStrictEqual(signatureOf(verdict), new IntegrityProbe.Timeout({ rule, after: Duration.millis(300) }))
        const sleeping =
          dialect === "postgres"
            ? "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            : "SELECT count(*) FROM information_schema.processlist WHERE state = 'User sleep'"
        yield* eventually(
          "nobody sleeps",
          Effect.map(sql(sleeping), (count) => (count === "0" ? true : undefined))
        )
      })
    )

    it.live("a table or column that is not there is MissingTable; a query that makes no sense says nothing", () =>
      Effect.gen(function* () {
        for (const query of ["SELECT * FROM nowhere", "SELECT nothing FROM products"]) {
          const found = signatureOf(yield* checking({ query }))
          assert.strictEqual(found._tag, "Integrity/MissingTable")
          assert.match(JSON.stringify(found), /nowhere|nothing/)
        }
        for (const query of ["SELECT FROM WHERE", "SELECT lenght(name) AS a FROM products"]) {
          const verdict = yield* checking({ query })
          assert.strictEqual(verdict._tag, "Inconclusive", query)
          assert.include(JSON.stringify(verdict), rule)
        }
      })
    )

    it.live("a missing privilege says nothing; no server is DatabaseUnavailable", () =>
      Effect.gen(function* () {
        const { port, sql } = yield* its
        const name = nameOf(yield* live(filled))
        yield* sql(
          dialect === "postgres"
            ? "CREATE ROLE blind LOGIN"
            : `CREATE USER blind@'%'; GRANT SELECT ON ${name}.orders TO blind@'%'`
        )
        const verdict = yield* probing(at(dialect, port, "blind", name)).check
        assert.strictEqual(verdict._tag, "Inconclusive")
        assert.match(JSON.stringify(verdict), /denied/)
        const found = signatureOf(yield* probing(yield* refusing(dialect)).check)
        assert.deepInclude(found, { _tag: "Integrity/DatabaseUnavailable", reason: "Unreachable" })
      })
    )

    if (dialect === "postgres") {
      it.live("rows that a policy hides from the user are not taken for none", () =>
        Effect.gen(function* () {
          const { fresh, port, sql } = yield* its
          const database = yield* fresh(`${filled}
            CREATE ROLE tenant LOGIN; GRANT SELECT ON products TO tenant; ALTER TABLE products ENABLE ROW LEVEL SECURITY;
            CREATE POLICY own ON products USING (name = current_user);`)
          assert.deepInclude(signatureOf(yield* probing(database).check), { rows: 3 })
          const asTenant = yield* probing(at(dialect, port, "tenant", nameOf(database))).check
          assert.strictEqual(asTenant._tag, "Inconclusive")
          assert.include(JSON.stringify(asTenant), "row-level security")
          assert.isNotEmpty(yield* sql("SELECT 1"))
        })
      )
    }

    it.live("an interruption leaves no connection", () =>
      Effect.gen(function* () {
        const { sql } = yield* its
        const query = dialect === "postgres" ? "SELECT pg_sleep(1)" : "SELECT sleep(1) AS a"
        const fiber = yield* Effect.forkChild(probing(yield* live(filled), { query }).check)
        yield* eventually(
          "it is connected",
          Effect.map(sql(connected), (count) => (count === "0" ? undefined : true))
        )
        yield* Fiber.interrupt(fiber)
        yield* eventually(
          "nobody is connected",
          Effect.map(sql(connected), (count) => (count === "0" ? true : undefined))
        )
      })
    )

    probeContract<IntegrityProbe.Found>(`IntegrityProbe, ${dialect}`, {
      situations: {
        Healthy: Effect.map(live(shop), (database) => probing(database)),
        Inconclusive: Effect.map(live(shop), (database) => probing({ ...database, connect: tooManyFiles })),
        "Integrity/Violated": Effect.map(live(filled), (database) => probing(database, { show: ["id"] })),
        "Integrity/MissingTable": Effect.map(live(""), (database) => probing(database)),
        "Integrity/Timeout": Effect.map(
          tcpServer(() => {}),
          ({ port }) => probing(at(dialect, port), { timeout: "50 millis" })
        ),
        "Integrity/DatabaseUnavailable": Effect.map(refusing(dialect), (database) => probing(database))
      },
      waiting: Effect.map(
        tcpServer(() => {}),
        ({ port }) => probing(at(dialect, port))
      )
    })
  })
}

/** Asks a database that gives this answer to the count, and remembers what it was asked. */
const counting = (answer: ReadonlyArray<Database.Row> | Database.DatabaseError["reason"], version = "") => {
  const asked: Array<string> = []
  const answers = [
    [/count\(\*\)/, answer],
    [/version\(\)/, [{ version }]]
  ] as const
  return { asked, of: (one: Database.Database) => probing(answering(one, answers, asked)).check }
}

describe("IntegrityProbe", () => {
  const database = PostgresDatabase.make({ url: "postgres://user:secret@127.0.0.1:1/shop" })
  const mysql = at("mysql", 1)

  it("says what it examines, and asks the same of the same database", () => {
    const probe = probing(database)
    expectTypeOf(IntegrityProbe.make({ name: "integrity", database, rule, query: pictureless })).toEqualTypeOf<
      Probe.Probe<IntegrityProbe.Found>
    >()
    assert.deepInclude(probe, { target: "postgres://127.0.0.1:1/shop", reach: "host", cost: 5, effects: "none" })
    assert.deepStrictEqual(Probe.question(probe), Probe.question(probing(database, { maxRows: 0, timeout: 10_000 })))
    const others: ReadonlyArray<Options> = [
      { rule: "another" },
      { query: "SELECT 1 AS a" },
      { minRows: 1 },
      { maxRows: 1 },
      { show: ["id"] },
      { timeout: "9 seconds" }
    ]
    for (const other of others) {
      const asked = Probe.question(probing(database, other))
      assert.notDeepEqual(asked, Probe.question(probe), JSON.stringify(other))
    }
    assert.notDeepEqual(Probe.question(probing(database.withDatabase("shed"))), Probe.question(probe))
    assert.notInclude(JSON.stringify([probe, Probe.question(probe)]), "secret")
  })

  it.effect("Postgres: one moment is seen, nothing can be written, and nothing is hidden by a policy", () =>
    Effect.gen(function* () {
      const { asked, of } = counting([{ counted: 0 }])
      assert.deepStrictEqual(yield* of(database), Verdict.healthy)
      assert.deepStrictEqual(asked.slice(0, 3), [
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        "SET LOCAL row_security = off",
        "SET LOCAL statement_timeout = 10000"
      ])
    })
  )

  it.effect("MySQL and MariaDB: each has a limit of time of its own, in a unit of its own", () =>
    Effect.gen(function* () {
      for (const [version, limit] of [
        ["8.0.36", "SET SESSION max_execution_time = 10000"],
        ["10.11.6-MariaDB", "SET SESSION max_statement_time = 10"]
      ] as const) {
        const { asked, of } = counting([{ counted: "0" }], version)
        assert.deepStrictEqual(yield* of(mysql), Verdict.healthy)
        assert.deepStrictEqual(asked.slice(1, 3), [limit, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"])
      }
    })
  )

  it.effect("who stops a query because of its time is Timeout, in the words of each server", () =>
    Effect.gen(function* () {
      for (const code of ["57014", "ER_STATEMENT_TIMEOUT", "ER_QUERY_TIMEOUT"]) {
        const verdict = yield* counting(new QueryFailed({ code, message: "stopped" })).of(database)
        assert.deepInclude(signatureOf(verdict), { _tag: "Integrity/Timeout" })
      }
    })
  )

  it.effect("an answer that is no number says nothing", () =>
    Effect.gen(function* () {
      for (const answer of [[], [{}], [{ counted: null }], [{ counted: "many" }], [{ counted: 1.5 }]]) {
        const verdict = yield* counting(answer).of(database)
        assert.deepStrictEqual(verdict, Verdict.inconclusive(`${rule}: the answer is no number of rows`))
      }
    })
  )

  it("a locking clause in a text is none", () => {
    assert.strictEqual(probing(mysql, { query: "SELECT id FROM p WHERE name = 'for update'" }).cost, 5)
  })

  it("refuses options that cannot work, and names them", () => {
    const refused: ReadonlyArray<readonly [object, string]> = [
      [{ query: "" }, "query"],
      [{ query: "DELETE FROM products" }, "query"],
      [{ query: "SELECTED" }, "query"],
      [{ rule: "" }, "rule"],
      [{ minRows: -1 }, "minRows"],
      [{ maxRows: 1.5 }, "maxRows"],
      [{ maxRows: 100_001 }, "maxRows"],
      [{ minRows: 3, maxRows: 2 }, "maxRows"],
      [{ show: "id" }, "show"],
      [{ show: [""] }, "show"],
      [{ database: "postgres://127.0.0.1/shop" }, "database"],
      [{ database: { ...database, multipleStatements: true } }, "database"],
      [{ database: mysql, query: "SELECT id FROM products LOCK IN  SHARE MODE" }, "query"],
      [{ database: mysql, query: "SELECT id FROM products\nfor update" }, "query"],
      [{ database: mysql, query: "SELECT id FROM products FOR SHARE" }, "query"],
      [{ timeout: 0 }, "timeout"],
      [{ timeout: "25 days" }, "timeout"],
      [{ rows: 1 }, "rows"]
    ]
    for (const [options, option] of refused) {
      assert.strictEqual(refusal(() => probing(database, options)).option, option)
    }
  })
})
