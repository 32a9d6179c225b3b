#!/usr/bin/env node
/**
 * The command `nexo-supervisor`; `nexo-supervisor --help` says what it does.
 *
 * Exit codes: 0 when it was done, 1 when it was not, 2 when it was not understood, 130 after Ctrl-C in the live view.
 *
 * @since 0.1.0
 */
import { setFlagsFromString } from "node:v8"

import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

import * as Output from "./internal/cli/output.ts"
import * as Words from "./internal/cli/words.ts"
import { plain } from "./internal/terminal/text.ts"

/** Only what a command needs is loaded. */
const dispatch = Effect.fnUntraced(function* (words: Words.Words, output: Output.Output, self: string) {
  switch (words.command) {
    case "run": {
      const { run } = yield* Effect.promise(() => import("./internal/cli/run.ts"))
      return yield* run(words, output, self)
    }
    case "check": {
      const { check } = yield* Effect.promise(() => import("./internal/cli/check.ts"))
      return yield* check(words, output)
    }
    case "monit": {
      const { view } = yield* Effect.promise(() => import("./internal/cli/view.ts"))
      return yield* Effect.scoped(view(words))
    }
    default: {
      const { remote } = yield* Effect.promise(() => import("./internal/cli/remote.ts"))
      return yield* remote(words, output)
    }
  }
})

/**
 * Does what the words after the command's name say; resolves with the exit code. `self` is the file of the command, which
 * `run --monit` runs once more.
 *
 * @category operations
 * @since 0.1.0
 */
export const main = async (
  args: ReadonlyArray<string>,
  self: string,
  output: Output.Output = Output.make(process.stdout, process.stderr)
): Promise<number> => {
  const words = Words.read(args)
  if ("help" in words) {
    output.line(Words.help)
    return 0
  }
  if ("wrong" in words) {
    output.error(`nexo-supervisor: ${plain(words.wrong)}\nnexo-supervisor --help says what there is`)
    return 2
  }
  const exit = await Effect.runPromiseExit(dispatch(words, output, self))
  if (Exit.isSuccess(exit)) return exit.value
  const error = Cause.squash(exit.cause)
  const message = error instanceof Error ? error.message : String(error)
  output.error(
    message
      .split("\n")
      .map((line) => `nexo-supervisor: ${plain(line)}`)
      .join("\n")
  )
  return 1
}

// Where Node.js does not know whether it is, it is too old: better an error than nothing at all.
const isOther = import.meta.main === false // oxlint-disable-line typescript/no-unnecessary-boolean-literal-compare
if (!isOther) {
  // A supervisor has little that is young and much that stays: room that V8 gives to the young ones is a tenth of its
  // memory. Not by the first line of this file: BusyBox, and so Alpine, has no `env -S` that could give options to Node.
  setFlagsFromString("--semi-space-growth-factor=1")
  // Whoever read it has read enough, as `head` does.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE" && process.argv[2] !== "run") process.exit(0)
    })
  }
  process.exitCode = await main(process.argv.slice(2), import.meta.filename)
}
