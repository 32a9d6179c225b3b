import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

import * as Redaction from "../src/Redaction.ts"

const { mask } = Redaction
const plain = Redaction.make()

/** What encoders that are met in the wild make of a text. */
const encodings: Readonly<Record<string, (text: string) => string>> = {
  plain: (text) => text,
  "URI component": (text) => encodeURIComponent(text),
  "URI component, in lower case": (text) => encodeURIComponent(text).replace(/%../g, (code) => code.toLowerCase()),
  "URI component, twice": (text) => encodeURIComponent(encodeURIComponent(text)),
  form: (text) => new URLSearchParams([["", text]]).toString().slice(1),
  "password of a URL": (text) => {
    const url = new URL("http://host/")
    url.password = text
    return url.password
  },
  "query of a URL": (text) => {
    const url = new URL("http://host/")
    url.search = text.replaceAll("#", "%23")
    return url.search.slice(1)
  },
  JSON: (text) => JSON.stringify(text).slice(1, -1),
  "JSON in JSON": (text) => JSON.stringify(JSON.stringify(text)).slice(3, -3),
  "JSON in ASCII": (text) =>
    JSON.stringify(text)
      .slice(1, -1)
      .replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`),
  "JSON with escaped slashes": (text) => JSON.stringify(text).slice(1, -1).replaceAll("/", "\\/"),
  hexadecimal: (text) => Buffer.from(text, "utf8").toString("hex"),
  "base64, alone": (text) => Buffer.from(text, "utf8").toString("base64"),
  "base64url, alone": (text) => Buffer.from(text, "utf8").toString("base64url")
}

/** The part of the base64 of a text, `before` bytes into something longer, that depends on the text alone. */
const ownBase64 = (text: string, before: number): string => {
  const bytes = Buffer.from(text, "utf8")
  const whole = Buffer.concat([Buffer.alloc(before, "x"), bytes, Buffer.from("yyy")]).toString("base64")
  return whole.slice(Math.ceil((before * 4) / 3), Math.floor(((before + bytes.length) * 4) / 3))
}

/** Passwords: any code points, and what encoders treat in their own way more often than chance would have it. */
const special = `\\"'/%+& =?#@:;<>[]{}|^\`~!$()*,\n\t\r\u0000\u007f\u00e9\u20ac\u{1f980}`
const Password = Schema.Union([
  Schema.String.check(Schema.isMinLength(6), Schema.isMaxLength(24)),
  Schema.Array(Schema.Literals(Array.from(`${special}aZ5`))).check(Schema.isMinLength(6), Schema.isMaxLength(24))
])
const textOf = (password: typeof Password.Type): string => (typeof password === "string" ? password : password.join(""))

/** URLs cannot carry half a surrogate pair, nor can UTF-8, and no encoding shows where a run of them begins. */
const isUsable = (text: string): boolean => text.isWellFormed() && Buffer.byteLength(text) >= 4 && !mask.includes(text)

describe("text", () => {
  for (const [name, encode] of Object.entries(encodings)) {
    it.effect.prop(
      `hides a secret: ${name}`,
      [Password],
      ([password]) =>
        Effect.sync(() => {
          const secret = textOf(password)
          if (!isUsable(secret)) return
          // What a URL strips is not in it.
          if (name === "query of a URL" && /[\t\n\r]|^[\0- ?]|[\0- ]$/.test(secret)) return
          const form = encode(secret)
          const { text } = Redaction.make([secret])
          for (const around of [form, `<<${form}>>`, `{"note":"${form}"}`, `x ${form} y ${form}`]) {
            const output = text(around)
            assert.include(output, mask)
            assert.notInclude(output, secret)
            assert.notInclude(output, form)
          }
        }),
      { arbitrary: { runs: 200, size: 20 } }
    )
  }

  it.effect.prop(
    "hides a secret in the base64 of something longer, wherever it begins",
    [Password, Schema.Literals([0, 1, 2, 3, 4, 5, 30])],
    ([password, before]) =>
      Effect.sync(() => {
        const secret = textOf(password)
        if (!isUsable(secret)) return
        const { text } = Redaction.make([secret])
        for (const encoding of ["base64", "base64url"] as const) {
          const longer = Buffer.from(`${"x".repeat(before)}${secret}yyy`).toString(encoding)
          const own = ownBase64(secret, before)
          const form = encoding === "base64" ? own : own.replaceAll("+", "-").replaceAll("/", "_")
          assert.include(longer, form)
          assert.notInclude(text(`see ${longer}, please`), form)
        }
      }),
    { arbitrary: { runs: 300, size: 20 } }
  )

  it.effect.prop(
    "once hidden, stays as it is",
    [Password, Schema.String],
    ([password, around]) =>
      Effect.sync(() => {
        const { text } = Redaction.make([textOf(password)])
        const once = text(`${around}${textOf(password)}${around} token=${around}`)
        assert.strictEqual(text(once), once)
      }),
    { arbitrary: { runs: 200, size: 20 } }
  )

  it("stays as it is even when a secret is part of the mask", () => {
    for (const secret of ["redacted", "e", "<", mask]) {
      const { text } = Redaction.make([secret])
      assert.strictEqual(text(mask), mask)
      assert.strictEqual(text(text("a <b> redacted e")), text("a <b> redacted e"))
    }
  })

  it("hides short secrets too, and none for an empty one", () => {
    assert.strictEqual(Redaction.make(["x1"]).text("ax1b x1"), `a${mask}b ${mask}`)
    assert.strictEqual(Redaction.make([""]).text("nothing to hide"), "nothing to hide")
    // Four characters are enough to be known in base64.
    for (const before of [0, 1, 2]) {
      const longer = Buffer.from(`${"-".repeat(before)}s3cr-`).toString("base64")
      assert.include(Redaction.make(["s3cr"]).text(longer), mask)
    }
  })

  it("hides the longer of two secrets whole", () => {
    const { text } = Redaction.make(["abc", "abcdef", Redacted.make("xyz")])
    assert.strictEqual(text("abcdef abc wxyz"), `${mask} ${mask} w${mask}`)
  })

  it("takes secrets that expressions would mistake for their own language", () => {
    for (const secret of ["a.c+", "[x]*", "(?:y)", "^$|", "\\d{3}", "$1$&", "a|b"]) {
      const { text } = Redaction.make([secret])
      assert.strictEqual(text(`-${secret}-`), `-${mask}-`)
      assert.strictEqual(text("abc 123 xyz"), "abc 123 xyz")
    }
  })

  it("takes secrets that are not well-formed Unicode", () => {
    const secret = "pass\ud800word"
    const { text } = Redaction.make([secret])
    assert.strictEqual(text(secret), mask)
    assert.strictEqual(text(JSON.stringify(secret)), `"${mask}"`)
  })

  it("hides a key file line by line", () => {
    const line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"
    const key = `-----BEGIN PRIVATE KEY-----\n${line}\n${line.toLowerCase()}\n-----END PRIVATE KEY-----\n`
    assert.strictEqual(Redaction.make([key]).text(`read: ${line}`), `read: ${mask}`)
    assert.notInclude(plain.text(`found ${key}`), line)
    assert.notInclude(plain.text(JSON.stringify({ key })), line)
  })
})

/** For keys in the forms of providers. */
const glue = (...parts: ReadonlyArray<string>) => parts.join("")

describe("shapes", () => {
  // Fabricated; split, so that scanners of repositories do not take them for real.
  const hidden: ReadonlyArray<readonly [text: string, secret: string]> = [
    ["Authorization: Bearer abc.def-123", "abc.def-123"],
    ["authorization: bearer  letmein", "letmein"],
    ["Proxy says Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA"],
    [glue("key ", "sk-", "ant-api03-abcdef"), "api03"],
    [glue("key ", "sk_", "live_4eC39HqLyjWDarjtT1"), "4eC39"],
    [glue("gsk_", "abcdefgh12345678"), "abcdefgh"],
    [glue("gh", "p_abcdefghijklmnop1234"), "abcdefgh"],
    [glue("github_", "pat_11ABCDEFG0abcdefghijk"), "11ABC"],
    [glue("gl", "pat-abcdefghijklmnop1234"), "abcdefgh"],
    [glue("xox", "b-1234567890-abc"), "1234567890"],
    [glue("AKIA", "IOSFODNN7EXAMPLE"), "IOSFODNN7"],
    [glue("AIza", "SyA1234567890abcdefghijklmnopqrstuv"), "SyA123"],
    [glue("https://api.telegram.org/bot123456789:", "AAF-abcdefghijklmnopqrstuvwxyz0123/getMe"), "AAF-abc"],
    [glue("eyJhbGciOiJIUzI1NiJ9.", "eyJzdWIiOiIxMjM0In0.abc_def-ghi"), "eyJzdWIi"],
    ["postgres://app:hunter2@db:5432/app", "hunter2"],
    ["redis://:hunter2@cache", "hunter2"],
    ["amqp://app:p@ss@queue/", "p@ss"],
    ["GET /v1?access_token=abc123&page=2", "abc123"],
    ["OPENAI_API_KEY=abc123", "abc123"],
    ['password = "correct horse battery"', "horse"],
    ["password='correct horse battery'", "horse"],
    ['{"user":"bob","apiKey":"abc\\"123","page":2}', "123"],
    [JSON.stringify(JSON.stringify({ clientSecret: "abc123" })), "abc123"],
    ["{ token: 'abc123', page: 2 }", "abc123"],
    ["Set-Cookie: session=abc123; HttpOnly", "abc123"],
    ["x-api-key: abc123", "abc123"]
  ]
  for (const [text, secret] of hidden) {
    it(`hides what is secret in: ${text.replaceAll(secret, "…")}`, () => {
      const output = plain.text(text)
      assert.notInclude(output, secret)
      assert.include(output, mask)
      assert.strictEqual(plain.text(output), output)
    })
  }

  it("leaves what stands around them", () => {
    assert.strictEqual(plain.text("postgres://app:hunter2@db:5432/app"), `postgres://app:${mask}@db:5432/app`)
    assert.strictEqual(plain.text("GET /v1?access_token=abc&page=2"), `GET /v1?access_token=${mask}&page=2`)
    assert.strictEqual(plain.text('{"apiKey":"abc","page":2}'), `{"apiKey":"${mask}","page":2}`)
    assert.strictEqual(
      plain.text("curl -H 'Authorization: Bearer abcd' x"),
      `curl -H 'Authorization: Bearer ${mask}' x`
    )
  })

  it("leaves other text alone", () => {
    const other = [
      "",
      "the gateway did not answer within 3 s",
      "GET http://127.0.0.1:18789/health?page=2 200 in 3 ms",
      "https://registry.example:4873/@scope/package",
      "write to alice@example.org",
      "basic authentication failed, basically",
      "risk-management-system, task-abcdefgh-1",
      "npm_config_registry and pk_customers",
      "pid 123456: exited with code 1",
      "12:30:45.123 started",
      "eyJust a word.with dots.in it",
      "max_tokens=4096 and 12 tokens",
      "the password is wrong",
      "invalid token: expired",
      "secretary, bypass, compass",
      "-----BEGIN CERTIFICATE-----\nMIIB",
      "C:\\Users\\bob\\file.txt",
      "żółw 🦞 \u0000"
    ]
    for (const text of other) assert.strictEqual(plain.text(text), text)
  })
})

describe("value", () => {
  it.effect.prop(
    "hides a secret at any depth, as a key or a value",
    [Password],
    ([password]) =>
      Effect.sync(() => {
        const secret = textOf(password)
        if (!isUsable(secret)) return
        const error = new Error(`bad: ${secret}`, { cause: new Error(secret) })
        const value = {
          a: [secret, { b: `x${secret}` }],
          map: new Map<unknown, unknown>([
            [secret, 1],
            ["k", new Set([secret])]
          ]),
          [secret]: "key",
          error,
          all: new AggregateError([new Error(secret)], secret),
          url: new URL(`http://host/${encodeURIComponent(secret)}`),
          bytes: Buffer.from(secret),
          redacted: Redacted.make(secret)
        }
        const seen = (found: unknown): void => {
          if (typeof found === "string") assert.notInclude(found, secret)
          if (typeof found !== "object" || found === null) return
          for (const [key, item] of Object.entries(found)) {
            // Keys of our own may happen to be in a password's alphabet, but are shorter.
            seen(key)
            seen(item)
          }
        }
        seen(Redaction.make([secret]).value(value))
      }),
    { arbitrary: { runs: 200, size: 20 } }
  )

  it("keeps the shape of what is not secret", () => {
    const date = new Date(0)
    const value = { a: 1, b: [true, null, undefined, 2n], c: { d: "text" }, date, none: {}, list: [] }
    assert.deepStrictEqual(plain.value(value), value)
    for (const one of ["text", 1, true, null, undefined, 3n]) assert.strictEqual(plain.value(one), one)
  })

  it("does not change what it was given", () => {
    const value = { password: "hunter2", list: ["Bearer abcdef"] }
    plain.value(value)
    assert.deepStrictEqual(value, { password: "hunter2", list: ["Bearer abcdef"] })
  })

  it("masks the values of telling keys, whatever they are", () => {
    const keys = [
      "password",
      "dbPasswd",
      "DB_PASS",
      "passphrase",
      "token",
      "accessToken",
      "refresh_token",
      "clientSecret",
      "apiKey",
      "API_KEY",
      "x-api-key",
      "accessKeyId",
      "private-key",
      "Authorization",
      "set-cookie",
      "credentials",
      "access_tokens"
    ]
    for (const key of keys) {
      const masked = (value: unknown) => (plain.value({ [key]: value }) as Record<string, unknown>)[key]
      assert.strictEqual(masked("hunter2"), mask, key)
      assert.deepStrictEqual(masked(["a", "b"]), [mask, mask], key)
      assert.deepStrictEqual(
        masked({ user: "bob", inner: { value: "x" } }),
        { user: mask, inner: { value: mask } },
        key
      )
      assert.deepStrictEqual(masked([true, null, undefined, ""]), [true, null, undefined, ""], key)
    }
    const numbers = { password: 1234, pin: [1], secret: [12, 34n], token: { value: 7 } }
    assert.deepStrictEqual(plain.value(numbers), {
      password: mask,
      pin: [1],
      secret: [mask, mask],
      token: { value: mask }
    })
  })

  it("knows counts and other names from secrets", () => {
    const value = {
      maxTokens: 4096,
      usage: { total_tokens: 3, tokens: { input: 1, output: 2 } },
      hasPassword: true,
      tokenizer: "bpe",
      compass: "north",
      author: "bob",
      keys: ["a"]
    }
    assert.deepStrictEqual(plain.value(value), value)
  })

  it("masks telling keys of maps", () => {
    const headers = new Map<unknown, unknown>([
      ["authorization", "abc"],
      ["accept", "text/html"],
      [1, "one"]
    ])
    assert.deepStrictEqual(plain.value({ headers }), {
      headers: [
        ["authorization", mask],
        ["accept", "text/html"],
        [1, "one"]
      ]
    })
  })

  it("masks numbers that are secrets", () => {
    const { value } = Redaction.make(["123456"])
    assert.deepStrictEqual(value({ code: 123456, also: 123456n, other: 12345 }), {
      code: mask,
      also: mask,
      other: 12345
    })
  })

  it("shows errors with their causes, and no stack", () => {
    const cause = new TypeError("connect http://u:hunter2@host/")
    const shown = plain.value(Object.assign(new Error("failed", { cause }), { code: "E1", token: "abc" }))
    assert.deepStrictEqual(shown, {
      name: "Error",
      message: "failed",
      code: "E1",
      token: mask,
      cause: { name: "TypeError", message: `connect http://u:${mask}@host/` }
    })
  })

  it("ends where a value holds itself, and where it is too deep", () => {
    const loop: Record<string, unknown> = { name: "loop" }
    loop["self"] = [loop]
    assert.deepStrictEqual(plain.value(loop), { name: "loop", self: ["<circular>"] })
    const shared = { a: 1 }
    assert.deepStrictEqual(plain.value([shared, shared]), [shared, shared])
    let deep: unknown = "Bearer abcdef"
    for (let depth = 0; depth < 100_000; depth += 1) deep = [deep]
    assert.include(JSON.stringify(plain.value(deep)), "<too deep>")
  })

  it("takes no harm from keys that objects have by nature", () => {
    const value: unknown = JSON.parse('{"__proto__":{"polluted":true},"constructor":"x","toString":"y"}')
    const copy = plain.value(value)
    assert.strictEqual(JSON.stringify(copy), JSON.stringify(value))
    assert.isFalse("polluted" in {})
  })
})

describe("a hostile text of 200 KB", () => {
  const size = 200_000
  const fill = (unit: string) => unit.repeat(Math.ceil(size / unit.length))
  const units = [
    "a",
    "a.",
    "a:",
    "a-b+",
    "ab://",
    "a://b:",
    "a://b:c",
    "eyJ",
    "eyJa-",
    "eyJaaaa.",
    "eyJ-eyJaaaa.b",
    "Bearer ",
    "Basic aaaaaaaa",
    "sk-",
    "gh",
    "1",
    "1:",
    "123456:",
    "token",
    "token=",
    'token="',
    'token:"',
    'token":"\\',
    'token\\":\\"',
    "secret ",
    "cookie:",
    "-----BEGIN ",
    "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN A A A PRIVATE ",
    "\\",
    '\\"',
    "%25",
    " ",
    "\n",
    "aaaaaaa\\"
  ]
  // Secrets whose beginning goes on and on in the texts above.
  const { text } = Redaction.make([
    "a".repeat(40) + "b",
    `${'\\"'.repeat(12)}x`,
    `${"\\".repeat(20)}x`,
    "%25%25%25x",
    "1".repeat(20) + "x"
  ])
  for (const unit of units) {
    it(`of ${JSON.stringify(unit)} is done soon`, () => {
      const hostile = fill(unit)
      const before = performance.now()
      text(hostile)
      text(`password="${hostile}`)
      text(`${hostile}@`)
      // Linear ones take milliseconds; a quadratic one takes minutes.
      assert.isBelow(performance.now() - before, 5000)
    })
  }
})

describe("the redactor in use", () => {
  it.effect("hides shapes and telling keys unless another is provided", () =>
    Effect.gen(function* () {
      const redactor = yield* Redaction.Redactor
      assert.deepStrictEqual(redactor.value({ token: "x", note: "hunter2" }), { token: mask, note: "hunter2" })
      const other = yield* Effect.provideService(Redaction.Redactor, Redaction.Redactor, Redaction.make(["hunter2"]))
      assert.strictEqual(other.text("hunter2"), mask)
    })
  )
})
