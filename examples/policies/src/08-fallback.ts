/** Recommendations fail for a while: the classics are shown, and said to be no recommendations. */
import * as Fallback from "@nexobot/core/Fallback"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

class Down extends Data.TaggedError("Down")<{ readonly status: number }> {
  override get message() {
    return `the service answers ${this.status}`
  }
}

let day = 0
const recommendations = Effect.suspend(() => {
  day += 1
  return day === 2 || day === 3 ? Effect.fail(new Down({ status: 503 })) : Effect.succeed(["A book for you"])
})

const program = Effect.gen(function* () {
  const fallback = yield* Fallback.make({
    name: "books",
    to: (down: Down) => Effect.as(Console.log(`without recommendations: ${down.message}`), ["The classics"])
  })
  yield* Effect.forkChild(
    Stream.runForEach(fallback.changes, (mode) =>
      Console.log(`mode: ${mode._tag}${mode._tag === "Degraded" ? `, as ${mode.why}` : ""}`)
    )
  )
  for (let i = 1; i <= 4; i++) {
    const { degraded, value } = yield* fallback.answer(recommendations)
    yield* Console.log(`day ${i}: ${value.join()}${degraded ? " (not chosen for you)" : ""}`)
    yield* Effect.sleep("10 millis")
  }
  const { answers } = yield* fallback.stats
  yield* Console.log(`${answers} lesser answers`)
})

await Effect.runPromise(program)
