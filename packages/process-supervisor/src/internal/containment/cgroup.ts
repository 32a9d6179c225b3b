/**
 * A control group of version 2 for each life. Nobody gets out of it by fork, setsid or a clean environment, and the
 * kernel ends all of it in one step.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"

import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"

import { alive, type Container, type Life, userFor } from "./container.ts"
import { Failed, NotDelegated, ProgramMissing, type Reason, Unsupported } from "./containmentError.ts"
import { codeOf, type Place, placeOf } from "./controlGroups.ts"
import * as Program from "./program.ts"

/** The shell's own number is in every group before the program runs; who cannot enter does not run. */
const enter = 'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs" || exit 125; shift; done; shift; exec "$@"'

/**
 * What runs `enter`. Bash hands on every variable; other shells drop those whose names are no names in a shell, such as
 * `log.level`. In privileged mode it reads no file that a variable names.
 */
const shell = (): { readonly command: string; readonly options: ReadonlyArray<string> } => {
  const bash = Program.find("bash")
  return bash === undefined ? { command: "/bin/sh", options: [] } : { command: bash, options: ["-p"] }
}

const canWrite = (path: string): void => Fs.accessSync(path, Fs.constants.W_OK)

/** Where groups can be made; else why not. Moving a process asks for the right to write to the group above, too. */
export const find = (): Place | Reason => {
  const place = placeOf("self")
  if (place instanceof Unsupported) return place
  const path = place.unified
  try {
    canWrite(path)
    canWrite(Path.join(path, "cgroup.procs"))
    return place
  } catch (cause) {
    return new NotDelegated({ path, code: codeOf(cause) })
  }
}

const isThere = (path: string): boolean => Fs.existsSync(path)

const textOf = (path: string): string | undefined => {
  try {
    return Fs.readFileSync(path, "utf8")
  } catch {
    return undefined // gone, with whoever was in it
  }
}

/** A group and all below it, the lowest first. */
const withBelow = (folder: string): ReadonlyArray<string> => {
  try {
    const below = Fs.readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())
    return [...below.flatMap((entry) => withBelow(Path.join(folder, entry.name))), folder]
  } catch {
    return []
  }
}

/** The kernel refuses while a process or another group is in it. */
const removeEmpty = (group: string): void => {
  try {
    Fs.rmdirSync(group)
  } catch {
    // it stays
  }
}

/** Whether it is gone, with all below. */
const remove = (folder: string): boolean => {
  withBelow(folder).forEach(removeEmpty)
  return !isThere(folder)
}

/** Of an earlier supervisor there may be groups of the same name, and survivors in them: they are left alone. */
const mostNamesakes = 100

/** A new, empty group below `parent`. */
const fresh = (parent: string, name: string): string | Failed => {
  let code = "EEXIST"
  for (let attempt = 0; attempt < mostNamesakes; attempt++) {
    const path = Path.join(parent, attempt === 0 ? name : `${name}~${attempt}`)
    try {
      if (isThere(path) && !remove(path)) continue
      // The group above goes with the last one in it, perhaps in this moment.
      if (!isThere(parent)) Fs.mkdirSync(parent)
      Fs.mkdirSync(path)
      return path
    } catch (cause) {
      code = codeOf(cause)
      if (code !== "EEXIST" && code !== "ENOENT") return new Failed({ path, code })
    }
  }
  return new Failed({ path: Path.join(parent, name), code })
}

const write = (path: string, text: string): void => {
  try {
    Fs.writeFileSync(path, text)
  } catch {
    // what it was for is asked afterwards, or had only where it can be
  }
}

const setpriv = (life: Life): ReadonlyArray<string> | ProgramMissing => {
  const { gid, uid } = userFor(life)
  if (uid === undefined && gid === undefined) return []
  const program = Program.find("setpriv")
  if (program === undefined) return new ProgramMissing({ program: "setpriv", package: "util-linux" })
  return [
    program,
    ...(uid === undefined ? [] : [`--reuid=${uid}`]),
    ...(gid === undefined ? [] : [`--regid=${gid}`]),
    "--clear-groups",
    "--"
  ]
}

const poll = Schedule.spaced("5 millis")

/** Asks until it is so, for at most two seconds; a process that is killed may be in a wait for a disk. */
const awaits = <E>(ask: Effect.Effect<boolean, E>): Effect.Effect<boolean, E> =>
  ask.pipe(
    Effect.repeat({ schedule: poll, until: (done) => done }),
    Effect.timeoutOption("2 seconds"),
    Effect.map(Option.isSome)
  )

const membersOf = (folder: string): ReadonlyArray<number> =>
  withBelow(folder).flatMap((group) =>
    (textOf(Path.join(group, "cgroup.procs")) ?? "")
      .split("\n")
      .filter((line) => line !== "")
      .map(Number)
  )

const hasNobody = (folder: string): boolean => {
  const events = textOf(Path.join(folder, "cgroup.events"))
  return events === undefined || /^populated 0$/m.test(events)
}

interface Groups {
  readonly unified: string
  /** Of version 1's memory controller; absent where version 2 has it, or nobody. */
  readonly memory: string | undefined
}

const containerOf = ({ memory, unified }: Groups, wrap: Container["wrap"]): Container => {
  const folders = [unified, ...(memory === undefined ? [] : [memory])]
  const killFile = Path.join(unified, "cgroup.kill")
  let child: ProcessIdentity.ProcessIdentity | undefined
  return {
    tier: "cgroup",
    killFile,
    wrap,
    started: (identity) => {
      child = identity
    },
    main: alive(() => child),
    members: Effect.sync(() => membersOf(unified)),
    kill: Effect.gen(function* () {
      // It may not have entered yet: as long as it is on its way, an empty group proves nothing.
      const left = child !== undefined && (yield* ProcessIdentity.signal(child, "SIGKILL")) ? child : undefined
      write(killFile, "1")
      if (!(yield* awaits(Effect.sync(() => hasNobody(unified))))) return false
      return left === undefined || (yield* awaits(Effect.map(ProcessIdentity.isAlive(left), (lives) => !lives)))
    }).pipe(Effect.orElseSucceed(() => false)),
    endOf: (end) => end,
    oomKills: Effect.sync(() => {
      const counted =
        memory === undefined
          ? textOf(Path.join(unified, "memory.events"))
          : textOf(Path.join(memory, "memory.oom_control"))
      const [, count] = /^oom_kill (\d+)$/m.exec(counted ?? "") ?? []
      return count === undefined ? undefined : Number(count)
    }),
    release: Effect.gen(function* () {
      // While it is alive and not in it, it is on its way.
      if (!hasNobody(unified) || (yield* alive(() => child)) !== undefined) return
      // For a moment after the last one has ended the kernel still takes a group for used.
      yield* awaits(Effect.sync(() => folders.map(remove).every(Boolean)))
      for (const folder of folders) removeEmpty(Path.dirname(folder))
    })
  }
}

const parentOf = (folder: string, id: string): string => Path.join(folder, `nexo-${id}`)

/** What has to be so in a new group; it is there for nothing when it is not. */
const unfit = (group: string): Unsupported | undefined => {
  if (!isThere(Path.join(group, "cgroup.kill"))) {
    return new Unsupported({ why: "this kernel cannot end a control group at once: that came with Linux 5.14" })
  }
  return textOf(Path.join(group, "cgroup.type"))?.trim() === "domain"
    ? undefined
    : new Unsupported({ why: "the control group that the supervisor is in is one of threads" })
}

/** Groups for a life; `memory` is best effort, as only the counting of the kernel's kills depends on it. */
const groupsFor = ({ id, life, memoryLimit, name }: Life): Groups | Reason => {
  const place = find()
  if (!("unified" in place)) return place
  const folder = `${name}.${life}`
  const unified = fresh(parentOf(place.unified, id), folder)
  if (typeof unified !== "string") {
    removeEmpty(Path.dirname(unified.path))
    return unified
  }
  const why = unfit(unified)
  if (why !== undefined) {
    remove(unified)
    removeEmpty(Path.dirname(unified))
    return why
  }
  write(Path.join(Path.dirname(unified), "cgroup.subtree_control"), "+memory")
  const hasMemory = isThere(Path.join(unified, "memory.max"))
  const other = hasMemory || place.memory === undefined ? undefined : fresh(parentOf(place.memory, id), folder)
  const memory = typeof other === "string" ? other : undefined
  if (memoryLimit !== undefined) {
    if (memory !== undefined) write(Path.join(memory, "memory.limit_in_bytes"), String(memoryLimit))
    else if (hasMemory) write(Path.join(unified, "memory.max"), String(memoryLimit))
  }
  return { unified, memory }
}

export const make = (life: Life): Container | Reason => {
  const user = setpriv(life)
  if (user instanceof ProgramMissing) return user
  const groups = groupsFor(life)
  if (!("unified" in groups)) return groups
  const folders = [groups.unified, ...(groups.memory === undefined ? [] : [groups.memory])]
  const { command: program, options } = shell()
  return containerOf(groups, (command, args) => ({
    command: program,
    args: [...options, "-c", enter, "nexo-enter", ...folders, "--", ...user, command, ...args]
  }))
}

/** The folder of a life that this one, of a process, is or is below. */
const lifeIn = (folder: string | undefined, { id, name }: Pick<Life, "id" | "name">): string | undefined => {
  const parts = folder?.split("/") ?? []
  const at = parts.lastIndexOf(`nexo-${id}`)
  return at >= 0 && parts[at + 1]?.startsWith(`${name}.`) === true ? parts.slice(0, at + 2).join("/") : undefined
}

/** The container that a process was started in by an earlier supervisor; `undefined` when it is in none. */
export const adopt = (
  child: ProcessIdentity.ProcessIdentity,
  life: Pick<Life, "id" | "name">
): Container | undefined => {
  const place = placeOf(child.pid)
  if (place instanceof Unsupported) return undefined
  const unified = lifeIn(place.unified, life)
  if (unified === undefined) return undefined
  const container = containerOf({ unified, memory: lifeIn(place.memory, life) }, (command, args) => ({ command, args }))
  container.started(child)
  return container
}

/** Whether groups can be made here, tried. */
export const check: Effect.Effect<Reason | undefined> = Effect.suspend(() => {
  const made = make({ id: `trial-${process.pid}`, name: "trial", life: 0 })
  return "_tag" in made ? Effect.succeed(made) : Effect.as(made.release, undefined)
})

/**
 * Removes the empty groups that earlier supervisors with this id left behind; whoever is in one stays. To be run before
 * the first life is made.
 */
export const removeLeft = (id: string): Effect.Effect<void> =>
  Effect.sync(() => {
    const place = placeOf("self")
    if (place instanceof Unsupported) return
    for (const folder of [place.unified, place.memory]) {
      if (folder === undefined) continue
      const parent = parentOf(folder, id)
      for (const group of withBelow(parent)) removeEmpty(group)
    }
  })
