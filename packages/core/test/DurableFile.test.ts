import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"

import { skipWithout } from "../../testing/src/Binary.ts"
import * as DurableFile from "../src/DurableFile.ts"
import { cannotBeNobody, fixture, isRoot, lookAsNobody, skip, temporaryFolder } from "./support.ts"

const place = Effect.map(temporaryFolder, (folder) => Path.join(folder, "state.json"))

const beside = (path: string) => Fs.readdirSync(Path.dirname(path)).toSorted()

const contentOf = (path: string) => Fs.readFileSync(path, "utf8")

describe("replace", () => {
  it.live("makes a file that only its owner may read", () =>
    Effect.gen(function* () {
      const path = yield* place
      yield* DurableFile.replace(path, "new")
      assert.strictEqual(contentOf(path), "new")
      assert.strictEqual(Fs.statSync(path).mode & 0o777, 0o600)
      assert.deepStrictEqual(beside(path), ["state.json"])
    })
  )

  it.live("replaces what is there, and its mode", () =>
    Effect.gen(function* () {
      const path = yield* place
      Fs.writeFileSync(path, "a much longer old content", { mode: 0o644 })
      yield* DurableFile.replace(path, "new")
      assert.strictEqual(contentOf(path), "new")
      assert.strictEqual(Fs.statSync(path).mode & 0o777, 0o600)
      yield* DurableFile.replace(path, "newer", { mode: 0o400 })
      assert.strictEqual(Fs.statSync(path).mode & 0o777, 0o400)
      assert.strictEqual(contentOf(path), "newer")
      assert.deepStrictEqual(beside(path), ["state.json"])
    })
  )

  it.live("writes bytes as they are, and nothing at all", () =>
    Effect.gen(function* () {
      const path = yield* place
      const bytes = Uint8Array.from({ length: 256 }, (_, index) => index)
      yield* DurableFile.replace(path, bytes)
      assert.deepStrictEqual(new Uint8Array(Fs.readFileSync(path)), bytes)
      yield* DurableFile.replace(path, "")
      assert.strictEqual(contentOf(path), "")
    })
  )

  it.live("keeps each of many at once whole, and the last one", () =>
    Effect.gen(function* () {
      const path = yield* place
      const versions = Array.from({ length: 30 }, (_, index) => `${index}`.repeat(10_000 + index))
      yield* Effect.forEach(versions, (version) => DurableFile.replace(path, version), { concurrency: "unbounded" })
      assert.include(versions, contentOf(path))
      assert.deepStrictEqual(beside(path), ["state.json"])
    })
  )

  it.live("is not in the way of what a crash left, whatever pid it had", () =>
    Effect.gen(function* () {
      const path = yield* place
      for (let sequence = 0; sequence < 50; sequence += 1) {
        Fs.writeFileSync(Path.join(Path.dirname(path), `.state.json.${process.pid}.${sequence}.tmp`), "half")
      }
      yield* DurableFile.replace(path, "new")
      assert.strictEqual(contentOf(path), "new")
    })
  )

  it.live("fails with the system's code, and leaves things as they are", () =>
    Effect.gen(function* () {
      const path = yield* place
      const missing = yield* Effect.flip(DurableFile.replace(Path.join(path, "..", "nowhere", "x"), "new"))
      assert.deepStrictEqual([missing._tag, missing.code], ["DurableFileError", "ENOENT"])
      assert.include(missing.message, "nowhere/x: ENOENT")
      Fs.mkdirSync(path)
      const folder = yield* Effect.flip(DurableFile.replace(path, "new"))
      assert.strictEqual(folder.code, "EISDIR")
      Fs.writeFileSync(Path.join(path, "file"), "")
      const below = yield* Effect.flip(DurableFile.replace(Path.join(path, "file", "x"), "new"))
      assert.strictEqual(below.code, "ENOTDIR")
      assert.deepStrictEqual(beside(path), ["state.json"])
    })
  )

  it.live.skipIf(cannotBeNobody())("fails where it may not write", () =>
    Effect.gen(function* () {
      const path = yield* place
      Fs.writeFileSync(path, "old", { mode: 0o644 })
      Fs.chmodSync(Path.dirname(path), 0o755)
      const { failure } = lookAsNobody("DurableFile", `module.replace(${JSON.stringify(path)}, "new")`)
      assert.deepInclude(failure, { _tag: "DurableFileError", code: "EACCES" })
      assert.strictEqual(contentOf(path), "old")
    })
  )

  it.live("leaves the old or the new one, and nothing else, when it is interrupted", () =>
    Effect.gen(function* () {
      const path = yield* place
      Fs.writeFileSync(path, "old")
      const data = "new".repeat(1_000_000)
      for (let turns = 0; turns < 30; turns += 1) {
        const fiber = yield* Effect.forkChild(DurableFile.replace(path, data))
        // As many turns of the event loop as it takes to be in each of its steps once.
        for (let turn = 0; turn < turns; turn += 1) {
          yield* Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))
        }
        yield* Fiber.interrupt(fiber)
        assert.include(["old", data], contentOf(path))
        assert.deepStrictEqual(beside(path), ["state.json"])
      }
    })
  )
})

/** Runs a replacement in a process of its own in which system calls fail. */
const under = (path: string, ...args: ReadonlyArray<string>) => {
  const { stderr, stdout } = ChildProcess.spawnSync(
    "strace",
    ["-f", "-qq", "-o", "/dev/null", ...args, process.execPath, fixture("replace-file.mjs"), path, "new", "draft"],
    // strace counts the calls of each thread by itself.
    { encoding: "utf8", env: { ...process.env, UV_THREADPOOL_SIZE: "1" } }
  )
  return { said: stdout.trim(), stderr }
}

describe("when the disk fails", () => {
  const without = skipWithout("strace", "apt-get install strace")

  // These calls are made by nothing else in a Node that only reads its modules.
  const faults: ReadonlyArray<readonly [step: string, fault: string, said: string, content: string]> = [
    ["flushing the file", "inject=fsync:error=EIO:when=1", "DurableFileError EIO", "old"],
    ["renaming", "inject=rename,renameat,renameat2:error=EIO", "DurableFileError EIO", "old"],
    ["flushing the folder", "inject=fsync:error=EIO:when=2", "DurableFileError EIO", "new"],
    ["a folder that cannot be flushed", "inject=fsync:error=EINVAL:when=2", "replaced", "new"],
    ["nothing", "inject=fsync:delay_enter=1", "replaced", "new"]
  ]
  for (const [step, fault, said, content] of faults) {
    it.live.skipIf(without)(
      `at ${step}: the ${content} file is there, whole`,
      () =>
        Effect.gen(function* () {
          const path = yield* place
          Fs.writeFileSync(path, "old")
          const calls = "trace=fsync,rename,renameat,renameat2"
          const outcome = under(path, "--seccomp-bpf", "-e", calls, "-e", fault)
          assert.strictEqual(outcome.said, said, outcome.stderr)
          assert.strictEqual(contentOf(path), content)
          assert.deepStrictEqual(beside(path), ["state.json"])
        }),
      60_000
    )
  }

  /** System calls on the new file itself, or on its folder. */
  const faultsOf: ReadonlyArray<readonly ["file" | "folder", fault: string, said: string, content: string]> = [
    // One byte counts as written that is not: the rest follows in a further call.
    ["file", "write,pwrite64:retval=1:when=1", "replaced", "ew"],
    ["file", "write,pwrite64:error=EIO", "DurableFileError EIO", "old"],
    // Node has no name for it.
    ["file", "write,pwrite64:error=EDQUOT", "DurableFileError EDQUOT", "old"],
    ["file", "fsync:error=ENOSPC", "DurableFileError ENOSPC", "old"],
    // Network file systems tell of failed writes only now.
    ["file", "close:error=EIO", "DurableFileError EIO", "old"],
    ["file", "close:error=ENOSPC", "DurableFileError ENOSPC", "old"],
    // Such as of a file marked immutable: not for the folder's sake, where it would be forgiven.
    ["file", "rename,renameat,renameat2:error=EPERM", "DurableFileError EPERM", "old"],
    ["file", "rename,renameat,renameat2:error=EINVAL", "DurableFileError EINVAL", "old"],
    ["file", "fsync:error=EINVAL", "DurableFileError EINVAL", "old"],
    ["folder", "fsync:error=EIO", "DurableFileError EIO", "new"],
    ["folder", "fsync:error=EPERM", "replaced", "new"],
    ["folder", "fsync:error=EOPNOTSUPP", "replaced", "new"],
    ["folder", "close:error=EIO", "DurableFileError EIO", "new"]
  ]
  for (const [of, fault, said, content] of faultsOf) {
    it.live.skipIf(without)(
      `${fault} of the ${of}: ${said}, and ${content} is there`,
      () =>
        Effect.gen(function* () {
          const path = yield* place
          Fs.writeFileSync(path, "old")
          const followed = of === "file" ? path.replace(/state\.json$/, ".state.json.draft.tmp") : Path.dirname(path)
          const outcome = under(path, "-P", followed, "-e", "trace=all", "-e", `inject=${fault}`)
          assert.strictEqual(outcome.said, said, outcome.stderr)
          assert.strictEqual(contentOf(path), content)
          assert.deepStrictEqual(beside(path), ["state.json"])
        }),
      60_000
    )
  }

  it.live.skipIf(without)(
    "is whole, old or new, when it is killed at any step",
    () =>
      Effect.gen(function* () {
        for (const [call, content] of [
          ["fsync:signal=KILL:when=1", "old"],
          // The signal comes before the call.
          ["rename,renameat,renameat2:signal=KILL", "old"],
          ["fsync:signal=KILL:when=2", "new"]
        ] as const) {
          const path = yield* place
          Fs.writeFileSync(path, "old")
          // Not with `--seccomp-bpf`, which is faster: some versions send no signals then.
          assert.strictEqual(under(path, "-e", `inject=${call}`).said, "")
          assert.strictEqual(contentOf(path), content, call)
        }
      }),
    60_000
  )

  const cannotMount =
    skip(!isRoot, "mounting a small disk needs root") ||
    skip(
      ChildProcess.spawnSync("unshare", ["--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).status !== 0,
      "this machine cannot mount a small disk"
    )

  it.live.skipIf(cannotMount)("keeps the old one when the disk is full", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const script = `
        mount -t tmpfs -o size=64k tmpfs ${folder} && printf old > ${folder}/state.json &&
        "$0" ${fixture("replace-file.mjs")} ${folder}/state.json "$(head -c 100000 /dev/zero | tr '\\0' x)" &&
        cat ${folder}/state.json && ls -A ${folder} | wc -l`
      const { stderr, stdout } = ChildProcess.spawnSync("unshare", ["--mount", "sh", "-c", script, process.execPath], {
        encoding: "utf8"
      })
      assert.deepStrictEqual(stdout.trim().split(/\s*\n/), ["DurableFileError ENOSPC", "old1"], stderr)
    })
  )
})

describe("DurableFileError", () => {
  it("carries what the system said", () => {
    const cause = new Error("no space")
    const error = new DurableFile.DurableFileError({ path: "/x", code: "ENOSPC", cause })
    assert.strictEqual(error.message, "could not replace /x: ENOSPC")
    assert.isTrue(Exit.isFailure(Exit.fail(error)))
  })
})
