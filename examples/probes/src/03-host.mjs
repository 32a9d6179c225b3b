/** This machine: its memory, its disk, and the keys in the environment. Nothing is shown of a key, whatever is wrong. */
import * as Probe from "@nexobot/core/Probe"
import { DiskProbe, EnvironmentProbe, MemoryProbe } from "@nexobot/probes"
import { check } from "@nexobot/probes/promise"

const keys = EnvironmentProbe.make({
  name: "keys",
  variables: { GROQ_API_KEY: { pattern: EnvironmentProbe.patterns.groq } },
  env: { GROQ_API_KEY: '"gsk_copied with its quotes"' }
})
const machine = Probe.all("machine", [
  MemoryProbe.make({ name: "memory", unhealthyAt: 0.99 }),
  DiskProbe.make({ name: "disk", path: ".", minFree: 1_000_000 })
])

for (const probe of [machine, keys]) console.log(`${probe.name}:`, await check(probe))
