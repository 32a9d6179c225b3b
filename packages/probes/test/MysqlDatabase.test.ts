import { assert, describe, it } from "@effect/vitest"
import { refusal } from "@nexobot/testing/Expect"
import * as TestMariaDb from "@nexobot/testing/TestMariaDb"

import * as MysqlDatabase from "../src/MysqlDatabase.ts"
import { databaseContract } from "./DatabaseContract.ts"

describe.skipIf(TestMariaDb.isMissing())("MariaDB", () => {
  databaseContract<TestMariaDb.TestMariaDb>({
    module: "MysqlDatabase",
    server: TestMariaDb.makeWith,
    make: MysqlDatabase.make,
    scheme: "mysql",
    slow: "SELECT SLEEP(60)",
    huge: "SELECT REPEAT('x', 1000000) FROM seq_1_to_100",
    echo: "SELECT ? AS a, CAST(? AS SIGNED) AS b",
    values:
      "SELECT 9007199254740993 AS big, 1.50 AS `decimal`, TIMESTAMP '2026-01-02 03:04:05' AS moment, NULL AS nothing",
    moment: /^2026-01-02 03:04:05$/,
    encrypted: `SELECT CAST(variable_value <> '' AS SIGNED) AS encrypted FROM information_schema.session_status
      WHERE variable_name = 'Ssl_cipher'`,
    connected: "SELECT count(*) FROM information_schema.processlist WHERE command <> 'Daemon'",
    unknownTable: "ER_NO_SUCH_TABLE",
    unix: ({ socket }, password) => `mysql://nexo:${password}@localhost/nexo?socketPath=${socket}`
  })
})

describe("MysqlDatabase", () => {
  it("refuses what it does not know", () => {
    const url = "mysql://user:secret@127.0.0.1/shop"
    const refused: ReadonlyArray<readonly [object, string]> = [
      [{ url: `${url}?socketPath=relative` }, "url"],
      [{ url: `${url}?socketPath=/run/mysqld/mysqld.sock` }, "url"],
      [{ url: `${url}?ssl=true` }, "url"],
      [{ url, tls: { verfy: false } }, "tls.verfy"],
      [{ url, tls: true }, "tls"],
      [{ url, tls: { ca: "PEM" } }, "tls"],
      [{ url: "mysql://user:secret@[::1]/shop", tls: true }, "tls"],
      [{ url, multipleStatements: 1 }, "multipleStatements"]
    ]
    for (const [options, option] of refused) {
      const error = refusal(() => MysqlDatabase.make({ url, ...options }))
      assert.strictEqual(error.option, option)
      assert.notInclude(error.message, "secret")
    }
    assert.strictEqual(
      MysqlDatabase.make({ url: url.replace("mysql", "mariadb") }).target,
      "mysql://127.0.0.1:3306/shop"
    )
  })
})
