import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import * as Component from "../src/Component.ts"
import * as Probe from "../src/Probe.ts"
import * as Remediator from "../src/Remediator.ts"
import * as Verdict from "../src/Verdict.ts"

export class PortHeld extends Schema.TaggedClass<PortHeld>()("PortHeld", { pid: Schema.Int, port: Schema.Int }) {}
export class NotListening extends Schema.TaggedClass<NotListening>()("NotListening", { port: Schema.Int }) {}
export class OutOfMemory extends Schema.TaggedClass<OutOfMemory>()("OutOfMemory", { rss: Schema.Int }) {}
export class PairingRequired extends Schema.TaggedClass<PairingRequired>()("PairingRequired", {}) {}
export class QueueStuck extends Schema.TaggedClass<QueueStuck>()("QueueStuck", { length: Schema.Int }) {}

export class Net extends Context.Service<
  Net,
  { readonly owner: (port: number) => Effect.Effect<number | undefined> }
>()("test/Net") {}

export class Processes extends Context.Service<
  Processes,
  {
    readonly kill: (pid: number) => Effect.Effect<void>
    readonly restart: (unit: string) => Effect.Effect<void>
  }
>()("test/Processes") {}

export class Snapshots extends Context.Service<Snapshots, { readonly restore: Effect.Effect<void> }>()(
  "test/Snapshots"
) {}

export class Life extends Context.Service<Life, { readonly now: Effect.Effect<Component.Lifecycle> }>()("test/Life") {}

export const port = Probe.make({
  name: "port",
  reports: [PortHeld, NotListening],
  check: Effect.gen(function* () {
    const owner = yield* Net.use((net) => net.owner(18789))
    if (owner === undefined) return Verdict.unhealthy(new NotListening({ port: 18789 }))
    return owner === 1 ? Verdict.healthy : Verdict.unhealthy(new PortHeld({ pid: owner, port: 18789 }))
  })
})
const fine = Effect.succeed(Verdict.healthy)
export const memory = Probe.make({ name: "memory", reports: [OutOfMemory], check: fine })
export const pairing = Probe.make({ name: "pairing", reports: [PairingRequired], check: fine })
export const queue = Probe.make({ name: "queue", reports: [QueueStuck], check: fine })

const about = { description: "for tests", blastRadius: "process", reversible: true } as const

export const killOwner = Remediator.make({
  ...about,
  id: "kill-owner",
  apply: ({ pid }: { readonly pid: number }) => Processes.use((processes) => processes.kill(pid))
})
export const kill = <S>(pid: (signature: S) => number) =>
  Remediator.make({ ...about, id: "kill", apply: (s: S) => Processes.use((processes) => processes.kill(pid(s))) })
export const restart = (unit: string) =>
  Remediator.make({
    ...about,
    id: `restart ${unit}`,
    apply: () => Processes.use((processes) => processes.restart(unit))
  })
export const restore = Remediator.make({
  ...about,
  id: "restore",
  apply: () => Snapshots.use((snapshots) => snapshots.restore)
})

/** A preset is open data: probes and an exact runbook. */
export const preset = {
  probes: [port, memory, pairing],
  runbook: {
    PortHeld: [killOwner, restart("gateway")],
    NotListening: [restart("gateway"), restore],
    OutOfMemory: [restart("gateway")],
    PairingRequired: Component.escalate("a human approves the device")
  }
} as const
