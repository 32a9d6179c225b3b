import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

import { describe, expect, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"

import { eventually, refusal } from "../../testing/src/Expect.ts"
import * as TestFolder from "../../testing/src/TestFolder.ts"
import { changes, open } from "../src/internal/watch/changes.ts"
import * as Watch from "../src/Watch.ts"

const write = (folder: string, name: string, text = name) => {
  Fs.mkdirSync(Path.dirname(Path.join(folder, name)), { recursive: true })
  Fs.writeFileSync(Path.join(folder, name), text)
}

/** Watches a folder of a test; gives the bursts as they come. */
const watching = Effect.fnUntraced(function* (
  folder: string,
  options: Watch.WatchOptions = {},
  never: ReadonlyArray<string> = []
) {
  const stream = yield* open(Watch.make({ debounce: "150 millis", ...options }), folder, never)
  const bursts = yield* Queue.unbounded<ReadonlyArray<string>>()
  yield* Effect.forkScoped(Stream.runForEach(stream, (paths) => Queue.offer(bursts, paths)))
  return bursts
})

/** These change, in one burst or, on a busy machine, in more; and nothing else. */
const expectChanged = Effect.fnUntraced(function* (
  bursts: Queue.Queue<ReadonlyArray<string>>,
  names: ReadonlyArray<string>
) {
  const seen = new Set<string>()
  while (!names.every((name) => seen.has(name))) for (const path of yield* Queue.take(bursts)) seen.add(path)
  expect([...seen].toSorted()).toEqual(names)
})

let sentinels = 0

/** What came before would have been seen before this. */
const nothingButA = (folder: string, bursts: Queue.Queue<ReadonlyArray<string>>) => {
  sentinels += 1
  const name = `sentinel-${sentinels}.ts`
  write(folder, name)
  return expectChanged(bursts, [name])
}

const watches = () => process.getActiveResourcesInfo().filter((one) => one === "FSEventWrap").length

describe("Watch", () => {
  it("has defaults, and refuses what cannot be meant", () => {
    expect(Watch.make()).toMatchObject({ paths: ["."], ignore: [], gitignore: true })
    expect(Watch.make({ paths: ["app/[id]"] }).paths).toEqual(["app/[id]"])
    // @ts-expect-error misspelt
    expect(refusal(() => Watch.make({ path: ["."] })).option).toBe("path")
    expect(refusal(() => Watch.make({ paths: [] })).option).toBe("paths")
    expect(refusal(() => Watch.make({ paths: ["src/**/*.ts"] })).option).toBe("paths[0]")
    // @ts-expect-error a text
    expect(refusal(() => Watch.make({ ignore: "*.md" })).option).toBe("ignore")
    expect(refusal(() => Watch.make({ ignore: [""] })).option).toBe("ignore[0]")
    expect(refusal(() => Watch.make({ debounce: 1 })).option).toBe("debounce")
    expect(refusal(() => Watch.make({ debounce: "1 hour" })).option).toBe("debounce")
    // @ts-expect-error a text
    expect(refusal(() => Watch.make({ gitignore: "no" })).option).toBe("gitignore")
  })

  it.live("a burst of 1,000 files is one change", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const bursts = yield* watching(folder, { debounce: "1500 millis" })
      const names = Array.from({ length: 1000 }, (_, index) => `src/${index % 10}/${index}.ts`)
      for (const name of names) write(folder, name)
      expect(yield* Queue.take(bursts)).toEqual(names.toSorted())
      yield* nothingButA(folder, bursts)
    })
  )

  it.live("changed, new and deleted files are changes, whoever writes them", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      for (const name of ["a.ts", "b.ts", "deep/c.ts"]) write(folder, name, "1")
      const bursts = yield* watching(folder)
      write(folder, "a.ts", "2")
      yield* expectChanged(bursts, ["a.ts"])
      Fs.rmSync(Path.join(folder, "b.ts"))
      yield* expectChanged(bursts, ["b.ts"])
      write(folder, "deep/new/d.ts")
      yield* expectChanged(bursts, ["deep/new/d.ts"])
      // As editors do: a copy beside it, renamed over it. Twice, as the watched inode is another one then.
      for (const text of ["3", "4"]) {
        write(folder, ".a.ts.tmp", text)
        Fs.renameSync(Path.join(folder, ".a.ts.tmp"), Path.join(folder, "a.ts"))
        yield* expectChanged(bursts, ["a.ts"])
      }
      write(folder, "a.ts", "5")
      yield* expectChanged(bursts, ["a.ts"])
    })
  )

  it.live("what came and went is no change", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      // So long that it is seen to come and to go within one burst.
      const bursts = yield* watching(folder, { debounce: "1 second" })
      write(folder, "copy")
      yield* Effect.sleep("300 millis")
      Fs.rmSync(Path.join(folder, "copy"))
      yield* nothingButA(folder, bursts)
    })
  )

  it.live("what .gitignore leaves out changes nothing, nor do tools' own files", () =>
    Effect.gen(function* () {
      const top = yield* TestFolder.make
      const folder = Path.join(top, "app")
      Fs.mkdirSync(Path.join(top, ".git"))
      write(top, ".gitignore", "dist/\n*.tmp\n/app/only-here\nlogs/\n*.bak\n")
      write(folder, "nested/.gitignore", "generated.ts\n!keep.tmp\n!logs/\n")
      for (const name of ["dist/a.js", "nested/x.ts", "node_modules/m/i.js", "logs/a.txt"]) write(folder, name)
      const bursts = yield* watching(folder)
      const ignored = [
        "dist/a.js",
        "dist/b/c.js",
        "a.tmp",
        "only-here",
        "nested/generated.ts",
        "logs/a.txt",
        "nested/logs/a.bak"
      ]
      for (const name of [...ignored, "nested/deep/generated.ts", "node_modules/m/i.js", "app.log", "app.log.1"]) {
        write(folder, name, "changed")
      }
      for (const name of [".x.ts.swp", "x.ts~", ".git/HEAD", "nested/node_modules/m.js"]) write(folder, name)
      yield* nothingButA(folder, bursts)
      write(folder, "nested/keep.tmp")
      write(folder, "nested/logs/b.txt")
      write(folder, "nested/only-here")
      yield* expectChanged(bursts, ["nested/keep.tmp", "nested/logs/b.txt", "nested/only-here"])
      // Rules that change count from then on.
      write(folder, "nested/.gitignore", "generated.ts\nx.ts\n")
      yield* expectChanged(bursts, ["nested/.gitignore"])
      write(folder, "nested/x.ts", "changed")
      yield* nothingButA(folder, bursts)
    })
  )

  it.live("gitignore: false heeds none, ignore is heeded always", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      write(folder, ".gitignore", "dist/\n")
      const bursts = yield* watching(folder, { gitignore: false, ignore: ["*.md", "/docs/", "!KEEP.md"] })
      for (const name of ["README.md", "docs/a.ts", "src/b.md"]) write(folder, name)
      yield* nothingButA(folder, bursts)
      write(folder, "dist/a.js")
      write(folder, "KEEP.md")
      write(folder, "src/docs/a.ts")
      yield* expectChanged(bursts, ["KEEP.md", "dist/a.js", "src/docs/a.ts"])
    })
  )

  it.live("never looks at the supervisor's log and state files", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const never = [Path.join(folder, "out.txt"), Path.join(folder, "state"), "relative.json"]
      const bursts = yield* watching(folder, { gitignore: false }, never)
      for (const name of ["out.txt", "out.txt.1", "out.txt.2.gz", "state/a/b", "relative.json"]) write(folder, name)
      yield* nothingButA(folder, bursts)
      for (const name of ["out.txts", "out.txt.ts", "state.ts"]) write(folder, name)
      yield* expectChanged(bursts, ["out.txt.ts", "out.txts", "state.ts"])
    })
  )

  it.live("says that nothing can be watched where the supervisor has its own files", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      for (const never of [folder, Path.dirname(folder)]) {
        const error = yield* Effect.flip(open(Watch.make(), folder, [never]))
        expect(error.message).toContain(`the supervisor has its own files in ${never}`)
      }
    })
  )

  it.live("watches only the paths that it is given, files and folders elsewhere too", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      for (const name of ["app/config.json", "app/dist/a.js", "lib/a.ts", "app/x.ts"]) write(folder, name)
      write(folder, ".gitignore", "dist/\n")
      const cwd = Path.join(folder, "app")
      const bursts = yield* watching(cwd, { paths: ["config.json", "../lib", "dist"] })
      write(folder, "app/x.ts", "changed")
      write(folder, "lib/a.ts", "changed")
      yield* expectChanged(bursts, ["../lib/a.ts"])
      write(folder, "app/dist/a.js", "changed")
      yield* expectChanged(bursts, ["dist/a.js"])
      for (const text of ["1", "2"]) {
        write(folder, "app/config.json.new", text)
        Fs.renameSync(Path.join(cwd, "config.json.new"), Path.join(cwd, "config.json"))
        yield* expectChanged(bursts, ["config.json"])
      }
    })
  )

  it.live("bursts become one while nobody takes them", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const stream = yield* open(Watch.make({ debounce: "50 millis" }), folder)
      // A second one, which is not busy, tells when a burst is over.
      const others = yield* watching(folder)
      const isBusy = yield* Deferred.make<void>()
      const seen: Array<ReadonlyArray<string>> = []
      yield* stream.pipe(
        Stream.tap((paths) =>
          Effect.andThen(
            Effect.sync(() => seen.push(paths)),
            Deferred.await(isBusy)
          )
        ),
        Stream.runDrain,
        Effect.forkScoped
      )
      write(folder, "a.ts")
      yield* eventually(
        "the first burst",
        Effect.sync(() => seen[0])
      )
      yield* expectChanged(others, ["a.ts"])
      for (const name of ["b.ts", "c.ts", "d.ts"]) {
        write(folder, name)
        yield* expectChanged(others, [name])
      }
      yield* Deferred.succeed(isBusy, undefined)
      yield* eventually(
        "the second burst",
        Effect.sync(() => seen[1])
      )
      expect(seen).toEqual([["a.ts"], ["b.ts", "c.ts", "d.ts"]])
    })
  )

  it.live("says that a folder is missing, at the start and later", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const missing = yield* Effect.flip(Stream.runDrain(changes(Watch.make({ paths: ["no"] }), folder)))
      expect(missing).toMatchObject({ path: Path.join(folder, "no"), reason: { _tag: "Missing" } })
      expect(missing.message).toContain("is not there")
      write(folder, "src/a.ts")
      const stream = yield* open(Watch.make({ paths: ["src"], debounce: "50 millis" }), folder)
      const fiber = yield* Effect.forkScoped(Effect.flip(Stream.runDrain(stream)))
      Fs.rmSync(Path.join(folder, "src"), { recursive: true })
      expect(yield* Fiber.join(fiber)).toMatchObject({ path: Path.join(folder, "src"), reason: { _tag: "Missing" } })
    })
  )

  it.live("leaves no watch behind when it is interrupted", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      for (let index = 0; index < 20; index += 1) write(folder, `${index}/a.ts`)
      const before = watches()
      const fiber = yield* Effect.forkScoped(Stream.runDrain(changes(Watch.make(), folder)))
      yield* eventually(
        "watches",
        Effect.sync(() => (watches() > before + 20 ? true : undefined))
      )
      yield* Fiber.interrupt(fiber)
      yield* eventually(
        "no watches",
        Effect.sync(() => (watches() <= before ? true : undefined))
      )
    })
  )

  // A user namespace has a limit of its own; where none can be had, there is nothing to try it with.
  const namespace = ["-U", "-r", "sh", "-c", "echo 3 > /proc/sys/user/max_inotify_watches"]
  it.live.skipIf(ChildProcess.spawnSync("unshare", namespace).status !== 0)(
    "says that the limit of watches is reached",
    () =>
      Effect.gen(function* () {
        const folder = yield* TestFolder.make
        for (let index = 0; index < 20; index += 1) write(folder, `${index}/a.ts`)
        const script = Path.join(import.meta.dirname, "fixtures/watch-limit.ts")
        const command = `${namespace.at(-1)} && exec "$0" "$@"`
        const { stderr, stdout } = yield* Effect.promise(
          () =>
            new Promise<{ stdout: string; stderr: string }>((resolve) => {
              ChildProcess.execFile(
                "unshare",
                [...namespace.slice(0, -1), command, process.execPath, script, folder],
                { timeout: 20_000 },
                (_, out, err) => resolve({ stdout: out, stderr: err })
              )
            })
        )
        expect(stderr.replace(/.*Warning.*\n/g, "")).toBe("")
        const error: unknown = JSON.parse(stdout)
        expect(error).toMatchObject({ path: folder, reason: { _tag: "LimitReached", code: "ENOSPC" } })
      })
  )
})
