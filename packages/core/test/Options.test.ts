import { inspect } from "node:util"
import * as Vm from "node:vm"

import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"

import * as Options from "../src/Options.ts"
import { refusal } from "./support.ts"

const checks = Options.checks("Test")

interface Case {
  readonly check: (value: never) => unknown
  readonly good: ReadonlyArray<unknown>
  readonly bad: ReadonlyArray<unknown>
  readonly expected: string
}

const cases: Readonly<Record<string, Case>> = {
  nonEmptyString: {
    check: (value) => checks.nonEmptyString("o", value),
    good: ["a", " "],
    bad: ["", 1, null, undefined, ["a"]],
    expected: "a non-empty string"
  },
  "integer of at least": {
    check: (value) => checks.integer("o", value, 2),
    good: [2, 3, Number.MAX_SAFE_INTEGER],
    bad: [1, 2.5, "2", Number.NaN, Number.POSITIVE_INFINITY, null, 2n],
    expected: "an integer of at least 2"
  },
  "integer from to": {
    check: (value) => checks.integer("o", value, 2, 4),
    good: [2, 3, 4],
    bad: [1, 5, undefined],
    expected: "an integer from 2 to 4"
  },
  port: {
    check: (value) => checks.port("o", value),
    good: [1, 80, 65535],
    bad: [0, 65536, "80", -1, 80.5],
    expected: "an integer from 1 to 65535"
  },
  oneOf: {
    check: (value) => checks.oneOf("o", value, ["a", "b"]),
    good: ["a", "b"],
    bad: ["c", "", "A", undefined, 1],
    expected: "one of a, b"
  }
}

const millis = (value: Duration.Input, min?: Duration.Input) => Duration.toMillis(checks.duration("o", value, min))

describe("checks", () => {
  it("bytes returns whole bytes, and refuses what is no size or too small", () => {
    assert.strictEqual(checks.bytes("o", 5), 5)
    assert.strictEqual(checks.bytes("o", "1 MB", "1 MB"), 1_048_576)
    for (const value of ["1 MB", 1_048_575, "", "MB", null, undefined, 1.5]) {
      const error = refusal(() => checks.bytes("o", value, value === "1 MB" ? "2 MB" : "1 MB"))
      assert.strictEqual(error.option, "o")
      assert.strictEqual(error.value, value)
      assert.match(error.expected, /^a size of at least [12] MB, in bytes or as "512 MB"$/)
    }
  })
  for (const [name, { bad, check, expected, good }] of Object.entries(cases)) {
    it(`${name} returns what is good`, () => {
      for (const value of good) assert.strictEqual(check(value as never), value)
    })
    it(`${name} refuses what is not, with all there is to know`, () => {
      for (const value of bad) {
        const error = refusal(() => check(value as never))
        assert.deepStrictEqual(
          { module: error.module, option: error.option, value: error.value, expected: error.expected },
          { module: "Test", option: "o", value, expected }
        )
        assert.include(error.message, `Test: option "o" is `)
        assert.include(error.message, expected)
      }
    })
  }

  it("duration takes every form of a finite one", () => {
    assert.strictEqual(millis("2 seconds"), 2000)
    assert.strictEqual(millis(150), 150)
    assert.strictEqual(millis(0), 0)
    assert.strictEqual(millis({ minutes: 1, seconds: 0 }), 60_000)
    assert.strictEqual(millis([1, 5_000_000]), 1005)
    assert.strictEqual(millis(5_000_000n), 5)
    assert.strictEqual(millis(Duration.minutes(1), "1 minute"), 60_000)
  })

  it("duration refuses the infinite, the negative, the too short and what is none", () => {
    for (const value of ["Infinity", Duration.infinity, "-1 seconds", -5, "2 fortnights", "", null, true]) {
      assert.strictEqual(refusal(() => checks.duration("o", value as never)).option, "o", String(value))
    }
    for (const value of [Number.NaN, {}, { sconds: 1 }, { seconds: Number.NaN }, { seconds: 1, minuts: 1 }, [1, NaN]]) {
      assert.strictEqual(refusal(() => checks.duration("o", value as never)).option, "o", JSON.stringify(value))
    }
    const error = refusal(() => checks.duration("timeout", "5 millis", "1 second"))
    assert.strictEqual(error.expected, "a finite duration of at least 1s")
    assert.strictEqual(error.message, 'Test: option "timeout" is "5 millis", expected a finite duration of at least 1s')
  })

  it("httpUrl parses http and https, and nothing else", () => {
    assert.strictEqual(checks.httpUrl("o", "http://127.0.0.1:1/x").port, "1")
    assert.strictEqual(checks.httpUrl("o", "https://example.org").protocol, "https:")
    for (const value of ["example.org", "ftp://example.org", "file:///etc", "", 1, null, new URL("http://a/")]) {
      assert.strictEqual(
        refusal(() => checks.httpUrl("o", value)).expected,
        "a URL that begins with http:// or https://"
      )
    }
  })

  it("url shows no credentials, also of what cannot be parsed", () => {
    for (const value of [
      "https://me:hunter2@host/",
      "https://me:hunter2#@host",
      "https://hunter2@host",
      "ws://:hunter2@h"
    ]) {
      const error = refusal(() => checks.httpUrl("o", value))
      assert.notInclude(inspect(error, { depth: 9 }), "hunter2")
      assert.include(error.expected, "without credentials")
    }
    assert.strictEqual(checks.url("o", "wss://example.org/x", ["ws:", "wss:"]).pathname, "/x")
    assert.strictEqual(refusal(() => checks.url("o", "http://a/", ["ws:"])).expected, "a URL that begins with ws://")
  })

  it("url takes only what means what it says", () => {
    for (const value of [
      "http://3.example/",
      "HTTP://a",
      "http://127.0.0.1",
      "http://[::1]:80/",
      "https://a:443/?b=c"
    ]) {
      assert.instanceOf(checks.httpUrl("o", value), URL)
    }
    const bad = [
      "http:3000",
      "http:/a",
      "http:\\\\a",
      "http://3000/",
      "http://127.1/",
      "http://0x7f.0.0.1/",
      "http://256.1.1.1/",
      "http://127.0.0.1:0/",
      " http://h/",
      "http://h/\n",
      "http://h/a\tb",
      "\u00a0http://h/"
    ]
    for (const value of bad) assert.strictEqual(refusal(() => checks.httpUrl("o", value)).value, value, value)
    for (const value of ["redis:a", "redis://1.2.3", "redis://256.1.1.1:6379", "redis://a:0"]) {
      assert.strictEqual(refusal(() => checks.url("o", value, ["redis:"])).value, value)
    }
    for (const value of ["redis://a:6379/0", "redis://10.0.0.1:6379", "redis:///0"]) {
      assert.instanceOf(checks.url("o", value, ["redis:"]), URL)
    }
  })

  it("url shows no secret of what it refuses", () => {
    const key = "123456789:AAFaBcDeFgHiJkLmNoPqRsTuVwXyZ012345"
    const bad = [
      "ws://h/?token=s3cr3t",
      "http://h:99999/?token=s3cr3t",
      "http://h:0/#s3cr3t",
      `ftp://h/bot${key}/getMe`
    ]
    for (const value of bad) {
      const error = refusal(() => checks.httpUrl("o", value))
      for (const hidden of ["s3cr3t", key]) assert.notInclude(inspect(error, { depth: 9 }), hidden)
      assert.match(String(error.value), /^\w+:\/\/h/)
    }
  })

  it("host takes names and addresses, and nothing more", () => {
    for (const value of ["localhost", "db_1", "api.example.org.", "127.0.0.1", "::1", "fe80::1%eth0", "a".repeat(63)]) {
      assert.strictEqual(checks.host("o", value), value)
    }
    const bad = [
      "",
      " ",
      "a b",
      "http://a",
      "a:80",
      "[::1]",
      "a/b",
      "-a",
      "a-",
      "a..b",
      ".",
      "é.org",
      "a".repeat(64),
      "256.1.1.1",
      "1.2.3",
      "127.1.",
      "3000",
      7,
      null
    ]
    for (const value of bad) {
      const error = refusal(() => checks.host("o", value))
      assert.deepStrictEqual([error.option, error.value], ["o", value])
    }
  })

  it("pattern takes a regular expression, or the text of one", () => {
    assert.strictEqual(checks.pattern("o", /a/i).source, "a")
    assert.strictEqual(checks.pattern("o", "^a+$").source, "^a+$")
    assert.include(refusal(() => checks.pattern("o", "(")).message, "Unterminated group")
    for (const value of [7, null, {}, ["a"], "", new RegExp("")]) {
      assert.strictEqual(refusal(() => checks.pattern("o", value)).value, value)
    }
  })

  it("boolean takes no truthy value for true", () => {
    assert.isTrue(checks.boolean("o", true))
    for (const value of [1, 0, "true", null]) assert.strictEqual(refusal(() => checks.boolean("o", value)).value, value)
  })

  const notPlain = [null, undefined, 0, 5, "abc", true, [], [1], () => 1, new Map(), new Date(0), Duration.seconds(1)]
  for (const value of notPlain) {
    it(`known refuses ${inspect(value)} in place of options`, () => {
      const error = refusal(() => checks.known(value, ["fall"]))
      assert.deepStrictEqual([error.option, error.expected], ["options", "an object"])
      if (typeof value !== "string") assert.strictEqual(error.value, value)
      assert.strictEqual(refusal(() => checks.known(value, ["fall"], "rate.")).option, "rate")
    })
  }

  it("known takes objects without a prototype and of another realm", () => {
    checks.known(Object.assign(Object.create(null), { fall: 1 }), ["fall"])
    checks.known(Vm.runInNewContext("({ fall: 1 })"), ["fall"])
  })

  it("known shows no text that may be a secret under a misspelt name", () => {
    for (const value of [{ pasword: "hunter2" }, "redis://:hunter2@host"]) {
      const error = refusal(() => checks.known(value, ["password"]))
      assert.notInclude(error.message, "hunter2")
      assert.notInclude(inspect(error, { depth: 9 }), "hunter2")
    }
  })

  it("known refuses a misspelt option, with its path", () => {
    checks.known({ fall: 1 }, ["fall", "rise"])
    checks.known({}, [])
    const error = refusal(() => checks.known({ fall: 1, raise: 2 }, ["fall", "rise"], "policy."))
    assert.deepStrictEqual([error.option, error.value], ["policy.raise", 2])
    assert.strictEqual(error.expected, "no such option; known are fall, rise")
  })
})

const shown = (value: unknown) => new Options.OptionError("M", "o", value, "better").message

describe("OptionError", () => {
  it("is an error with a tag, and shows values briefly", () => {
    const error = new Options.OptionError("M", "o", 1, "better")
    assert.instanceOf(error, Error)
    assert.deepStrictEqual([error._tag, error.name], ["OptionError", "OptionError"])
    assert.strictEqual(shown("a\nb"), 'M: option "o" is "a\\nb", expected better')
    assert.strictEqual(shown(undefined), 'M: option "o" is undefined, expected better')
    assert.strictEqual(shown({ password: "hunter2" }), 'M: option "o" is an object, expected better')
    assert.strictEqual(shown([1, 2]), 'M: option "o" is an array, expected better')
    assert.strictEqual(shown(Duration.seconds(90)), 'M: option "o" is 1m 30s, expected better')
    assert.strictEqual(shown(Symbol("x")), 'M: option "o" is Symbol(x), expected better')
  })
})
