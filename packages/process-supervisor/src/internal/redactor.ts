/** Hides in what is shown what the processes were given as secrets: one may say what another one was given. */
import * as Redaction from "@nexobot/core/Redaction"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"

import type { Any } from "../ProcessSpec.ts"
import * as EnvFile from "./envFile.ts"
import { isSecret } from "./secretNames.ts"

/** In a file every value is `Redacted`, and most are no secrets: `production` must not vanish from all logs. */
const secretsIn = ({ envFile }: Any) =>
  envFile === undefined
    ? Effect.succeed([])
    : EnvFile.read(envFile).pipe(
        Effect.map((found) =>
          Object.entries(found).flatMap(([name, value]) => (isSecret(name, Redacted.value(value)) ? [value] : []))
        ),
        // Its process is not started then.
        Effect.orElseSucceed(() => [])
      )

/** Those that are said to be secrets, and those whose names say it. */
const secretsGiven = ({ env }: Any) =>
  Object.entries(env).flatMap(([name, value]) => (Redacted.isRedacted(value) || isSecret(name, value) ? [value] : []))

export const redactorFor = Effect.fnUntraced(function* (specs: ReadonlyArray<Any>) {
  const redactor = yield* Redaction.Redactor
  const files = yield* Effect.forEach(specs, secretsIn, { concurrency: "unbounded" })
  const known = new Set<string>()
  let now = redactor
  const add = (values: Iterable<string | Redacted.Redacted>) => {
    const before = known.size
    for (const value of values) known.add(typeof value === "string" ? value : Redacted.value(value))
    if (known.size > before) now = Redaction.andThen(redactor, Redaction.make([...known]))
  }
  add([...specs.flatMap(secretsGiven), ...files.flat()])
  return {
    learn: (found: Readonly<Record<string, Redacted.Redacted>>) =>
      add(Object.entries(found).flatMap(([name, value]) => (isSecret(name, Redacted.value(value)) ? [value] : []))),
    redactor: {
      text: (text: string) => now.text(text),
      value: (value: unknown) => now.value(value),
      chunks: () => Redaction.chunks(now)
    }
  }
})
