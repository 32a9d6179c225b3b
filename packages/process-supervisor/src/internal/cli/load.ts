/** The file that says what is to run: one of PM2's, or one of our own. */
import * as Path from "node:path"
import { pathToFileURL } from "node:url"

import { OptionError } from "@nexobot/core/Options"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"

import type * as Ecosystem from "../../Ecosystem.ts"
import * as Group from "../../Group.ts"
import * as ProcessSpec from "../../ProcessSpec.ts"
import * as SelfWatching from "../../SelfWatching.ts"
import { CommandFailed } from "./failure.ts"
import type { Words } from "./words.ts"

export interface Loaded {
  readonly file: string
  readonly members: ReadonlyArray<Group.Member<unknown>>
  /** Of a file of PM2's. */
  readonly ecosystem: Ecosystem.Ecosystem | undefined
  /** Whose own command watches files. */
  readonly selfWatching: Ecosystem.Ecosystem["selfWatching"]
  /** As the file says, or by its folder. */
  readonly id: string
  /** What else it says of the supervisor. */
  readonly options: object
}

const idOf = (folder: string): string => Path.basename(folder).replace(/[^\w.-]+/g, "-") || "nexo"

const textOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

const fail = (file: string, why: string) => new CommandFailed({ message: `${file}: ${why}` })

/** A constructor says by itself which option of which module is wrong; here also in which file. */
export const attempt = <A>(file: string, f: () => A): Effect.Effect<A, CommandFailed> =>
  Effect.try({
    try: f,
    catch: (cause) => {
      if (!(cause instanceof OptionError)) throw cause
      return fail(file, cause.message)
    }
  })

/** The same files wherever the command is called; what is no text is left to whoever checks it. */
const placed = (folder: string, given: object) => {
  const from = (of: object, paths: ReadonlyArray<string>) =>
    Object.fromEntries(
      Object.entries(of).map(([name, value]: [string, unknown]) => [
        name,
        paths.includes(name) && typeof value === "string" && value !== "" ? Path.resolve(folder, value) : value
      ])
    )
  const { log, ...options } = from({ cwd: folder, ...given }, ["cwd", "envFile"])
  return { ...options, ...(Predicate.isObject(log) ? { log: from(log, ["file", "errorFile"]) } : { log }) }
}

const memberOf =
  (folder: string) =>
  (options: unknown): Group.Member<unknown> => {
    if (!Predicate.hasProperty(options, "members") || !Array.isArray(options.members)) {
      // The constructor checks each field, whatever it is given.
      const from = Predicate.isObject(options) ? placed(folder, options) : options
      return ProcessSpec.make(from as ProcessSpec.SpecOptions) // oxlint-disable-line typescript/no-unsafe-type-assertion
    }
    const group = { ...options, members: options.members.map(memberOf(folder)) }
    return Group.make(group as never) // oxlint-disable-line typescript/no-unsafe-type-assertion
  }

/** A module that exports `{ id?, processes, strategy?, intensity? }`; it is the user's own, and runs in this process. */
const own = Effect.fnUntraced(function* (file: string): Effect.fn.Return<Loaded, CommandFailed> {
  const module: unknown = yield* Effect.tryPromise({
    try: (): Promise<unknown> => import(pathToFileURL(file).href),
    catch: (cause) => fail(file, textOf(cause))
  })
  const exported = Predicate.hasProperty(module, "default") ? module.default : undefined
  if (!Predicate.hasProperty(exported, "processes") || !Array.isArray(exported.processes)) {
    return yield* fail(file, "its default export must be { processes: [{ name, command, … }] }")
  }
  const { id, processes, ...options } = { id: undefined, ...exported }
  if (id !== undefined && typeof id !== "string") return yield* fail(file, "id must be a text")
  const listed: ReadonlyArray<unknown> = Array.isArray(processes) ? processes : []
  const folder = Path.dirname(file)
  const members = yield* attempt(file, () => listed.map(memberOf(folder)))
  return {
    file,
    members,
    ecosystem: undefined,
    selfWatching: members.flatMap(specsOf).flatMap(({ args, command, cwd = folder, name }) => {
      const found = SelfWatching.detect({ command, args, cwd })
      return found === undefined ? [] : [Object.assign({ app: name }, found)]
    }),
    id: id ?? idOf(folder),
    options
  }
})

const ecosystem = Effect.fnUntraced(function* (file: string, { env, inherit = [] }: Pick<Words, "env" | "inherit">) {
  const { read: readFile } = yield* Effect.promise(() => import("../../Ecosystem.ts"))
  const read = yield* attempt(file, () =>
    readFile(file, { inheritEnv: inherit, ...(env === undefined ? {} : { env }) })
  )
  const found = yield* read
  return {
    file,
    members: yield* attempt(file, () => found.apps.map((app) => ProcessSpec.make(app))),
    ecosystem: found,
    selfWatching: found.selfWatching,
    id: idOf(Path.dirname(file)),
    options: {}
  } satisfies Loaded
})

/** Reads the file; fails before anything is started. */
export const load = Effect.fnUntraced(function* (
  words: Pick<Words, "operands" | "env" | "inherit">
): Effect.fn.Return<Loaded, CommandFailed | Ecosystem.EcosystemError> {
  const file = Path.resolve(words.operands[0] ?? "")
  if (!Path.basename(file).startsWith("nexo.config.")) return yield* ecosystem(file, words)
  // It runs in this process, whose variables it finds.
  const stray = (["env", "inherit"] as const).find((option) => words[option] !== undefined)
  if (stray !== undefined) return yield* fail(file, `--${stray} is for ecosystem files`)
  return yield* own(file)
})

const specsOf = (member: Group.Member<unknown>): ReadonlyArray<ProcessSpec.ProcessSpec<unknown>> =>
  Group.isGroup(member) ? member.members.flatMap(specsOf) : [member]

/** A member and its members' names. */
export const namesOf = (member: Group.Member<unknown>): ReadonlyArray<string> =>
  Group.isGroup(member) ? [member.name, ...member.members.flatMap(namesOf)] : [member.name]

/** The members with these names, and the groups around them as far as they still have members. */
export const onlyThese = (
  members: ReadonlyArray<Group.Member<unknown>>,
  names: ReadonlyArray<string>
): ReadonlyArray<Group.Member<unknown>> =>
  members.flatMap((member) => {
    if (names.includes(member.name)) return [member]
    if (!Group.isGroup(member)) return []
    const inside = onlyThese(member.members, names)
    return inside.length === 0 ? [] : [{ ...member, members: inside }]
  })
