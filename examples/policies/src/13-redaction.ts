/** A log, a value and the output of a process, each with secrets in it; none of them is printed. */
import * as Redaction from "@nexobot/core/Redaction"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"

const password = Redacted.make('s3cr/t "pass" wörd')
const plain = Redacted.value(password)

const program = Effect.gen(function* () {
  const redactor = yield* Redaction.Redactor

  yield* Effect.logError(`cannot log in with ${plain}`, { url: encodeURIComponent(plain), token: "abc" })

  yield* Console.log(redactor.value({ user: "ada", basic: Buffer.from(`ada:${plain}`).toString("base64"), password }))
  yield* Console.log(redactor.text("paid with 4111 1111 1111 1111, order 1772368245123456789"))

  // The output of a process, seven bytes at a time.
  const output = new TextEncoder().encode(`trying ${plain}\nrefused: ${JSON.stringify({ plain })}\n`)
  const pieces = Array.from({ length: Math.ceil(output.length / 7) }, (_, i) => output.slice(i * 7, i * 7 + 7))
  yield* Stream.fromIterable(pieces).pipe(
    Redaction.streamBytes(redactor),
    Stream.decodeText(),
    Stream.runForEach((text) => Console.log(`process: ${text.trimEnd()}`))
  )
})

await Effect.runPromise(
  program.pipe(
    Effect.provide(Logger.layer([Redaction.logger(Logger.consoleLogFmt)])),
    Effect.provideService(Redaction.Redactor, Redaction.make([password]))
  )
)
