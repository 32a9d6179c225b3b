/** A database goes down and takes two services with it: one alert, all states. One service flaps: that is no alert. */
import * as HealthMonitor from "@nexobot/core/HealthMonitor"
import * as Verdict from "@nexobot/core/Verdict"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

class Refused extends Schema.TaggedClass<Refused>("Refused")("Refused", { port: Schema.Int }) {}

const up = Verdict.healthy
const down = Verdict.unhealthy(new Refused({ port: 5432 }), ["ECONNREFUSED"])

const program = Effect.gen(function* () {
  const monitor = yield* HealthMonitor.make({
    name: "example",
    targets: { db: {}, api: { dependsOn: ["db"] }, web: { dependsOn: ["api"] } },
    fall: 2,
    rise: 1,
    flap: { holdDown: "25 millis" },
    holdDown: "50 millis"
  })
  const round = Effect.fnUntraced(function* (verdicts: Readonly<Record<string, Verdict.Verdict<Refused>>>) {
    yield* Effect.forEach(Object.entries(verdicts), ([target, verdict]) => monitor.record(target, verdict))
    yield* monitor.decide(({ raise, resolve }) =>
      Effect.andThen(
        Effect.forEach(resolve, ({ id, target, why }) => Console.log(`  resolved #${id} ${target}: ${why}`)),
        Effect.forEach(raise, ({ id, target }) => Console.log(`  alert #${id} ${target}`))
      )
    )
    yield* Effect.sleep("15 millis")
  })

  yield* round({ db: up, api: up, web: up })
  for (let times = 0; times < 3; times += 1) yield* round({ web: down, api: down, db: down })
  const { mayRepair, spared, status } = yield* monitor.inspect("api")
  yield* Console.log(`api is ${status}; repair: ${mayRepair ? "yes" : `no, ${spared}`}`)
  for (const api of [up, down, up, down, up, down]) yield* round({ db: up, web: up, api })
  const { flapping, score } = yield* monitor.inspect("api")
  yield* Console.log(`api ${flapping ? "flaps" : "does not flap"}, its score is ${score.toFixed(1)}; nobody was told`)

  // One good check was enough for the others; after flapping it takes a quarter of a second of them.
  for (let checks = 1; checks <= 30; checks += 1) {
    yield* round({ api: up })
    const { status: counted } = yield* monitor.inspect("api")
    if (checks % 20 === 10) yield* Console.log(`after ${checks} good checks api is ${counted}`)
  }
})

await Effect.runPromise(program)
