import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import * as Redaction from "../src/Redaction.ts"
import * as Reference from "./redactionReference.ts"

const { mask } = Redaction
const plain = Redaction.make()

const special = `\\"'/%+& =?#@:;<>[]{}|^\`~!$()*,\n\t\r\u0000\u00e9\u20ac\u{1f980}`
/** Passwords of any length, of any characters, and of those that encoders treat in their own way. */
const Password = Schema.Union([
  Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(24)),
  Schema.Array(Schema.Literals(Array.from(`${special}aZ5`))).check(Schema.isMinLength(1), Schema.isMaxLength(24))
])
const textOf = (password: typeof Password.Type): string => (typeof password === "string" ? password : password.join(""))

/** What shapes are made of, and what stands between. */
const bits = [
  ...Array.from("abAZ059 -_.:=/@\"'\\\n,;&<>%+"),
  "token",
  "Secret",
  "password",
  "api_key",
  "cookie",
  "x-api-key",
  "authorization",
  "Basic ",
  "sk-",
  "sk_live_",
  "gsk_",
  "hf_",
  "ghp_",
  "xoxb-",
  "AKIA",
  "AIza",
  "eyJ",
  "://",
  "http://u:",
  "-----BEGIN PRIVATE KEY-----",
  "-----END",
  "123456:",
  "12345678",
  "abcdefghijklmnop",
  "ABCDEFGHIJKLMNOP",
  "AbC0-eFg_hIjKlMnOpQrStUvWxYz01234",
  ": ",
  " = ",
  '": "',
  '\\":\\"',
  mask
] as const
const Bits = Schema.Array(Schema.Literals(bits)).check(Schema.isMaxLength(24))

/** What is left in the open, in order, is a part of what the other one leaves. */
const leavesNoMore = (output: string, reference: string): boolean => {
  let at = 0
  return output.split(mask).every((piece) => {
    const found = reference.indexOf(piece, at)
    at = found + piece.length
    return found >= 0
  })
}

const encodings = ["plain", "url", "json", "json in json", "base64", "hex"] as const

const encoded = (secret: string, encoding: (typeof encodings)[number]): string => {
  switch (encoding) {
    case "plain":
      return secret
    case "url":
      return encodeURIComponent(secret)
    case "json":
      return JSON.stringify(secret)
    case "json in json":
      return JSON.stringify(JSON.stringify(secret))
    case "base64":
    case "hex":
      return Buffer.from(`x${secret}y`).toString(encoding)
  }
}

describe("against a redactor that is easy to judge", () => {
  it.effect.prop(
    "shapes are hidden alike",
    [Bits],
    ([words]) =>
      Effect.sync(() => {
        const text = words.join("")
        assert.strictEqual(plain.text(text), Reference.make([])(text))
      }),
    { arbitrary: { runs: 3000, size: 30 } }
  )

  it.effect.prop(
    "no less of secrets is hidden, among shapes and each other, in any encoding",
    [Password, Password, Bits, Bits, Schema.Literals(encodings)],
    ([one, other, before, after, encoding]) =>
      Effect.sync(() => {
        const secrets = [textOf(one), textOf(other)].filter((secret) => secret.isWellFormed())
        const text = `${before.join("")}${secrets.map((secret) => encoded(secret, encoding)).join(after.join(""))}${after.join("")}`
        const output = Redaction.make(secrets).text(text)
        const reference = Reference.make(secrets)(text)
        assert.isTrue(leavesNoMore(output, reference), JSON.stringify({ secrets, text, output, reference }))
      }),
    { arbitrary: { runs: 3000, size: 30 } }
  )

  it.effect.prop(
    "many secrets are hidden as one is",
    [Schema.Array(Schema.String.check(Schema.isMinLength(5), Schema.isMaxLength(30))).check(Schema.isMaxLength(30))],
    ([secrets]) =>
      Effect.sync(() => {
        const { text } = Redaction.make(secrets)
        for (const secret of secrets) {
          if (mask.includes(secret)) continue
          assert.notInclude(text(`a ${secret} b`).replaceAll(mask, ""), secret)
        }
      }),
    { arbitrary: { runs: 200, size: 30 } }
  )
})

describe("overlapping secrets", () => {
  it("are hidden whole", () => {
    const { text } = Redaction.make(["abcd", "cdef", "aa"])
    assert.strictEqual(text("xabcdefx"), `x${mask}x`)
    assert.strictEqual(text("xaaax"), `x${mask}x`)
  })
})

describe("bearer tokens", () => {
  const sentences = [
    "send it as Bearer token in the header",
    "the bearer token is wrong",
    "a bearer token or a session is required",
    "Bearer authentication.",
    'www-authenticate: Bearer realm="nexobot"',
    "Bearer token",
    "the bearer rejected it"
  ]
  for (const sentence of sentences) {
    it(`are not seen in: ${sentence}`, () => assert.strictEqual(plain.text(sentence), sentence))
  }

  const hidden: ReadonlyArray<readonly [text: string, secret: string]> = [
    ["sent Bearer abc123", "abc123"],
    ["sent bearer abcdefghijklmnop", "abcdefgh"],
    ["sent Bearer abc.def", "abc.def"],
    ["authorization=Bearer letmein", "letmein"],
    ["Proxy-Authorization: bearer letmein, then", "letmein"],
    ["Bearer letmein", "letmein"],
    ['header "Bearer letmein" refused', "letmein"]
  ]
  for (const [text, secret] of hidden) {
    it(`are hidden in: ${text}`, () => assert.notInclude(plain.text(text), secret))
  }
})

// Numbers of test cards that payment providers publish.
const cards = [
  "4111111111111111",
  "4222222222222",
  "5555555555554444",
  "2223003122003222",
  "378282246310005",
  "30569309025904",
  "6011111111111117",
  "3530111333300000",
  "6200000000000005"
]

const grouped = (card: string, separator: string): string => {
  const sizes = card.length === 15 ? [4, 6, 5] : card.length === 14 ? [4, 6, 4] : [4, 4, 4, 4, 3]
  let at = 0
  return sizes
    .map((size) => card.slice(at, (at += size)))
    .filter((group) => group.length > 2)
    .join(separator)
}

describe("numbers of payment cards", () => {
  for (const card of cards) {
    it(`${card} is hidden, in groups too, wherever it stands`, () => {
      const written = card.length === 13 ? [card] : [card, grouped(card, " "), grouped(card, "-")]
      for (const one of written) {
        for (let before = 0; before < 30; before += 1) {
          const space = ".".repeat(before)
          assert.strictEqual(plain.text(`${space} ${one} 12/27`), `${space} ${mask} 12/27`)
        }
        assert.strictEqual(plain.text(`on 2026-11-21 ${one}, paid`), `on 2026-11-21 ${mask}, paid`)
        assert.strictEqual(plain.text(`{"pan":"${one}"}`), `{"pan":"${mask}"}`)
      }
      assert.deepStrictEqual(plain.value({ pan: Number(card), big: BigInt(card), list: [card] }), {
        pan: mask,
        big: mask,
        list: [mask]
      })
    })
  }

  it("other numbers stay", () => {
    const others = [
      // Fails Luhn.
      "4111111111111112",
      // Part of something longer.
      "14111111111111111",
      "41111111111111110000",
      // Milliseconds, microseconds and nanoseconds since 1970.
      "1772368245123",
      "1772368245123456",
      "1772368245123456789",
      // 17 and 18 digits, as messages are numbered.
      "41111111111111113",
      "622012345678901236",
      // Passes Luhn, but nobody issues it.
      "9111111111111111",
      "0.4111111111111111",
      "1.4111111111111111",
      "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
      "4111  1111  1111  1111",
      "2026-11-21 12:30:45.123456789"
    ]
    for (const other of others) assert.strictEqual(plain.text(`at ${other}, done`), `at ${other}, done`)
    assert.strictEqual(plain.value(0.4111111111111111), 0.4111111111111111)
    for (let nanos = 1_772_368_245_123_456_789n, round = 0; round < 2000; round += 1, nanos += 999_999_937n) {
      assert.strictEqual(plain.value(nanos), nanos)
    }
  })
})

/** The best of three, in milliseconds. */
const time = (run: () => unknown): number => {
  const times = Array.from({ length: 3 }, () => {
    const before = performance.now()
    run()
    return performance.now() - before
  })
  return Math.min(...times)
}

describe("a hostile text of 1 MB", () => {
  const size = 1_000_000
  const fill = (unit: string) => unit.repeat(Math.ceil(size / unit.length)).slice(0, size)
  const secrets = [`${"a".repeat(40)}b`, `%${"a".repeat(20)}b`, `"${'\\"'.repeat(12)}x`, `1${"%25".repeat(5)}x`]
  const { text } = Redaction.make(secrets)
  const units = [
    "a",
    "%a",
    "4",
    "4 ",
    "4-",
    "4111 1111 1111 1111 ",
    "1234567:",
    "sk-",
    "eyJ",
    "eyJaaaa.",
    "a://",
    "a://b:c",
    "://@",
    "token",
    "token=",
    'token":"',
    "bearer ",
    "bearer aaaa ",
    "authorization:",
    '"\\',
    mask
  ]
  for (const unit of units) {
    it(`of ${JSON.stringify(unit)} takes ten times as long as a tenth of it`, () => {
      const [short, whole] = [fill(unit).slice(0, size / 10), fill(unit)]
      const tenth = time(() => text(short))
      // Quadratic ones take a hundred times as long. Room for what else the machine does.
      assert.isBelow(
        time(() => text(whole)),
        40 * tenth + 250
      )
    })
  }
})
