/**
 * What has changed in the files of a process, when it has been quiet for a while.
 */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"

import * as Monotonic from "@nexobot/core/Monotonic"
import type { FSWatcher } from "chokidar"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

import { LimitReached, Missing, Unavailable, WatchError, type WatchSettings } from "../../Watch.ts"
import * as Ignored from "./ignored.ts"

/** Files that change all the time are not waited for any longer. */
const longest = Duration.seconds(30)

const codeOf = (cause: unknown): string | undefined =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : undefined

const errorOf = (path: string, cause: unknown): WatchError => {
  const code = codeOf(cause)
  switch (code) {
    case "ENOSPC":
    case "EMFILE":
    case "ENFILE":
      return new WatchError({ path, reason: new LimitReached({ code }) })
    case "ENOENT":
    case "ENOTDIR":
      return new WatchError({ path, reason: new Missing() })
    default:
      return new WatchError({ path, reason: new Unavailable({ why: code ?? String(cause) }) })
  }
}

/** Only who watches pays for it. */
const load = Effect.tryPromise({
  try: async () => {
    const [{ watch }, { default: ignore }] = await Promise.all([import("chokidar"), import("ignore")])
    return { watch, ignore }
  },
  catch: (cause) => errorOf("chokidar", cause)
})

/** By path: whether it is there now, and was before. What came and went, as an editor's copy does, is no change. */
type Pending = Map<string, { readonly isNew: boolean; isThere: boolean }>

/**
 * Begins to watch; done as soon as no change is missed. The stream gives the paths that have changed, from the working
 * directory on, once for each burst; while nobody takes them, bursts become one. It fails once, with what stopped it.
 *
 * `never` are absolute paths that are not looked at: folders, or files with those that have their name, a dot and a
 * number, such as a log file and those before it.
 */
export const open = Effect.fnUntraced(function* (
  settings: WatchSettings,
  cwd: string,
  never: ReadonlyArray<string> = []
): Effect.fn.Return<Stream.Stream<ReadonlyArray<string>, WatchError>, WatchError, Scope.Scope> {
  const { ignore, watch } = yield* load
  const roots = settings.paths.map((path) => Path.resolve(cwd, path))
  for (const root of roots) {
    const own = never.find((path) => root === path || root.startsWith(`${path}/`))
    if (own !== undefined) {
      const why = `the supervisor has its own files in ${own}, and would restart it for them: give it another state folder`
      return yield* new WatchError({ path: root, reason: new Unavailable({ why }) })
    }
    yield* Effect.tryPromise({ try: () => Fs.stat(root), catch: (cause) => errorOf(root, cause) })
  }
  const ignored = Ignored.make(ignore, {
    cwd,
    roots,
    patterns: settings.ignore,
    gitignore: settings.gitignore,
    never: never.map((path) => Path.resolve(cwd, path))
  })
  const pending: Pending = new Map()
  const ticks = yield* Queue.sliding<void, WatchError>(1)
  const ready = yield* Deferred.make<void, WatchError>()

  const fail = (error: WatchError) => {
    Deferred.doneUnsafe(ready, Effect.fail(error))
    Queue.failCauseUnsafe(ticks, Cause.fail(error))
  }
  const note = (event: string, path: string) => {
    if (event === "unlinkDir" && roots.includes(path)) return fail(new WatchError({ path, reason: new Missing() }))
    // A folder alone is nothing that a program could have read.
    if (event !== "add" && event !== "change" && event !== "unlink") return
    if (Path.basename(path) === ".gitignore") ignored.forget()
    // Rules may have changed since it was begun to be watched.
    if (ignored.ignores(path, false)) return
    const before = pending.get(path)
    const isThere = event !== "unlink"
    if (before === undefined) pending.set(path, { isNew: event === "add", isThere })
    else before.isThere = isThere
    Queue.offerUnsafe(ticks, undefined)
  }
  const start = (): FSWatcher =>
    watch(roots, {
      ignoreInitial: true,
      ignorePermissionErrors: true,
      // Links out of the tree lead to what is not ours, and links up to it never end.
      followSymlinks: false,
      ignored: (path, stats) => ignored.ignores(Path.resolve(path), stats?.isDirectory() === true)
    })
      .on("all", (event, path) => note(event, Path.resolve(path)))
      .on("ready", () => Deferred.doneUnsafe(ready, Effect.void))
      .on("error", (cause) => fail(errorOf(roots.join(", "), cause)))
  yield* Effect.acquireRelease(Effect.sync(start), (watcher) => Effect.promise(() => watcher.close()))
  yield* Deferred.await(ready)

  const quiet = Effect.gen(function* () {
    const began = yield* Monotonic.millis
    while ((yield* Monotonic.millis) - began < Duration.toMillis(longest)) {
      if (Option.isNone(yield* Effect.timeoutOption(Queue.take(ticks), settings.debounce))) return
    }
  })
  const next: Effect.Effect<ReadonlyArray<string>, WatchError> = Effect.gen(function* () {
    for (;;) {
      yield* Queue.take(ticks)
      yield* quiet
      const changed = [...pending].filter(([, { isNew, isThere }]) => !isNew || isThere).map(([path]) => path)
      pending.clear()
      if (changed.length > 0) return changed.map((path) => Path.relative(cwd, path)).toSorted()
    }
  })
  return Stream.fromEffectRepeat(next)
})

/** `open` as a stream. */
export const changes = (
  settings: WatchSettings,
  cwd: string,
  never: ReadonlyArray<string> = []
): Stream.Stream<ReadonlyArray<string>, WatchError> => Stream.unwrap(open(settings, cwd, never))
