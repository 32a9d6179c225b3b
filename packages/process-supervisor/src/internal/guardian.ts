/**
 * A small process beside the supervisor that ends its children when it dies without a chance to do that, as by SIGKILL.
 * It waits for the end of a pipe, costs nothing, and is there only when somebody needs it.
 */
import * as ChildProcess from "node:child_process"
import * as Net from "node:net"

import * as Backoff from "@nexobot/core/Backoff"
import type { ProcessIdentity } from "@nexobot/core/ProcessIdentity"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

import { script } from "./guardianScript.ts"

export interface Guardian {
  /**
   * To be told of a child that is not to outlive the supervisor, as soon as it is spawned; `killFile` of its container.
   * It does not wait, and does not fail.
   */
  readonly add: (identity: ProcessIdentity, killFile?: string) => void
  /** To be told that nothing of it is left. */
  readonly remove: (identity: ProcessIdentity) => void
  /** Not all could be ended: what is left is its to end when the supervisor is gone, in good order as it may be. */
  readonly leave: () => void
  /** To be told that other names than before are to survive. */
  readonly update: () => void
  /** `undefined` while there is none. */
  readonly pid: () => number | undefined
}

export interface GuardianOptions {
  readonly id: string
  readonly supervisor: { readonly pid: number; readonly startTime: number }
  /** Names of those that outlive the supervisor. */
  readonly survivors: () => ReadonlyArray<string>
  /** The shell that it is: `/bin/sh` unless told. */
  readonly shell?: readonly [string, ...ReadonlyArray<string>]
}

/** One life of it. */
interface Running {
  readonly pid: number | undefined
  readonly tell: (line: string) => void
  /** As if the supervisor had died. */
  readonly hangUp: () => void
  readonly ended: Deferred.Deferred<void>
  readonly kill: () => void
}

/** Those of supervisors in this process that have ended and left it something to end, by id. */
const left = new Map<string, Running>()

/** What it knows before anybody can see it: were it told that later, a supervisor that dies first would never tell. */
interface Known {
  /** A line for each. */
  readonly children: string
  readonly spared: string
}

const start = ({ id, shell = ["/bin/sh"], supervisor }: GuardianOptions, known: Known): Running => {
  const ended = Deferred.makeUnsafe<void>()
  const end = () => {
    if (left.get(id)?.ended === ended) left.delete(id)
    Deferred.doneUnsafe(ended, Effect.void)
  }
  const [program, ...options] = shell
  try {
    const child = ChildProcess.spawn(
      program,
      [...options, "-c", 'eval "$NEXO_GUARDIAN"', "nexo-guardian", id, `${supervisor.pid}.${supervisor.startTime}`],
      {
        cwd: "/", // it keeps no file system busy
        detached: true, // what ends our session or group does not end it
        // Nothing of ours: who sweeps by the mark of a supervisor above must not find it.
        env: {
          PATH: `${process.env["PATH"] ?? ""}:/usr/bin:/bin`,
          NEXO_GUARDIAN: script,
          NEXO_GUARDIAN_CHILDREN: known.children,
          NEXO_GUARDIAN_SPARED: known.spared
        },
        stdio: ["pipe", "ignore", "ignore"]
      }
    )
    child.once("error", end)
    child.once("exit", end)
    // Gone: `exit` says so as well.
    child.stdin.on("error", () => {})
    child.unref()
    if (child.stdin instanceof Net.Socket) child.stdin.unref()
    return {
      pid: child.pid,
      tell: (line) => {
        child.stdin.write(`${line}\n`)
      },
      hangUp: () => {
        child.stdin.end()
      },
      ended,
      kill: () => {
        if (child.pid !== undefined) child.kill("SIGKILL")
      }
    }
  } catch {
    // Without a free descriptor there is no child, or one without a pipe.
    end()
    return { pid: undefined, tell: () => {}, hangUp: () => {}, ended, kill: () => {} }
  }
}

const backoff = Backoff.exponential({ initial: "100 millis", max: "30 seconds", jitter: "none" })

/** A guardian that lived so long was no failure: somebody ended it. */
const steady = Duration.toNanosUnsafe("10 seconds")

/** In bytes, what of each it is given with its start: Linux lets no variable be longer than 128 KiB. */
const room = 100_000

/**
 * It cannot tell the children of a new supervisor with the same id in the same process from what it is to end: these have
 * to come after it.
 */
const awaitLeft = Effect.fnUntraced(function* (id: string) {
  const earlier = left.get(id)
  if (earlier === undefined) return
  const ended = Deferred.await(earlier.ended)
  yield* Effect.timeoutOption(ended, "10 seconds")
  earlier.kill()
  yield* ended
})

/**
 * It starts with the first child that it is told of. When it is ended it is started anew, and told everything again. It
 * waits until one that was left by a supervisor with this id has done its work.
 */
export const make = Effect.fnUntraced(function* (
  options: GuardianOptions
): Effect.fn.Return<Guardian, never, Scope.Scope> {
  yield* awaitLeft(options.id)
  const children = new Map<number, { readonly startTime: number; readonly line: string }>()
  const wanted = Deferred.makeUnsafe<Running>()
  let running: Running | undefined
  let spared = ""
  let isLeft = false

  const tellNames = (guardian: Running) => {
    const names = options.survivors().join(" ")
    if (names !== spared) guardian.tell(`= ${names}`)
    spared = names
  }
  const launch = (): Running => {
    const names = options.survivors().join(" ")
    spared = Buffer.byteLength(names) < room ? names : ""
    let known = ""
    let free = room
    const others: Array<string> = []
    for (const { line } of children.values()) {
      free -= Buffer.byteLength(line) + 1
      if (free > 0) known += `${line}\n`
      else others.push(line)
    }
    const guardian = start(options, { children: known, spared })
    running = guardian
    tellNames(guardian)
    for (const line of others) guardian.tell(`+ ${line}`)
    return guardian
  }

  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      if (running === undefined) return Effect.void
      const guardian = running
      const { ended, hangUp, kill, tell } = guardian
      const end = Effect.timeoutOption(Deferred.await(ended), "1 second")
      if (isLeft) {
        if (!Deferred.isDoneUnsafe(ended)) left.set(options.id, guardian)
        // It is not waited for any longer here, and goes on.
        return Effect.andThen(Effect.sync(hangUp), end)
      }
      tell("q")
      return end.pipe(Effect.andThen(Effect.sync(kill)), Effect.andThen(end))
    })
  )
  yield* Effect.gen(function* () {
    let guardian = yield* Deferred.await(wanted)
    for (let failures = 0; ; failures++) {
      const since = yield* Clock.monotonicTimeNanos
      yield* Deferred.await(guardian.ended)
      if ((yield* Clock.monotonicTimeNanos) - since > steady) failures = 0
      if (failures > 0) yield* Effect.sleep(backoff.delay(failures - 1, 0))
      yield* Effect.logWarning(
        `the guardian of supervisor "${options.id}" ended, or could not start; it is started anew`
      )
      guardian = launch()
    }
  }).pipe(Effect.forkScoped)

  return {
    add: ({ pid, startTime }, killFile) => {
      const line = `${pid} ${startTime} ${killFile ?? ""}`
      children.set(pid, { startTime, line })
      if (running === undefined) {
        // It is told of all that are known.
        Deferred.doneUnsafe(wanted, Effect.succeed(launch()))
      } else {
        tellNames(running)
        running.tell(`+ ${line}`)
      }
    },
    remove: ({ pid, startTime }) => {
      if (children.get(pid)?.startTime === startTime) children.delete(pid)
      running?.tell(`- ${pid} ${startTime}`)
    },
    leave: () => {
      isLeft = true
    },
    update: () => {
      if (running !== undefined) tellNames(running)
    },
    pid: () => running?.pid
  }
})
