import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Equal from "effect/Equal"
import * as Schema from "effect/Schema"

import * as ProcessExit from "../src/ProcessExit.ts"

describe("ProcessExit", () => {
  it("tells codes, signals and failed spawns apart", () => {
    const phrases: ReadonlyArray<readonly [ProcessExit.ProcessExit, string]> = [
      [new ProcessExit.Exited({ code: 0 }), "exited with code 0"],
      [new ProcessExit.Signaled({ signal: "SIGTERM", by: "us" }), "ended by SIGTERM, sent by its supervisor"],
      [new ProcessExit.Signaled({ signal: "SIGKILL", by: "unknown" }), "ended by SIGKILL, sent by somebody else"],
      [new ProcessExit.SpawnFailed({ code: "ENOENT", command: "webb" }), "could not be started: ENOENT webb"],
      [new ProcessExit.OomKilled({ countedIn: "cgroup" }), "killed by the kernel: its memory ran out"],
      [
        new ProcessExit.OomKilled({ countedIn: "machine" }),
        "killed, most likely by the kernel: the machine's memory ran out"
      ],
      [
        new ProcessExit.MemoryLimit({ limit: 2 ** 20, used: 3 * 2 ** 20 }),
        "ended by its supervisor: 3 MiB of memory, 1 MiB allowed"
      ],
      [new ProcessExit.CpuLimit({ limit: 50, used: 99.6 }), "ended by its supervisor: 100 % of a core, 50 % allowed"],
      [new ProcessExit.LivenessFailed({ why: "no heartbeat for 3s" }), "ended by its supervisor: no heartbeat for 3s"],
      [
        new ProcessExit.ReadinessTimeout({ after: Duration.seconds(10) }),
        "ended by its supervisor: not ready within 10s"
      ],
      [
        new ProcessExit.PortHeld({ port: 80, pid: 7, command: "nginx" }),
        "not started: port 80 is held by process 7 (nginx)"
      ],
      [new ProcessExit.PortHeld({ port: 80 }), "not started: port 80 is held by somebody who cannot be seen"],
      [new ProcessExit.StopRequested({ by: "request", code: 0 }), "stopped on request"],
      [new ProcessExit.StopRequested({ by: "group" }), "stopped with its group"],
      [new ProcessExit.Recycled({ why: "Cron" }), "replaced: it was time"],
      [new ProcessExit.AdoptedUnknown({}), "ended; nobody saw how, as an earlier supervisor had started it"]
    ]
    for (const [exit, phrase] of phrases) assert.strictEqual(ProcessExit.describe(exit), phrase)
  })

  it.prop("goes through JSON", [ProcessExit.ProcessExit], ([exit]) => {
    const codec = Schema.toCodecJson(ProcessExit.ProcessExit)
    const wire: unknown = JSON.parse(JSON.stringify(Schema.encodeSync(codec)(exit)))
    // Not `deepStrictEqual`: JSON has no -0.
    assert.isTrue(Equal.equals(Schema.decodeUnknownSync(codec)(wire), exit))
  })
})
