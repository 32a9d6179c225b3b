/** A loop that does as it is told. */
import * as Http from "node:http"

import { Recovery, UnknownComponent } from "@nexobot/recovery/Recovery"
import type * as Report from "@nexobot/recovery/Report"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"

export const hostile = '<img src=x onerror="document.title=1">'
export const secret = "swordfish-4711-zebra"

export const component = (
  name: string,
  status: Report.ComponentStatus,
  more: Partial<Report.ComponentState> = {}
): Report.ComponentState => ({
  name,
  status,
  since: "2026-11-20T10:00:00.000Z",
  detail: "",
  attempts: 0,
  attemptLimit: 3,
  probes: [{ name: "http", status: status === "Healthy" ? "Healthy" : "Unhealthy", evidence: ["GET /health"] }],
  ...more
})

export const unchecked: Partial<Report.ComponentState> = { probes: [{ name: "http", status: "Unknown", evidence: [] }] }

export interface Fake {
  readonly recovery: Recovery["Service"]
  readonly states: SubscriptionRef.SubscriptionRef<ReadonlyArray<Report.ComponentState>>
  readonly set: (state: Report.ComponentState) => Effect.Effect<void>
  readonly recovered: Array<string>
  /** Readers of `changes` now. */
  readonly readers: () => number
}

export const fake = Effect.fnUntraced(function* (
  initial: ReadonlyArray<Report.ComponentState>,
  more: Partial<Recovery["Service"]> = {}
): Effect.fn.Return<Fake> {
  const states = yield* SubscriptionRef.make(initial)
  const recovered: Array<string> = []
  const known = initial.map((state) => state.name)
  let readers = 0
  const recover = (name: string) =>
    Effect.gen(function* () {
      if (!known.includes(name)) return yield* new UnknownComponent({ component: name, known })
      recovered.push(name)
      const outcome: Report.Outcome = { component: name, outcome: "recovered", action: "restart", detail: "in 1.2 s" }
      return outcome
    })
  return {
    states,
    recovered,
    readers: () => readers,
    set: (state) => SubscriptionRef.update(states, (all) => all.map((one) => (one.name === state.name ? state : one))),
    recovery: {
      components: known,
      states: SubscriptionRef.get(states),
      changes: Stream.suspend(() => {
        readers++
        return Stream.ensuring(
          SubscriptionRef.changes(states),
          Effect.sync(() => readers--)
        )
      }),
      recover,
      recoverAll: Effect.suspend(() => Effect.orDie(Effect.forEach(known, recover))),
      log: Effect.succeed([
        {
          timestamp: "2026-11-20T10:05:00.000Z",
          component: "shop",
          error: "ConnectionRefused",
          diagnosis: "rule: nobody listens on the port",
          action: "restart",
          success: true
        }
      ]),
      statistics: Effect.succeed({
        totalRecoveries: 4,
        successRate: 0.75,
        avgRecoveryTime: 12.5,
        mostCommonError: "ConnectionRefused",
        mostProblematicComponent: "shop"
      }),
      ...more
    }
  }
})

export interface Answer {
  readonly status: number
  readonly headers: Http.IncomingHttpHeaders
  readonly body: string
}

/** A request by `node:http`, which, unlike `fetch`, sends the headers it is told to. */
export const request = (
  url: string,
  options: {
    readonly method?: string
    readonly headers?: Record<string, string>
    readonly body?: string | Buffer
  } = {}
): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const { method = "GET", headers = {} } = options
    const sent = Http.request(url, { method, headers, agent: false }, (response) => {
      const chunks: Array<Buffer> = []
      response.on("data", (chunk: Buffer) => chunks.push(chunk))
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks).toString("utf8")
        })
      )
      response.on("error", reject)
    })
    sent.on("error", reject)
    sent.end(options.body)
  })
