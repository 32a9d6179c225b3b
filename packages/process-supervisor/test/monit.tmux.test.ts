import * as ChildProcess from "node:child_process"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

import * as Binary from "../../testing/src/Binary.ts"
import { eventually } from "../../testing/src/Expect.ts"
import * as TestFolder from "../../testing/src/TestFolder.ts"
import * as ControlSocket from "../src/ControlSocket.ts"
import * as Support from "./controlSupport.ts"

const skip = Binary.skipWithout("tmux", "apt-get install --no-install-recommends tmux")
const cli = fileURLToPath(new URL("../src/cli.ts", import.meta.url))

/** A terminal of 80 × 24 that runs a command of a shell. */
const terminal = Effect.fnUntraced(function* (folder: string, command: string) {
  // A server of its own: nobody else's sessions are touched.
  const tmux = (...args: ReadonlyArray<string>) =>
    ChildProcess.execFileSync("tmux", ["-S", Path.join(folder, "tmux"), ...args], { encoding: "utf8" })
  yield* Effect.acquireRelease(
    Effect.sync(() => tmux("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", command)),
    () => Effect.sync(() => tmux("kill-server"))
  )
  const shows = (text: string | RegExp) =>
    eventually(
      `the terminal shows ${text}`,
      Effect.sync(() => {
        const screen = tmux("capture-pane", "-p")
        return (typeof text === "string" ? screen.includes(text) : text.test(screen)) ? screen : undefined
      })
    )
  return { shows, type: (...keys: ReadonlyArray<string>) => Effect.sync(() => tmux("send-keys", ...keys)) }
})

describe("monit in a real terminal", { skip }, () => {
  it.live("draws, does what keys say, and leaves the terminal as it was", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const fake = yield* Support.make({ memoryLimits: new Map([["backend", 100 * 1_048_576]]) })
      yield* ControlSocket.serve(fake.supervised, folder)
      const { shows, type } = yield* terminal(
        folder,
        `${process.execPath} ${cli} monit --state ${folder}; echo code=$?; stty -a | tr ' ' '\\n' | grep -x -e echo -e icanon; sleep 60`
      )
      const screen = yield* shows("▸ backend")
      for (const line of screen.split("\n")) assert.isAtMost(line.length, 80)
      yield* eventually(
        "it reads",
        Effect.sync(() => (fake.readers() === 1 ? true : undefined))
      )
      fake.log(Support.line("backend", "\u001b[2J\u001b[31mhello\u001b[5;5H there"))
      assert.include(yield* shows("hello there"), "NAME")
      yield* type("Down")
      yield* shows("▸ frontend")
      yield* type("r")
      yield* shows("frontend: restarted")
      yield* type("q")
      const after = yield* shows("icanon")
      assert.include(after, "code=0")
      assert.match(after, /^echo$/m)
      assert.notInclude(after, "NAME")
    })
  )
})
