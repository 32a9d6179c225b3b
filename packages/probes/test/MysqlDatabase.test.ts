import type * as Net from "node:net"

import { assert, describe, it, vi } from "@effect/vitest"
import { refusal } from "@nexobot/testing/Expect"
import * as TestMariaDb from "@nexobot/testing/TestMariaDb"
import * as Effect from "effect/Effect"

import * as Database from "../src/Database.ts"
import * as MysqlDatabase from "../src/MysqlDatabase.ts"
import { ask, databaseContract } from "./DatabaseContract.ts"
import { tcpServer } from "./support.ts"

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

/** Version, connection, salt, abilities, and how to log in. */
const greeting = Buffer.from(
  `\n5.7.44\0\x01\0\0\0abcdefgh\0\0\x82\x21\x02\0\x08\0\x15${"\0".repeat(10)}ijklmnopqrst\0mysql_native_password\0`,
  "latin1"
)

/** Greets like a server, and then says a thousand packets that have no place in the conversation. */
const confused = (socket: Net.Socket) => {
  socket.write(Buffer.concat([Buffer.from([greeting.length, 0, 0, 0]), greeting]))
  const misplaced = Buffer.from([1, 0, 0, 77, 0])
  socket.once("data", () => socket.write(Buffer.concat(Array.from({ length: 1000 }, () => misplaced))))
}

describe("MysqlDatabase", () => {
  it.live("who loses the order of packets is no MySQL; the driver complains of it once", () =>
    Effect.gen(function* () {
      const complaints = vi.spyOn(console, "error").mockImplementation(() => undefined)
      yield* Effect.addFinalizer(() => Effect.sync(() => complaints.mockRestore()))
      const { abandoned, port } = yield* tcpServer(confused)
      const { reason } = yield* Effect.flip(
        ask(MysqlDatabase.make({ url: `mysql://user@127.0.0.1:${port}` }), "SELECT 1")
      )
      assert.deepStrictEqual(reason, new Database.Unreachable({ code: "it does not speak like MySQL" }))
      yield* abandoned
      assert.strictEqual(complaints.mock.calls.length, 1)
    })
  )

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
