/**
 * A pid namespace of its own for each life: with its first process, the program, all others in it end. The program sees
 * itself as process 1.
 */
import * as ChildProcess from "node:child_process"

import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { descendants, isDead, ProcessTable } from "@nexobot/core/ProcessTable"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"

import { alive, type Container, type Life, userFor } from "./container.ts"
import { NotPermitted, ProgramMissing, type Reason, Unsupported } from "./containmentError.ts"
import * as Program from "./program.ts"

type Identity = ProcessIdentity.ProcessIdentity

/** With a `/proc` of its own, or the program would look itself up under the number of another. */
const options = ["--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "slave"]

const missing = new ProgramMissing({ program: "unshare", package: "util-linux" })

/** Whether namespaces can be made here, tried. */
export const check: Effect.Effect<Reason | undefined> = Effect.callback((resume) => {
  if (process.platform !== "linux") {
    return resume(Effect.succeed(new Unsupported({ why: `pid namespaces need Linux; this is ${process.platform}` })))
  }
  const program = Program.find("unshare")
  if (program === undefined) return resume(Effect.succeed(missing))
  const child = ChildProcess.execFile(program, [...options, "--", "/bin/sh", "-c", "exit 0"], (error, _, stderr) => {
    const why = stderr.trim() || error?.message || ""
    resume(Effect.succeed(error === null ? undefined : new NotPermitted({ why })))
  })
  return Effect.sync(() => {
    if (child.pid !== undefined) child.kill("SIGKILL")
  })
})

const userOf = (life: Life): ReadonlyArray<string> => {
  const { uid, gid = uid === undefined ? undefined : process.getegid?.() } = userFor(life)
  return [
    ...(uid === undefined ? [] : [`--setuid=${uid}`]),
    // Only with this does it give up our further groups as well.
    ...(gid === undefined ? [] : [`--setgid=${gid}`])
  ]
}

const poll = Schedule.spaced("5 millis")

const isGone = (identity: Identity) =>
  Effect.repeat(ProcessIdentity.isAlive(identity), { schedule: poll, until: (lives) => !lives }).pipe(
    Effect.timeoutOption("2 seconds"),
    Effect.map(Option.isSome)
  )

const containerOf = (wrap: Container["wrap"]): Container => {
  let child: Identity | undefined
  let first: Identity | undefined
  /** The first process of the namespace: the only child that `unshare` ever has. */
  const findFirst = Effect.gen(function* () {
    if (first !== undefined || child === undefined) return
    const { bootId, pid } = child
    const found = (yield* (yield* ProcessTable).all).find((stat) => stat.parent === pid && !isDead(stat))
    // Asked afterwards: if `unshare` is alive now, its number was nobody else's while the table was read.
    if (found === undefined || !(yield* ProcessIdentity.isAlive(child))) return
    first = { pid: found.pid, startTime: found.startTime, bootId }
  })
  const main = Effect.andThen(
    Effect.ignore(findFirst),
    alive(() => first)
  )
  return {
    tier: "pid-namespace",
    killFile: undefined,
    wrap,
    started: (identity) => {
      child = identity
    },
    main,
    members: main.pipe(
      Effect.flatMap((init) =>
        init === undefined
          ? Effect.succeed([])
          : Effect.map(descendants(init.pid), (below) => [init.pid, ...below.map((stat) => stat.pid)])
      ),
      Effect.orElseSucceed(() => [])
    ),
    kill: Effect.gen(function* () {
      yield* findFirst
      // `unshare` first: a killed child would be an exit code 1, see `endOf`.
      if (child !== undefined) yield* ProcessIdentity.signal(child, "SIGKILL")
      if (first === undefined) return false
      // Where the program runs as another user the kernel has forgotten that it should end with `unshare`.
      yield* ProcessIdentity.signal(first, "SIGKILL")
      // It is dead, be it as a zombie, only when the kernel has ended all others of its namespace.
      return (yield* isGone(first)) && (child === undefined || (yield* isGone(child)))
    }).pipe(Effect.orElseSucceed(() => false)),
    endOf: (end, sent) => (end.code === 1 && sent?.has("SIGKILL") === true ? { code: null, signal: "SIGKILL" } : end),
    oomKills: Effect.undefined,
    release: Effect.void
  }
}

export const make = (life: Life): Container | Reason => {
  const program = Program.find("unshare")
  if (program === undefined) return missing
  return containerOf((command, args) => ({
    command: program,
    args: [...options, ...userOf(life), "--", command, ...args]
  }))
}

/** The container of a process that an earlier supervisor started in a namespace. */
export const adopt = (child: Identity): Container => {
  const container = containerOf((command, args) => ({ command, args }))
  container.started(child)
  return container
}
