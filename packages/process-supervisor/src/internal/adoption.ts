/**
 * What an earlier life of the supervisor left behind: who is taken over, and who is ended. Nobody is touched here.
 *
 * A process is ours when the state file names its very identity, or when it bears our cookie and the supervisor in that
 * is proven dead.
 */
import * as Crypto from "node:crypto"
import * as Path from "node:path"

import type { ProcessIdentity } from "@nexobot/core/ProcessIdentity"
import { isDead, ProcessTable, type ProcessStat, type Unsupported } from "@nexobot/core/ProcessTable"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import * as Cookie from "./cookie.ts"
import type { Remembered } from "./stateFile.ts"
import { ancestryOf, familyOf } from "./tree.ts"

/** What a living process cannot be given anew: with another one of these it is another program. */
export const hashOf = (spec: {
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly cwd: string | undefined
  /** Names only: values may be secrets. */
  readonly env: ReadonlyArray<string>
  readonly inheritEnv?: ReadonlyArray<string>
  readonly envFile?: string | undefined
  readonly uid?: number | undefined
  readonly gid?: number | undefined
  /** On which it listens. */
  readonly port?: number | undefined
  readonly containment?: string
  /** It writes there by itself. */
  readonly log?: { readonly file: string; readonly errorFile?: string | undefined } | undefined
}): string => {
  const { args, command, containment, env, gid, inheritEnv = [], log, port, uid } = spec
  // Relative ones may mean others for a supervisor that was started elsewhere.
  const folder = Path.resolve(spec.cwd ?? ".")
  const files = [spec.envFile, log?.file, log?.errorFile].map((file) =>
    file === undefined ? null : Path.resolve(file)
  )
  const names = [env, inheritEnv].map((some) => [...new Set(some)].toSorted())
  const text = JSON.stringify([command, args, folder, names, files, uid, gid, port, containment])
  return Crypto.createHash("sha256").update(text).digest("hex").slice(0, 32)
}

/** The supervisor that looks, before it has started anything. */
export interface Us {
  readonly id: string
  /** The process in which it runs. */
  readonly supervisor: Pick<ProcessIdentity, "pid" | "startTime">
  /** What is to run now, by name. */
  readonly specs: ReadonlyMap<string, Pick<Remembered, "mode" | "spec">>
}

export interface Left {
  readonly name: string
  readonly identity: ProcessIdentity
}

export interface Found {
  /** Lives, outlives its supervisor, and is what is to run now; one for each name at most. */
  readonly adopt: ReadonlyArray<Remembered>
  /** Of an earlier life and not adopted, with what is below it; nobody who belongs to an adopted one. */
  readonly end: ReadonlyArray<Left>
  /** Remembered, and not there any more: to be forgotten. */
  readonly gone: ReadonlyArray<Remembered>
}

/** Of two lives of one name, the later one. */
const isLater = (one: Remembered, other: Remembered): boolean =>
  one.life === other.life ? one.identity.startTime > other.identity.startTime : one.life > other.life

/** A process, and the marks that it was started with or has inherited. */
interface Marked {
  readonly stat: ProcessStat
  readonly cookie: Cookie.Cookie | undefined
  readonly life: number | undefined
}

const marked = Effect.fnUntraced(function* (stat: ProcessStat): Effect.fn.Return<Marked> {
  const cookie = yield* Cookie.of(stat.pid)
  const life = cookie === undefined ? undefined : yield* Cookie.lifeOf(stat.pid)
  return { stat, cookie, life }
})

/** Whether one may have inherited its marks from the other. */
const mayStemFrom = (one: Marked, other: Marked): boolean => {
  if (one.cookie === undefined || one.stat.startTime < other.stat.startTime) return false
  // Whoever has overwritten its environment, as for a process title, may have had any.
  if (other.cookie === undefined) return true
  return one.life === other.life && Cookie.format(one.cookie) === Cookie.format(other.cookie)
}

/**
 * Looks at everybody who is remembered, as `StateFile.open` gave it, or bears our cookie. Every identity is of the
 * moment, and to be checked again with each signal.
 */
export const find = Effect.fnUntraced(function* (
  earlier: ReadonlyArray<Remembered>,
  us: Us
): Effect.fn.Return<Found, Unsupported> {
  const table = yield* ProcessTable
  const bootId = yield* table.bootId
  const living = (yield* table.all).filter((stat) => !isDead(stat))
  const byPid = new Map(living.map((stat) => [stat.pid, stat]))
  const everybody = new Map<ProcessStat, Marked>()
  for (const stat of living) everybody.set(stat, yield* marked(stat))

  // We may be a part of what a supervisor with our id once ran, such as a shell in it: that is no reason to end it.
  const itself = byPid.get(us.supervisor.pid)
  const above = ancestryOf(byPid, itself)
  const isKin = (one: Marked): boolean => {
    if (above.has(one.stat)) return true
    const self = itself === undefined ? undefined : everybody.get(itself)
    return self?.cookie !== undefined && ancestryOf(byPid, one.stat).has(self.stat) && mayStemFrom(one, self)
  }

  const isForeign = Effect.fnUntraced(function* ({ cookie }: Marked) {
    return cookie !== undefined && !(yield* Cookie.isOurs(cookie, us))
  })

  const gone: Array<Remembered> = []
  const ours: Array<{ readonly entry: Remembered; readonly self: Marked }> = []
  for (const entry of earlier) {
    const { identity } = entry
    const stat = byPid.get(identity.pid)
    const self = stat === undefined ? undefined : everybody.get(stat)
    // A machine that hides its boot id cannot tell whether this is still the same boot.
    const isSameBoot = identity.bootId === bootId && bootId !== ""
    if (self === undefined || !isSameBoot || self.stat.startTime !== identity.startTime) gone.push(entry)
    // A living supervisor's, whatever the file says: its lock was removed by hand, or the folder is a copy.
    else if (yield* isForeign(self)) gone.push(entry)
    else if (!above.has(self.stat)) ours.push({ entry, self })
  }

  const adopted = new Map<string, { readonly entry: Remembered; readonly self: Marked }>()
  for (const one of ours) {
    const { mode, name, spec } = one.entry
    const now = us.specs.get(name)
    const rival = adopted.get(name)
    if (mode !== "survive" || now?.mode !== "survive" || now.spec !== spec) continue
    if (rival === undefined || isLater(one.entry, rival.entry)) adopted.set(name, one)
  }
  const kept = new Set([...adopted.values()].flatMap(({ self }) => familyOf(living, self.stat)))

  const ended = new Map<ProcessStat, string>()
  const end = (name: string, stat: ProcessStat): void => {
    if (!kept.has(stat) && !above.has(stat)) ended.set(stat, name)
  }
  for (const { entry, self } of ours) {
    if (adopted.get(entry.name)?.entry === entry) continue
    for (const stat of familyOf(living, self.stat)) {
      // What it supervises itself is another supervisor's.
      const one = everybody.get(stat)
      if (one !== undefined && !(yield* isForeign(one))) end(entry.name, stat)
    }
  }
  for (const one of everybody.values()) {
    const { cookie } = one
    if (cookie?.id !== us.id || isKin(one) || !(yield* Cookie.isAbandoned(cookie))) continue
    const heir = adopted.get(cookie.name)
    if (heir === undefined || !mayStemFrom(one, heir.self)) end(cookie.name, one.stat)
  }
  return {
    adopt: [...adopted.values()].map(({ entry }) => entry),
    end: [...ended].map(([{ pid, startTime }, name]) => ({ name, identity: { pid, startTime, bootId } })),
    gone
  }
})

const glance = Duration.millis(100)
/** Of so many glances one is a look: a pid that exists may be a zombie, or somebody else's by now. */
const glances = 10

const exists = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch (cause) {
    return !(cause instanceof Error && "code" in cause && cause.code === "ESRCH")
  }
}

/**
 * Ends when an adopted process is gone. It is nobody's child here, so that no event tells: its pid is looked at every 100
 * milliseconds, which takes one system call, and its identity every second.
 */
export const watchExit = Effect.fnUntraced(function* (identity: ProcessIdentity): Effect.fn.Return<void> {
  const table = yield* ProcessTable
  const isGone = table.stat(identity.pid).pipe(
    Effect.map((stat) => stat === undefined || isDead(stat) || stat.startTime !== identity.startTime),
    // What cannot be read just now is not gone.
    Effect.orElseSucceed(() => false)
  )
  for (let round = 0; ; round++) {
    if ((round % glances === 0 || !exists(identity.pid)) && (yield* isGone)) return
    yield* Effect.sleep(glance)
  }
})
