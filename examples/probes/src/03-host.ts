/** This machine: its memory, its disk, and the keys in the environment. Nothing is shown of a key, whatever is wrong. */
import * as Probe from "@nexobot/core/Probe"
import type * as Verdict from "@nexobot/core/Verdict"
import { DiskProbe, EnvironmentProbe, MemoryProbe } from "@nexobot/probes"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"

const keys = EnvironmentProbe.make({
  name: "keys",
  variables: { GROQ_API_KEY: { pattern: EnvironmentProbe.patterns.groq } },
  env: { GROQ_API_KEY: '"gsk_copied with its quotes"' }
})
const machine = Probe.all("machine", [
  MemoryProbe.make({ name: "memory", unhealthyAt: 0.99 }),
  DiskProbe.make({ name: "disk", path: ".", minFree: 1_000_000 })
])

// Their signatures differ; here it is enough that they have one.
const probes: ReadonlyArray<Probe.Probe<Verdict.Signature>> = [machine, keys]
const program = Effect.forEach(probes, (probe) =>
  Effect.flatMap(probe.check, (verdict) => Console.log(`${probe.name}:`, verdict))
)

await Effect.runPromise(program)
