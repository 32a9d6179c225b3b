/** What every probe promises. A suite for one probe is one call. */
import { assert, describe, it } from "@effect/vitest"
import type * as Probe from "@nexobot/core/Probe"
import { ProcessTable, Unsupported } from "@nexobot/core/ProcessTable"
import * as Verdict from "@nexobot/core/Verdict"
import { eventually } from "@nexobot/testing/Expect"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"

type Situation<S extends Verdict.Signature> = Effect.Effect<Probe.Probe<S>, unknown, Scope.Scope>

export interface Subject<S extends Verdict.Signature> {
  /** For everything that the probe can find, by name: a probe that finds just that. */
  readonly situations: Readonly<Record<"Healthy" | S["_tag"], Situation<S>> & { Inconclusive?: Situation<S> }>
  /** A check that ends only by its interruption; absent where a check never waits for anybody. */
  readonly waiting?: Situation<S>
}

const nameOf = (verdict: Verdict.Verdict<Verdict.Signature>): string =>
  "signature" in verdict ? verdict.signature._tag : verdict._tag

/** What keeps the process alive now: how many of each kind. */
const resources = Effect.sync(() => {
  const counts = new Map<string, number>()
  for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  return counts
})

/** Asking takes timers of its own; a leak is more than that. */
const ownTimers = 3

const nothingMoreThan = (baseline: ReadonlyMap<string, number>) =>
  eventually(
    `nothing is open but ${JSON.stringify([...baseline])}`,
    Effect.map(resources, (now) =>
      [...now].every(([kind, count]) => count <= (baseline.get(kind) ?? 0) + (kind === "Timeout" ? ownTimers : 0))
        ? true
        : undefined
    )
  )

const failing = (feature: string) => Effect.fail(new Unsupported({ feature, platform: "plan9" }))

/** A platform that knows nothing. */
const unsupported: ProcessTable = {
  bootId: failing("the boot id"),
  stat: () => failing("reading a process"),
  all: failing("listing processes"),
  pids: failing("listing processes"),
  samples: () => failing("reading what processes use"),
  commandLine: () => Effect.succeed(""),
  usage: () => failing("reading what a process uses"),
  proportionalMemory: () => failing("reading the memory of a process"),
  variable: () => Effect.undefined,
  listening: () => failing("finding the owner of a port"),
  listeners: failing("listing listening sockets"),
  sockets: () => Effect.succeed(new Set<string>()),
  kill: () => Effect.succeed(false)
}

export const probeContract = <S extends Verdict.Signature>(name: string, subject: Subject<S>): void => {
  const situations = Object.entries<Situation<S>>(subject.situations)

  describe(`${name} keeps the contract of probes`, () => {
    for (const [expected, situation] of situations) {
      it.live(`finds ${expected}, twenty times at once and in a row, and leaves nothing open`, () =>
        Effect.gen(function* () {
          const probe = yield* situation
          const baseline = yield* resources
          const checks = Array.from({ length: 20 }, () => probe.check)
          const found = [
            ...(yield* Effect.all(checks, { concurrency: "unbounded" })),
            ...(yield* Effect.all(checks, { concurrency: 1 }))
          ]
          assert.deepStrictEqual([...new Set(found.map(nameOf))], [expected])
          yield* nothingMoreThan(baseline)
        })
      )
    }

    it.live("reports what it declares and nothing else, and all of it survives JSON", () =>
      Effect.gen(function* () {
        const reported = new Set<string>()
        const declared = new Set<string>()
        for (const [, situation] of situations) {
          const probe = yield* situation
          for (const signatureClass of probe.reports) declared.add(Verdict.tagOf(signatureClass))
          const verdict = yield* probe.check
          if (!("signature" in verdict)) continue
          reported.add(verdict.signature._tag)
          const codec = Schema.toCodecJson(Schema.Union(probe.reports))
          const text = JSON.stringify(yield* Schema.encodeEffect(codec)(verdict.signature))
          assert.deepStrictEqual(yield* Schema.decodeUnknownEffect(codec)(JSON.parse(text)), verdict.signature)
          assert.isNotEmpty(verdict.evidence)
        }
        assert.deepStrictEqual([...reported].toSorted(), [...declared].toSorted())
      })
    )

    it.live("neither fails nor dies where the platform knows nothing", () =>
      Effect.gen(function* () {
        for (const [, situation] of situations) {
          const probe = yield* situation
          const exit = yield* Effect.exit(Effect.provideService(probe.check, ProcessTable, unsupported))
          assert.isTrue(Exit.isSuccess(exit), String(exit))
        }
      })
    )

    it.live("an interruption ends it, and leaves nothing open", () =>
      Effect.gen(function* () {
        const probe = yield* subject.waiting ?? subject.situations.Healthy
        const baseline = yield* resources
        const fiber = yield* Effect.forkChild(probe.check, { startImmediately: true })
        yield* Effect.yieldNow
        yield* Fiber.interrupt(fiber)
        if (subject.waiting !== undefined) assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
        yield* nothingMoreThan(baseline)
      })
    )
  })
}
