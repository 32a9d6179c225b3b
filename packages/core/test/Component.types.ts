/**
 * What compiles and what does not. The compiler checks this file; `types.test.ts` also runs it, so that what compiles
 * works, and what does not is refused at run time as well where it can be.
 */
// @effect-diagnostics missingEffectError:off floatingEffect:off
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

import * as Component from "../src/Component.ts"
import * as OptionsModule from "../src/Options.ts"
import * as Probe from "../src/Probe.ts"
import * as Remediator from "../src/Remediator.ts"
import * as Verdict from "../src/Verdict.ts"
import * as F from "./fixture.ts"

// oxlint-disable typescript/no-unnecessary-type-parameters -- two functions are the same only if A and B are
type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : { readonly got: A; readonly wanted: B }

// oxlint-enable typescript/no-unnecessary-type-parameters

/** Compiles only if the type of the value is exactly `B`. */
const same =
  <A>(_value: A) =>
  <B>(..._proof: Equal<A, B> extends true ? [] : [Equal<A, B>]): void => {}

/** What the compiler refuses: `refusals` collects what the constructors say to it at run time. */
export const refusals: Array<{ readonly what: string; readonly said: string }> = []
const refused = (what: string, f: () => unknown): void => {
  try {
    f()
    refusals.push({ what, said: "" })
  } catch (error) {
    refusals.push({ what, said: error instanceof OptionsModule.OptionError ? error.option : String(error) })
  }
}

/* ---- the helper itself tells types apart ------------------------------------------------ */
const narrow: number = 1
const wide: number | string = process.argv.length > 0 ? narrow : ""
same(narrow)<number>()
same(wide)<number | string>()
// @ts-expect-error wider than wanted
same(wide)<number>()
// @ts-expect-error narrower than wanted
same(narrow)<number | string>()

/* ---- the type of a probe says what it can report ---------------------------------------- */
same(F.port)<Probe.Probe<F.PortHeld | F.NotListening, F.Net>>()
same(F.memory)<Probe.Probe<F.OutOfMemory>>()
Probe.make({
  name: "liar",
  reports: [F.PortHeld],
  // @ts-expect-error a check may not report what it does not declare
  check: Effect.succeed(Verdict.unhealthy(new F.OutOfMemory({ rss: 1 })))
})
Probe.make({
  name: "failing",
  reports: [F.PortHeld],
  // @ts-expect-error a check has no error channel: each failure is classified
  check: Effect.fail("boom")
})
class Plain {
  readonly _tag = "Plain"
}
Probe.make({
  name: "no schema",
  // @ts-expect-error signatures are schema classes
  reports: [Plain],
  check: Effect.succeed(Verdict.healthy)
})

/* ---- combinators ------------------------------------------------------------------------ */
same(Probe.all("x", [F.port, F.memory]))<Probe.Probe<F.PortHeld | F.NotListening | F.OutOfMemory, F.Net>>()
same(Probe.any("x", [F.port, F.memory]))<Probe.Probe<F.PortHeld | F.NotListening | F.OutOfMemory, F.Net>>()
same(Probe.withTimeout(F.memory, "1 second"))<Probe.Probe<F.OutOfMemory | Probe.Timeout>>()
same(Probe.map(F.port, [F.QueueStuck], (s) => new F.QueueStuck({ length: s.port })))<Probe.Probe<F.QueueStuck, F.Net>>()
same(Probe.degrade(F.port, "PortHeld"))<Probe.Probe<F.PortHeld | F.NotListening, F.Net>>()
// @ts-expect-error map must produce what it declares
Probe.map(F.port, [F.QueueStuck], () => new F.OutOfMemory({ rss: 1 }))
// @ts-expect-error only tags of its own
Probe.degrade(F.port, "OutOfMemory")
// @ts-expect-error an empty set of probes is never healthy
refused("no parts", () => Probe.all("none", []))
// @ts-expect-error nor is any of none
refused("no alternatives", () => Probe.any("none", []))

/* ---- components ------------------------------------------------------------------------- */
export const gateway = Component.make(
  { name: "gateway", probes: [F.port, F.memory, F.pairing] },
  {
    PortHeld: [
      F.killOwner,
      F.kill((s) => s.pid),
      Remediator.make({
        id: "inline",
        description: "sees the signature",
        blastRadius: "file",
        reversible: true,
        apply: (s) => Effect.log(s.pid, s.port)
      })
    ],
    NotListening: [F.restart("gateway"), F.restore],
    OutOfMemory: [F.restart("gateway")],
    PairingRequired: Component.escalate("a human approves the device")
  }
)
same(gateway)<
  Component.Component<
    F.PortHeld | F.NotListening | F.OutOfMemory | F.PairingRequired,
    F.Net | F.Processes | F.Snapshots
  >
>()

// Neither a remedy nor a probe that needs anything: nothing is needed.
same(Component.make({ name: "x", probes: [F.memory] }, { OutOfMemory: Component.observe("it is known") }))<
  Component.Component<F.OutOfMemory>
>()
// The lifecycle's services count as well.
same(
  Component.make(
    { name: "x", probes: [F.port], lifecycle: F.Life.use((life) => life.now) },
    { PortHeld: Component.escalate("a stranger"), NotListening: [F.restore] }
  )
)<Component.Component<F.PortHeld | F.NotListening, F.Net | F.Life | F.Snapshots>>()

refused("missing rungs", () =>
  Component.make(
    { name: "x", probes: [F.port, F.memory, F.pairing] },
    // @ts-expect-error OutOfMemory and PairingRequired are neither treated nor escalated
    { PortHeld: [F.killOwner], NotListening: [F.restart("gateway")] }
  )
)
refused("no runbook at all", () =>
  // @ts-expect-error nothing is answered
  Component.make({ name: "x", probes: [F.memory] }, {})
)
refused("dead rung", () =>
  Component.make(
    { name: "x", probes: [F.port] },
    {
      PortHeld: [F.killOwner],
      NotListening: [F.restart("gateway")],
      // @ts-expect-error no probe reports it
      OutOfMemory: [F.restart("gateway")]
    }
  )
)
refused("misspelt rung", () =>
  Component.make(
    { name: "x", probes: [F.port] },
    // @ts-expect-error NotListning
    { PortHeld: [F.killOwner], NotListning: [F.restart("gateway")] }
  )
)
const ghosts = { PortHeld: [F.killOwner], NotListening: [F.restart("x")], OutOfMemory: [F.restart("x")] } as const
refused("dead rung through a variable", () =>
  Component.make(
    { name: "x", probes: [F.port] },
    // @ts-expect-error no probe reports OutOfMemory
    ghosts
  )
)
refused("dead rung through a spread", () =>
  Component.make(
    { name: "x", probes: [F.port] },
    // @ts-expect-error no probe reports OutOfMemory
    { ...ghosts, PortHeld: [F.killOwner] }
  )
)
refused("dead escalation", () =>
  Component.make(
    { name: "x", probes: [F.memory] },
    {
      OutOfMemory: [F.restore],
      // @ts-expect-error an explicit answer to what is never reported is dead as well
      QueueStuck: Component.escalate("never")
    }
  )
)
refused("empty ladder", () =>
  Component.make(
    { name: "x", probes: [F.port] },
    {
      PortHeld: [F.killOwner],
      // @ts-expect-error an empty ladder is not an answer
      NotListening: []
    }
  )
)
refused("undefined", () =>
  Component.make(
    { name: "x", probes: [F.port] },
    {
      PortHeld: [F.killOwner],
      // @ts-expect-error undefined is not an answer
      NotListening: undefined
    }
  )
)
refused("an answer that is none", () =>
  Component.make(
    { name: "x", probes: [F.memory] },
    {
      // @ts-expect-error a remedy stands in a ladder
      OutOfMemory: F.restart("x")
    }
  )
)
refused("the timeout of a combinator", () =>
  // @ts-expect-error Probe/Timeout needs an answer too
  Component.make({ name: "x", probes: [Probe.withTimeout(F.memory, "1 second")] }, { OutOfMemory: [F.restart("x")] })
)
refused("the second probe", () =>
  // @ts-expect-error QueueStuck has no answer
  Component.make({ name: "x", probes: [F.memory, F.queue] }, { OutOfMemory: [F.restart("x")] })
)
refused("the part of a combined probe", () =>
  // @ts-expect-error QueueStuck has no answer
  Component.make({ name: "x", probes: [Probe.all("both", [F.memory, F.queue])] }, { OutOfMemory: [F.restart("x")] })
)

// What only the compiler can refuse: the wrong fields.
Component.make(
  { name: "x", probes: [F.port] },
  {
    PortHeld: [F.killOwner],
    // @ts-expect-error this signature has no pid
    NotListening: [F.killOwner]
  }
)
Component.make(
  { name: "x", probes: [F.memory] },
  {
    // @ts-expect-error nor does any step of a sequence see one
    OutOfMemory: [Remediator.sequence(F.killOwner, F.restart("x"))]
  }
)

const widened: ReadonlyArray<Probe.Any> = [F.memory]
refused("widened signatures", () =>
  // @ts-expect-error with any string for a tag every runbook would be exhaustive
  Component.make({ name: "x", probes: widened }, {})
)
refused("widened signatures with rungs", () =>
  // @ts-expect-error none of them is known to be reported
  Component.make({ name: "x", probes: widened }, { PortHeld: Component.observe("?") })
)

/* ---- presets are open data, spread is their extension ------------------------------------ */
const { preset } = F
same(Component.make({ name: "a", probes: preset.probes }, preset.runbook))<
  Component.Component<
    F.PortHeld | F.NotListening | F.OutOfMemory | F.PairingRequired,
    F.Net | F.Processes | F.Snapshots
  >
>()
// Overriding the rung that needed Snapshots drops the need.
same(
  Component.make({ name: "a", probes: preset.probes }, { ...preset.runbook, NotListening: [F.kill((s) => s.port)] })
)<Component.Component<F.PortHeld | F.NotListening | F.OutOfMemory | F.PairingRequired, F.Net | F.Processes>>()
refused("a probe added to a preset", () =>
  // @ts-expect-error QueueStuck has no answer
  Component.make({ name: "a", probes: [...preset.probes, F.queue] }, preset.runbook)
)
Component.make(
  { name: "a", probes: [...preset.probes, F.queue] },
  { ...preset.runbook, QueueStuck: [F.kill((s) => s.length)] }
)

/* ---- what is needed is given by layers ---------------------------------------------------- */
const run = <const C extends ReadonlyArray<Component.Any>>(
  ..._components: C
): Effect.Effect<void, never, Component.Services<C[number]>> => Effect.void
const other = Component.make({ name: "o", probes: [F.memory] }, { OutOfMemory: [F.restore] })
const net = Layer.succeed(F.Net, { owner: () => Effect.succeed(1) })
const everything = Layer.mergeAll(
  net,
  Layer.succeed(F.Processes, { kill: () => Effect.void, restart: () => Effect.void }),
  Layer.succeed(F.Snapshots, { restore: Effect.void })
)
same(run(gateway, other).pipe(Effect.provide(everything)))<Effect.Effect<void>>()
same(run(gateway, other).pipe(Effect.provide(net)))<Effect.Effect<void, never, F.Processes | F.Snapshots>>()
same(run(other))<Effect.Effect<void, never, F.Snapshots>>()
// Made in place, where any component will do, it needs no more than it needs.
same(run(Component.make({ name: "o", probes: [F.memory] }, { OutOfMemory: [F.restore] })))<
  Effect.Effect<void, never, F.Snapshots>
>()
export const list: ReadonlyArray<Component.Any> = [gateway, other]

/* ---- steps ------------------------------------------------------------------------------- */
same(Remediator.sequence(F.killOwner, F.restore))<
  Remediator.Remediator<{ readonly pid: number }, F.Processes | F.Snapshots>
>()
same(
  Remediator.make({
    id: "both",
    description: "needs both",
    blastRadius: "file",
    reversible: true,
    precondition: (_signature: F.PortHeld) => Effect.asVoid(F.Net.use((one) => one.owner(1))),
    apply: () => F.Snapshots.use((snapshots) => snapshots.restore)
  })
)<Remediator.Remediator<F.PortHeld, F.Net | F.Snapshots>>()
