import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

import * as Redaction from "../src/Redaction.ts"

const { mask } = Redaction

const Password = Schema.Union([
  Schema.String.check(Schema.isMinLength(4), Schema.isMaxLength(24)),
  Schema.Array(Schema.Literals(Array.from(`\\"'/%+& =?\n\u20ac\u{1f980}aZ5`))).check(
    Schema.isMinLength(4),
    Schema.isMaxLength(24)
  )
])
const textOf = (password: typeof Password.Type): string => (typeof password === "string" ? password : password.join(""))

const words = [
  ...Array.from("aZ0 -.:=/@\"'\\,\n\n\n\n"),
  "token",
  "password",
  "api_key",
  "cookie: ",
  "bearer ",
  "authorization: ",
  "eyJabcd.efgh.",
  "http://u:p@",
  "sk-abcdefgh",
  "-----BEGIN PRIVATE KEY-----\n",
  "-----END",
  "4111 1111 ",
  "1111 1111",
  "one line of a log\n",
  ": ",
  " = ",
  '": "',
  "plain",
  "url",
  "json",
  "base64",
  "hex"
] as const
const Words = Schema.Array(Schema.Literals(words)).check(Schema.isMaxLength(40))

/** A text with a secret in it, wherever an encoding is named. */
const textWith = (parts: typeof Words.Type, secret: string): string =>
  parts
    .map((part) => {
      if (part === "plain") return secret
      if (part === "url") return encodeURIComponent(secret)
      if (part === "json") return JSON.stringify(secret)
      return part === "base64" || part === "hex" ? Buffer.from(`x${secret}`).toString(part) : part
    })
    .join("")

/** Cut into pieces of the sizes given, again and again. */
const cut = (text: string, sizes: ReadonlyArray<number>): ReadonlyArray<string> => {
  const pieces: Array<string> = []
  for (let at = 0, turn = 0; at < text.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1
    pieces.push(text.slice(at, at + size))
    at += size
  }
  return pieces
}

const through = (redactor: Redaction.Redactor, pieces: ReadonlyArray<string>): ReadonlyArray<string> => {
  const { flush, push } = Redaction.chunks(redactor)
  return [...pieces.map(push), flush()]
}

const Sizes = Schema.Array(Schema.Literals([1, 2, 3, 5, 8, 21, 100])).check(
  Schema.isMinLength(1),
  Schema.isMaxLength(5)
)

describe("a text in pieces", () => {
  it.effect.prop(
    "is redacted as the whole is, wherever it is cut",
    [Password, Words, Sizes],
    ([password, parts, sizes]) =>
      Effect.sync(() => {
        const secret = textOf(password)
        if (!secret.isWellFormed()) return
        const redactor = Redaction.make([secret])
        const text = textWith(parts, secret)
        assert.strictEqual(through(redactor, cut(text, sizes)).join(""), redactor.text(text))
      }),
    { arbitrary: { runs: 2000, size: 40 } }
  )

  it.effect.prop(
    "is, too, when its lines go on and on",
    [Password, Words, Sizes],
    ([password, parts, sizes]) =>
      Effect.sync(() => {
        const secret = textOf(password)
        if (!secret.isWellFormed() || /^\s|\s$/.test(secret)) return
        const redactor = Redaction.make([secret])
        const filling = "some more words of a line ".repeat(150)
        const text = `${filling}${textWith(parts, secret)} ${filling}${textWith(parts, secret)} ${filling}`
        const output = through(
          redactor,
          cut(
            text,
            sizes.map((size) => size * 37)
          )
        )
        assert.strictEqual(output.join(""), redactor.text(text))
      }),
    { arbitrary: { runs: 300, size: 40 } }
  )

  it("comes line by line", () => {
    const { flush, push } = Redaction.chunks(Redaction.make(["hunter2"]))
    assert.strictEqual(push("log in with hun"), "")
    assert.strictEqual(push("ter2\nagain with hunter"), `log in with ${mask}\n`)
    assert.strictEqual(push("2\n"), `again with ${mask}\n`)
    assert.strictEqual(push("and an end"), "")
    assert.strictEqual(flush(), "and an end")
    assert.strictEqual(push("hunter2 again\n"), `${mask} again\n`)
    assert.strictEqual(flush(), "")
  })

  it("waits where a line is not all of it", () => {
    const key = ["-----BEGIN PRIVATE KEY-----\n", "abcdefgh\n", "ijklmnop\n", "-----END PRIVATE KEY-----\n"]
    const opened: ReadonlyArray<readonly [pieces: ReadonlyArray<string>, secret: string]> = [
      [["first\n", "password =\n", " abc123\n"], "abc123"],
      [["Authorization: Bearer\n", "abc.def\n"], "abc.def"],
      [['password = "one\n', 'two three"\n'], "two three"],
      [key, "ijklmnop"]
    ]
    for (const [pieces, secret] of opened) {
      const redactor = Redaction.make()
      const output = through(redactor, pieces).join("")
      assert.notInclude(output, secret)
      assert.strictEqual(output, redactor.text(pieces.join("")))
    }
    const lines = Redaction.make(["one\ntwo\nthree"])
    const { flush, push } = Redaction.chunks(lines)
    assert.strictEqual(push("zero\n"), "zero\n")
    assert.strictEqual(push("is one\n"), "")
    assert.strictEqual(push("two\n"), "")
    assert.strictEqual(push("three\n") + flush(), `is ${mask}\n`)
  })

  it("keeps back little of a line without an end", () => {
    const { push } = Redaction.chunks(Redaction.make(["hunter2"]))
    let length = 0
    for (let round = 1; round <= 10_000; round += 1) {
      length += push("word ").length
      assert.isBelow(round * 5 - length, 4000)
    }
  })

  for (const [name, opening, filling, closing] of [
    ["of no spaces", "x ", "abcdefghij", " end"],
    ["of a quoted secret", 'password="', "abc def ", '" end'],
    ["of escapes", 'password: "', "\\\\", '" end'],
    ["of a token", "sk-", "abcdefgh", " end"],
    ["of a key file", "-----BEGIN PRIVATE KEY-----\n", "abcdefgh\n", "-----END"]
  ] as const) {
    it(`keeps back no more than it must ${name}, and hides as much`, () => {
      const redactor = Redaction.make(["hunter2"])
      const text = `hunter2 ${opening}${filling.repeat(60_000)}hunter2${closing}\n`
      const before = performance.now()
      const output = through(redactor, cut(text, [1000])).join("")
      assert.isTrue(output === redactor.text(text), `${output.slice(0, 200)} … ${output.slice(-200)}`)
      // Linear: milliseconds. Were the kept text looked at with every piece, it would be minutes.
      assert.isBelow(performance.now() - before, 10_000)
    })
  }

  it("is redacted by two redactors, and by one that knows nothing of pieces", () => {
    const both = Redaction.andThen(Redaction.make(["hunter2"]), Redaction.make(["swordfish"]))
    assert.strictEqual(both.text("hunter2 swordfish"), `${mask} ${mask}`)
    assert.deepStrictEqual(both.value(["hunter2", "swordfish"]), [mask, mask])
    assert.strictEqual(through(both, cut("a hunter2 b\nc swordfish d", [3])).join(""), `a ${mask} b\nc ${mask} d`)
    const { text, value } = Redaction.make(["hunter2"])
    const output = through({ text, value }, cut("a hunter2 b\nhunter2", [3]))
    assert.strictEqual(output.join(""), `a ${mask} b\n${mask}`)
  })
})

describe("a stream", () => {
  const redactor = Redaction.make(["pässwörd-€\u{1f980}"])

  it.effect("of text", () =>
    Effect.gen(function* () {
      const texts = Redaction.stream(redactor)(Stream.fromIterable(["my päss", "wörd-€\u{1f980} here", "\nbye"]))
      assert.deepStrictEqual([...(yield* Stream.runCollect(texts))], [`my ${mask} here\n`, "bye"])
      // Each run begins anew.
      assert.strictEqual(yield* Stream.mkString(texts), `my ${mask} here\nbye`)
    })
  )

  it.effect("of bytes, cut inside of characters", () =>
    Effect.gen(function* () {
      const bytes = new TextEncoder().encode("\ufeffmy pässwörd-€\u{1f980} here\nżółw")
      for (const size of [1, 2, 3, 7]) {
        const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
          bytes.slice(index * size, (index + 1) * size)
        )
        const output = yield* Stream.fromIterable(pieces).pipe(
          Redaction.streamBytes(redactor),
          Stream.decodeText(),
          Stream.mkString
        )
        assert.strictEqual(output.replace("\ufeff", ""), `my ${mask} here\nżółw`)
      }
    })
  )

  it.effect("gives what it kept back before it fails", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const failing = Stream.concat(Stream.make("last words"), Stream.fail("gone"))
      const exit = yield* Redaction.stream(redactor)(failing).pipe(
        Stream.runForEach((text) => Effect.sync(() => seen.push(text))),
        Effect.exit
      )
      assert.isTrue(Exit.isFailure(exit))
      assert.deepStrictEqual(seen, ["last words"])
    })
  )

  it.effect("can be interrupted", () =>
    Effect.gen(function* () {
      const queue = yield* Queue.unbounded<string>()
      const seen: Array<string> = []
      const fiber = yield* Stream.fromQueue(queue).pipe(
        Redaction.stream(redactor),
        Stream.runForEach((text) => Effect.sync(() => seen.push(text))),
        Effect.forkChild({ startImmediately: true })
      )
      yield* Queue.offer(queue, "line\npäss")
      yield* Effect.yieldNow
      yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      assert.notInclude(seen.join(""), "päss")
    })
  )
})

describe("a logger", () => {
  const secret = "hunter2"
  const loggers: Readonly<Record<string, Logger.Logger<unknown, unknown>>> = {
    simple: Logger.formatSimple,
    logfmt: Logger.formatLogFmt,
    json: Logger.formatJson
  }
  for (const [name, inner] of Object.entries(loggers)) {
    it.effect(`gives no secret away: ${name}`, () =>
      Effect.gen(function* () {
        const lines: Array<string> = []
        const output = Logger.make<unknown, void>((options) => {
          lines.push(String(inner.log(options)))
        })
        const error = new Error(`cannot log in with ${secret}`, { cause: new Error(`${secret} is wrong`) })
        yield* Effect.gen(function* () {
          yield* Effect.log(`text ${secret}`, { password: "abc123", note: secret, n: 1 }, "kept")
          yield* Effect.logError("failed", Cause.fail(error))
          yield* Effect.logError("died", Cause.die({ note: secret }))
          yield* Effect.logError(error)
        }).pipe(
          Effect.annotateLogs({ [secret]: "key", apiKey: "abc123", user: "bob" }),
          Effect.withLogSpan(`span ${secret}`),
          Effect.provide(Logger.layer([Redaction.logger(output)])),
          Effect.provideService(Redaction.Redactor, Redaction.make([secret]))
        )
        assert.lengthOf(lines, 4)
        const all = lines.join("\n")
        assert.notInclude(all, secret)
        assert.notInclude(all, "abc123")
        for (const kept of ["kept", "bob", "cannot log in with", "is wrong", "span", "died"]) assert.include(all, kept)
        assert.include(lines[1] ?? "", "RedactionStream.test.ts")
      })
    )
  }

  it.effect("leaves alone what has no secret, and what others see", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const inner = Logger.make<unknown, void>(({ logLevel, message }) => {
        seen.push([logLevel, message])
      })
      const given = { password: "abc123" }
      yield* Effect.logWarning("text", 1, given).pipe(Effect.provide(Logger.layer([Redaction.logger(inner), inner])))
      assert.deepStrictEqual(seen, [
        ["Warn", ["text", 1, { password: mask }]],
        ["Warn", ["text", 1, { password: "abc123" }]]
      ])
    })
  )
})
