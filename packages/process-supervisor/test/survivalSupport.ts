// What the tests of survival have in common.
import * as Fs from "node:fs"
import * as Path from "node:path"

import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import type * as ProcessSpec from "../src/ProcessSpec.ts"
import { run, stack } from "./stack.ts"
import { eventually, node, supervise, textOf } from "./support.ts"

let ids = 0
export const freshId = () => `survival-${process.pid}-${++ids}`

const Pids = Schema.fromJsonString(Schema.Struct({ main: Schema.Int, stubborn: Schema.Int, escaped: Schema.Int }))

export const given = <A>(value: A | undefined): Effect.Effect<A> =>
  value === undefined ? Effect.die(new Error("it is not there")) : Effect.succeed(value)

/** What the state file says of a process, once it says it. */
export const remembered = (folder: string, id: string, words: string) =>
  eventually(
    `${words} is remembered`,
    Effect.sync(() => {
      const file = Path.join(folder, `${id}.state.json`)
      return Fs.existsSync(file) && Fs.readFileSync(file, "utf8").includes(words) ? true : undefined
    })
  )

export const survivor = { onSupervisorDeath: "survive" } as const

/** An earlier life of a supervisor, which remembers its children when it is killed. */
export const earlier = Effect.fnUntraced(function* (folder: string, id: string) {
  const file = Path.join(folder, "pids")
  const first = yield* stack({
    id,
    stateFolder: folder,
    processes: [
      { name: "keep", ...run("idle.mjs"), ...survivor },
      { name: "tree", ...run("tree.mjs", file), ...survivor, stopGrace: "200 millis" },
      { name: "dies", ...run("idle.mjs") }
    ]
  })
  const pids = yield* Schema.decodeEffect(Pids)(yield* textOf(file))
  for (const one of Object.values(first.children)) yield* remembered(folder, id, `"pid":${one?.pid},`)
  const keep = yield* given(first.children["keep"])
  const dies = yield* given(first.children["dies"])
  return { ...first, keep, dies, pids, file }
})

const kept = node("keep", ["idle.mjs"], survivor)

export const nextLife = (folder: string, id: string, file: string, keep: ProcessSpec.ProcessSpec = kept) =>
  supervise(
    [keep, node("tree", ["tree.mjs", file], { ...survivor, stopGrace: "200 millis" }), node("dies", ["idle.mjs"])],
    { id, stateFolder: folder }
  )
