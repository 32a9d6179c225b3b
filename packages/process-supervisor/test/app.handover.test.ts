import * as Http from "node:http"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

import { ask, endsClean, ready, run, until } from "./fixtures/app/support.ts"

const shared = { NEXO_REUSE_PORT: "1" }

/** Not so short that a client which the machine has no time for counts as idle. */
const options = { drain: "20 seconds", idle: "1 second" }

/** Clients that ask as fast as they are answered, until they are told to stop. */
const load = (port: number, clients: number, agent: Http.Agent | false) => {
  const failures: Array<string> = []
  const answers = new Map<string, number>()
  const end = new AbortController()
  const client = async () => {
    while (!end.signal.aborted) {
      await ask(port, "/pid", { agent }).then(
        ({ body }) => answers.set(body, (answers.get(body) ?? 0) + 1),
        (error: NodeJS.ErrnoException) => failures.push(error.code ?? error.message)
      )
    }
  }
  const all = Promise.all(Array.from({ length: clients }, client))
  const stop = async () => {
    end.abort()
    await all
    if (agent !== false) agent.destroy()
  }
  return { failures, answers, stop }
}

/** Replaces an app 3 times while 20 clients ask. */
const handOvers = Effect.fnUntraced(function* (agent: Http.Agent | false) {
  let old = yield* ready({ app: { options }, env: shared })
  const { port } = old
  const { answers, failures, stop } = load(port, 20, agent)
  for (let count = 0; count < 3; count += 1) {
    const next = yield* run({ app: { options, port }, env: shared })
    yield* next.port
    yield* next.tell("ready")
    yield* old.signal("SIGTERM")
    yield* endsClean(old, "SIGTERM")
    yield* until("the new one is asked", () => answers.has(String(next.child.pid)))
    old = { ...next, port }
  }
  yield* Effect.promise(stop)
  assert.strictEqual(answers.size, 4)
  return { answered: [...answers.values()].reduce((sum, one) => sum + one, 0), failures }
})

describe("a port that old and new share", () => {
  it.live("no request on a connection that is kept fails when the app is replaced", () =>
    Effect.gen(function* () {
      const { failures } = yield* handOvers(new Http.Agent({ keepAlive: true, maxSockets: 20 }))
      assert.deepStrictEqual(failures, [])
    })
  )

  it.live("with a connection for each request, hardly any is lost in the kernel's queue, and none otherwise", () =>
    Effect.gen(function* () {
      const { answered, failures } = yield* handOvers(false)
      assert.isTrue(failures.every((code) => code === "ECONNRESET"))
      // On a machine with time to spare it is none; a busy one has no short turn of the event loop.
      assert.isBelow(failures.length, answered / 100)
    })
  )
})
