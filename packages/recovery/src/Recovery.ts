/**
 * The recovery loop as a service.
 *
 * @since 0.1.0
 */
import type * as Component from "@nexobot/core/Component"
import * as Lease from "@nexobot/core/Lease"
import * as Options from "@nexobot/core/Options"
import { Redactor } from "@nexobot/core/Redaction"
import type { Signature } from "@nexobot/core/Verdict"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"

import * as FileJournal from "./FileJournal.ts"
import * as History from "./History.ts"
import * as View from "./internal/View.ts"
import * as Watcher from "./internal/Watcher.ts"
import { Journal, type JournalError } from "./Journal.ts"
import type * as Loop from "./Loop.ts"
import * as Policy from "./Policy.ts"
import type * as Report from "./Report.ts"

/**
 * No component of that name is watched.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnknownComponent extends Schema.TaggedError<UnknownComponent>("@nexobot/recovery/UnknownComponent")(
  "UnknownComponent",
  { component: Schema.String, known: Schema.Array(Schema.String) }
) {
  override get message(): string {
    return `no component named "${this.component}"; known are ${this.known.join(", ")}`
  }
}

/**
 * @category services
 * @since 0.1.0
 */
export class Recovery extends Context.Service<
  Recovery,
  {
    /** Names of the watched components, in the order given. */
    readonly components: ReadonlyArray<string>
    readonly states: Effect.Effect<ReadonlyArray<Report.ComponentState>>
    /** The states now, then anew after each change; ends with the loop. */
    readonly changes: Stream.Stream<ReadonlyArray<Report.ComponentState>>
    /** Checks a component now, without waiting for `fall`, and climbs its runbook if it is unhealthy. */
    readonly recover: (component: string) => Effect.Effect<Report.Outcome, UnknownComponent>
    /** `recover` for every component, one after the other in the order given. */
    readonly recoverAll: Effect.Effect<ReadonlyArray<Report.Outcome>>
    /** The last 100 entries, oldest first. */
    readonly log: Effect.Effect<ReadonlyArray<Report.RecoveryLogEntry>>
    readonly statistics: Effect.Effect<Report.Statistics>
  }
>()("@nexobot/recovery/Recovery") {}

/**
 * @category models
 * @since 0.1.0
 */
export interface RecoveryOptions {
  /** For every component. */
  readonly policy?: Policy.PolicyOptions
  /** For one component, by name; what it does not say comes from `policy`. */
  readonly overrides?: Readonly<Record<string, Policy.PolicyOptions>>
}

const checks = Options.checks("Recovery")

const watchersOf = <R>(
  components: ReadonlyArray<Component.Component<Signature, R>>,
  options: RecoveryOptions
): ReadonlyArray<Watcher.Watcher<R>> => {
  checks.known(options, ["policy", "overrides"])
  const names = components.map((component) => component.name)
  if (names.length === 0) checks.fail("components", components, "at least one component")
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) checks.fail("components", twice, "one component of each name")
  checks.known(options.overrides ?? {}, names, "overrides.")
  return components.map((component) => {
    const policy = { ...options.policy, ...options.overrides?.[component.name] }
    return Watcher.make(component, Policy.make(policy, `Recovery: ${component.name}`))
  })
}

/**
 * Watches the components until the scope closes: one fiber each, so at most one remediation of a component at a time.
 * Throws `OptionError` for bad options at once, before anything starts.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <const C extends ReadonlyArray<Component.Any>>(
  components: C,
  options: RecoveryOptions = {}
): Layer.Layer<Recovery, never, Component.Services<C[number]> | Journal | Lease.Leases> => {
  type Part = Component.Component<Signature, Component.Services<C[number]>>
  // The union of what the parts need, as the type above declares it.
  const watchers = watchersOf(components as ReadonlyArray<Part>, options) // oxlint-disable-line typescript/no-unsafe-type-assertion
  return Layer.effect(Recovery, make(watchers))
}

/**
 * `layer` with everything that it needs embedded: the journal in a file, leases in the process.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFile = <const C extends ReadonlyArray<Component.Any>>(
  components: C,
  options: RecoveryOptions & {
    /** Path of the journal; its folder is made when it is not there. */
    readonly journal: string
  }
): Layer.Layer<Recovery, JournalError, Component.Services<C[number]>> => {
  const { journal, ...rest } = options
  return Layer.provide(layer(components, rest), [
    FileJournal.layer(checks.nonEmptyString("journal", journal)),
    Lease.layerMemory
  ])
}

const make = Effect.fnUntraced(function* <R>(watchers: ReadonlyArray<Watcher.Watcher<R>>) {
  const journal = yield* Journal
  const redactor = yield* Redactor
  const names = watchers.map((watcher) => watcher.name)
  let history = journal.history.reduce(History.next, History.empty)
  const started = DateTime.formatIso(yield* DateTime.now)
  const states = yield* SubscriptionRef.make(watchers.map((watcher) => View.unchecked(watcher, started)))
  // Who follows `changes` is told that there will be no more.
  yield* Effect.addFinalizer(() => PubSub.shutdown(states.pubsub))

  const publish = Effect.fnUntraced(function* (watcher: Watcher.Watcher<R>, state: Loop.State, obstacle?: string) {
    const now = DateTime.formatIso(yield* DateTime.now)
    const view = View.make(watcher, state, redactor.text, obstacle)
    yield* SubscriptionRef.updateSome(states, (all) => {
      const before = all.find((one) => one.name === watcher.name)
      const since = before !== undefined && before.status === view.status ? before.since : now
      const after = { ...view, since }
      return before !== undefined && Equal.equals(before, after)
        ? Option.none()
        : Option.some(all.map((one) => (one.name === watcher.name ? after : one)))
    })
  })

  const queues = yield* Effect.forEach(watchers, (watcher) =>
    Effect.gen(function* () {
      const requests = yield* Queue.unbounded<Watcher.Request>()
      yield* Effect.forkScoped(
        Watcher.run(watcher, {
          requests,
          onState: (state, obstacle) => publish(watcher, state, obstacle),
          onRecords: (records) =>
            Effect.sync(() => {
              history = records.reduce(History.next, history)
            })
        })
      )
      return requests
    })
  )

  const recover = Effect.fnUntraced(function* (component: string) {
    const requests = queues[names.indexOf(component)]
    if (requests === undefined) return yield* new UnknownComponent({ component, known: names })
    const request = yield* Deferred.make<Report.Outcome>()
    yield* Queue.offer(requests, request)
    return yield* Deferred.await(request)
  })
  return Recovery.of({
    components: names,
    states: SubscriptionRef.get(states),
    changes: SubscriptionRef.changes(states),
    recover,
    recoverAll: Effect.forEach(names, (name) => Effect.orDie(recover(name))),
    log: Effect.sync(() => history.log),
    statistics: Effect.sync(() => History.statistics(history))
  })
})
