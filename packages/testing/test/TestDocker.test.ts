import * as Fs from "node:fs"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

import * as TestDocker from "../src/TestDocker.ts"

describe.skipIf(TestDocker.isMissing())("TestDocker", () => {
  it.live("runs containers, and ends with them", () =>
    Effect.gen(function* () {
      const { pid, socket } = yield* Effect.scoped(
        Effect.gen(function* () {
          const daemon = yield* TestDocker.make
          yield* daemon.docker("run", "--detach", "--name", "web", TestDocker.image, "/bin/busybox", "sleep", "600")
          assert.strictEqual((yield* daemon.docker("ps", "--format", "{{.Names}}")).trim(), "web")
          const found = Number(yield* daemon.docker("inspect", "--format", "{{.State.Pid}}", "web"))
          assert.isTrue(Fs.existsSync(`/proc/${found}`))
          return { socket: daemon.socket, pid: found }
        })
      )
      assert.isFalse(Fs.existsSync(socket))
      assert.isFalse(Fs.existsSync(`/proc/${pid}`))
    })
  )
})
