import { assert, describe, it } from "@effect/vitest"
import * as Options from "@nexobot/core/Options"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

import * as DatabaseUrl from "../src/internal/databaseUrl.ts"

const checks = Options.checks("Test")

const expected: DatabaseUrl.Expected = {
  protocols: ["db:", "database:"],
  defaultPort: 1234,
  pathParameter: "socket",
  parameters: ["mode"]
}

/** Without half a pair of surrogates, which a URL cannot hold, and NUL, which no protocol can. */
const writable = (text: string): string => text.toWellFormed().replaceAll("\0", "") || "x"

const reachOf = (host: string) => DatabaseUrl.parse(checks, `db://me@${host}`, expected).reach

describe("the URL of a database", () => {
  it.prop(
    "gives back what was written into it, whatever the characters",
    [Schema.String, Schema.String, Schema.String],
    (texts) => {
      const [user = "", password = "", name = ""] = texts.map(writable)
      const [u, p, d] = [user, password, name].map(encodeURIComponent)
      const parsed = DatabaseUrl.parse(checks, `db://${u}:${p}@db.example:99/${d}?mode=x`, expected)
      assert.strictEqual(parsed.user, user)
      assert.strictEqual(parsed.password === undefined ? undefined : Redacted.value(parsed.password), password)
      // `.` and `..` are steps in the path of any URL.
      if (!/^\.\.?$/.test(name)) assert.strictEqual(parsed.database, name)
      assert.deepStrictEqual([parsed.host, parsed.port, parsed.reach], ["db.example", 99, "network"])
      assert.strictEqual(parsed.targetOf("shop"), "db://db.example:99/shop")
      assert.strictEqual(parsed.parameters.get("mode"), "x")
    }
  )

  it.prop("is parsed or refused, and a refusal shows no password", [Schema.String], ([tail]) => {
    const secret = "s3cret-p4ssword"
    for (const url of [
      `db://user:${secret}${tail}@host/x`,
      `db://user:${secret}@host${tail}`,
      `${tail}:${secret}@host`
    ]) {
      try {
        DatabaseUrl.parse(checks, url, expected)
      } catch (error) {
        assert.instanceOf(error, Options.OptionError)
        assert.notInclude(String(error) + JSON.stringify(error), secret)
      }
    }
  })

  it("shows no piece of a password, whatever it has in its middle that should be escaped", () => {
    const signs = [
      "@",
      "/",
      ":",
      "?",
      "#",
      "!",
      "[",
      "]",
      "\\",
      "&",
      "=",
      " ",
      "\t",
      "\n",
      "|",
      "^",
      "<",
      "?mode=",
      "?socket=/"
    ]
    for (const first of signs) {
      for (const second of signs) {
        const password = `s3cret${first}p4ssword${second}w0rd`
        try {
          const parsed = DatabaseUrl.parse(checks, `db://user:${password}@db.example:99/shop`, expected)
          assert.strictEqual(parsed.targetOf(parsed.database), "db://db.example:99/shop")
          assert.strictEqual(parsed.password === undefined ? undefined : Redacted.value(parsed.password), password)
        } catch (error) {
          assert.instanceOf(error, Options.OptionError, password)
          assert.notMatch(String(error) + JSON.stringify(error), /s3cret|p4ssword|w0rd/, password)
        }
      }
    }
  })

  it("of a unix socket stays on this machine and names its path", () => {
    const { host, path, reach, targetOf } = DatabaseUrl.parse(checks, "db://me@localhost/x?socket=/run/db", expected)
    assert.deepStrictEqual([host, path, reach, targetOf("x")], ["localhost", "/run/db", "host", "db:///run/db/x"])
  })

  it("of this machine's addresses reaches no further", () => {
    for (const host of ["127.0.0.1", "127.9.9.9", "[::1]", "localhost"]) assert.strictEqual(reachOf(host), "host", host)
    for (const host of ["10.0.0.1", "[::2]", "localhost.example"]) assert.strictEqual(reachOf(host), "network", host)
  })
})
