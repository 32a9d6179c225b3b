import { assert, describe, it } from "@effect/vitest"
import * as Equal from "effect/Equal"
import * as Schema from "effect/Schema"

import * as ProcessExit from "../src/ProcessExit.ts"

describe("ProcessExit", () => {
  it("tells codes, signals and failed spawns apart", () => {
    const phrases: ReadonlyArray<readonly [ProcessExit.ProcessExit, string]> = [
      [new ProcessExit.Exited({ code: 0 }), "exited with code 0"],
      [new ProcessExit.Signaled({ signal: "SIGTERM", by: "us" }), "ended by SIGTERM, sent by its supervisor"],
      [new ProcessExit.Signaled({ signal: "SIGKILL", by: "unknown" }), "ended by SIGKILL, sent by somebody else"],
      [new ProcessExit.SpawnFailed({ code: "ENOENT", command: "webb" }), "could not be started: ENOENT webb"]
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
