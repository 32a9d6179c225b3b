import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { parseEnv } from "node:util"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"

import * as TestFolder from "../../testing/src/TestFolder.ts"
import * as TestMount from "../../testing/src/TestMount.ts"
import * as EnvFile from "../src/internal/envFile.ts"
import * as Preflight from "../src/internal/preflight.ts"

const app = (name: string, more: Partial<Preflight.Checked> = {}): Preflight.Checked => ({
  name,
  command: "sh",
  cwd: undefined,
  env: {},
  inheritEnv: ["PATH"],
  envFile: undefined,
  uid: undefined,
  gid: undefined,
  containment: "group",
  log: undefined,
  ...more
})

/** Of one process: which option is wrong, and why. */
const wrong = (more: Partial<Preflight.Checked>) =>
  Effect.map(Preflight.check([app("web", more), app("other")]), (bad) => {
    // One bad one is no reason for another.
    assert.isFalse(bad.has("other"))
    return (bad.get("web") ?? []).map(({ code, field, reason }) => [field, reason._tag, code])
  })

/** Of one that writes there. */
const log = (file: string, errorFile?: string) => wrong({ log: { file, errorFile } })

const executable = (path: string, mode = 0o755) => {
  Fs.writeFileSync(path, "#!/bin/sh\n", { mode })
  Fs.chmodSync(path, mode)
}

const asRoot = process.geteuid?.() === 0

describe("preflight: the command", () => {
  it.live("is looked up as execvp does", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const at = (...names: ReadonlyArray<string>) => Path.join(folder, ...names)
      for (const name of ["bin", "later", "bin/folder"]) Fs.mkdirSync(at(name))
      executable(at("bin", "tool"))
      executable(at("later", "plain"))
      executable(at("bin", "plain"), 0o644)
      executable(at("bin", "closed"), 0o644)
      const PATH = `${at("nowhere")}:${at("bin")}:${at("later")}`
      for (const more of [
        { command: "tool", env: { PATH } },
        { command: "tool", env: { PATH: Redacted.make(PATH) } },
        // The first that can be executed, not the first that is there.
        { command: "plain", env: { PATH } },
        { command: at("bin", "tool") },
        { command: "bin/tool", cwd: folder },
        { command: "./tool", cwd: at("bin") },
        // An empty entry is the working directory.
        { command: "tool", cwd: at("bin"), env: { PATH: "/nowhere:" } },
        { command: "tool", cwd: folder, env: { PATH: "bin" } },
        // Without PATH the system has one.
        { command: "sh", inheritEnv: [] }
      ]) {
        assert.deepStrictEqual(yield* wrong(more), [], JSON.stringify(more))
      }
      for (const [more, ...expected] of [
        [{ command: "tool" }, "NotFound", "ENOENT"],
        [{ command: "tool", env: { PATH: "" } }, "NotFound", "ENOENT"],
        [{ command: "tool", env: { PATH }, cwd: at("later"), inheritEnv: [] }],
        [{ command: "tool", inheritEnv: [] }, "NotFound", "ENOENT"],
        [{ command: at("bin", "gone") }, "NotFound", "ENOENT"],
        [{ command: at("bin", "tool", "below") }, "NotFound", "ENOENT"],
        [{ command: "bin/tool" }, "NotFound", "ENOENT"],
        [{ command: "closed", env: { PATH } }, "Denied", "EACCES"],
        [{ command: at("bin", "closed") }, "Denied", "EACCES"],
        [{ command: "folder", env: { PATH } }, "WrongKind", "EACCES"],
        [{ command: at("bin") }, "WrongKind", "EACCES"]
      ] as const) {
        assert.deepStrictEqual(
          yield* wrong(more),
          expected.length === 0 ? [] : [["command", ...expected]],
          JSON.stringify(more)
        )
      }
    })
  )

  it.live("a script has an interpreter", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const command = Path.join(folder, "script")
      const messages = Effect.fnUntraced(function* (...lines: ReadonlyArray<string>) {
        Fs.writeFileSync(command, lines.join("\n"), { mode: 0o755 })
        const bad = yield* Preflight.check([app("web", { command, cwd: folder })])
        // Whatever is said here, the system says it in its own way.
        const { error, status } = ChildProcess.spawnSync(command, [], { cwd: folder })
        const runs = error === undefined && status === 0
        return [...(bad.get("web") ?? []).map(({ message }) => message.replace(command, "it")), runs]
      })
      executable(Path.join(folder, "own"))
      for (const line of ["#!/bin/sh", "#! /bin/sh -e", "#!/usr/bin/env sh", "#!own", "exit 0"]) {
        assert.deepStrictEqual(yield* messages(line, ""), [true], line)
      }
      const begin = 'process "web", command: it begins with #!'
      assert.deepStrictEqual(yield* messages("#!/no/sh -e", ""), [
        `${begin}/no/sh -e, which does not exist: install it, or correct that line`,
        false
      ])
      for (const line of ["/bin/sh", "/usr/bin/env sh"]) {
        assert.deepStrictEqual(yield* messages(`#!${line}\r`, ""), [
          `${begin}${line}\\r, which does not exist: save it with Unix line ends`,
          false
        ])
      }
    })
  )

  it.live("says in which folders it was looked for, and what to do", () =>
    Effect.gen(function* () {
      const bad = yield* Preflight.check([app("web", { command: "nodee", env: { PATH: "/a:/b" } })])
      assert.strictEqual(
        bad.get("web")?.[0]?.message,
        'process "web", command: nodee is in none of /a, /b: install it, add its folder to PATH, or give its path'
      )
    })
  )
})

describe("preflight: folders and files", () => {
  it.live("a working directory that is missing or none; relative commands are not looked for then", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const file = Path.join(folder, "file")
      Fs.writeFileSync(file, "")
      const missing = { cwd: Path.join(folder, "gone"), command: "./tool" }
      assert.deepStrictEqual(yield* wrong(missing), [["cwd", "NotFound", "ENOENT"]])
      assert.deepStrictEqual(yield* wrong({ cwd: file }), [["cwd", "WrongKind", "ENOTDIR"]])
      assert.deepStrictEqual(yield* wrong({ cwd: folder }), [])
      assert.deepStrictEqual(yield* wrong({ cwd: Path.join(folder, "gone"), command: "/nowhere" }), [
        ["cwd", "NotFound", "ENOENT"],
        ["command", "NotFound", "ENOENT"]
      ])
    })
  )

  it.live("logs: a folder that is missing, none, or cannot be written; one that can be made is fine", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const at = (...names: ReadonlyArray<string>) => Path.join(folder, ...names)
      Fs.writeFileSync(at("file"), "")
      assert.deepStrictEqual(yield* log(at("app.log"), at("logs", "error.log")), [])
      assert.deepStrictEqual(yield* log(at("file"), "/dev/null"), [])
      assert.deepStrictEqual(yield* log(at("a", "b", "app.log")), [["log.file", "NotFound", "ENOENT"]])
      assert.deepStrictEqual(yield* log(folder), [["log.file", "WrongKind", "EACCES"]])
      assert.deepStrictEqual(yield* log("/dev/null", at("file", "app.log")), [
        ["log.errorFile", "WrongKind", "ENOTDIR"]
      ])
      assert.deepStrictEqual(yield* log("/proc/app.log"), [["log.file", "Denied", "EACCES"]].slice(asRoot ? 1 : 0))
    })
  )

  it.live.skipIf(TestMount.isMissing())("logs on a disk that is read-only", () =>
    Effect.gen(function* () {
      const { path } = yield* TestMount.tmpfs({ readOnly: true })
      for (const file of [Path.join(path, "app.log"), Path.join(path, "logs", "app.log")]) {
        assert.deepStrictEqual(yield* wrong({ log: { file } }), [["log.file", "Denied", "EROFS"]])
      }
    })
  )

  it.live.runIf(asRoot)("what another user may not enter or execute, as the kernel sees it", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const at = (...names: ReadonlyArray<string>) => Path.join(folder, ...names)
      Fs.mkdirSync(at("open"))
      Fs.mkdirSync(at("open", "closed"))
      executable(at("open", "tool"))
      executable(at("open", "closed", "tool"))
      const nobody = { uid: 65534, gid: 65534 }
      Fs.chmodSync(folder, 0o755)
      Fs.chmodSync(at("open", "closed"), 0o700)
      assert.deepStrictEqual(yield* wrong({ ...nobody, cwd: at("open"), command: at("open", "tool") }), [])
      assert.deepStrictEqual(yield* wrong({ ...nobody, cwd: at("open", "closed") }), [["cwd", "Denied", "EACCES"]])
      assert.deepStrictEqual(yield* wrong({ ...nobody, command: at("open", "closed", "tool") }), [
        ["command", "Denied", "EACCES"]
      ])
      assert.deepStrictEqual(yield* wrong({ command: at("open", "closed", "tool") }), [])
      // A folder above them counts as well.
      Fs.chmodSync(folder, 0o700)
      assert.deepStrictEqual(yield* wrong({ ...nobody, cwd: at("open") }), [["cwd", "Denied", "EACCES"]])
    })
  )

  it.live.runIf(asRoot)("to be somebody else takes root", () =>
    Effect.gen(function* () {
      const { getegid, geteuid } = process
      process.geteuid = () => 1000
      process.getegid = () => 1000
      yield* Effect.addFinalizer(() => Effect.sync(() => Object.assign(process, { getegid, geteuid })))
      assert.deepStrictEqual(yield* wrong({ uid: 65534, gid: 0 }), [
        ["uid", "NeedsRoot", "EPERM"],
        ["gid", "NeedsRoot", "EPERM"]
      ])
      assert.deepStrictEqual(yield* wrong({ uid: 1000, gid: 1000 }), [])
    })
  )

  it.live("an envFile that is missing, unreadable or no such file; its PATH counts", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const file = Path.join(folder, ".env")
      executable(Path.join(folder, "tool"))
      const envFile = { envFile: file, command: "tool", inheritEnv: ["PATH"] }
      assert.deepStrictEqual(yield* wrong({ envFile: file }), [["envFile", "EnvFileError", "EINVAL"]])
      Fs.writeFileSync(file, `SECRET="hunter22\nPATH=${folder}\n`)
      const bad = yield* Preflight.check([app("web", { envFile: file })])
      const message = bad.get("web")?.[0]?.message ?? ""
      assert.include(message, `process "web", envFile: ${file}, line 1: its quote does not end`)
      assert.notInclude(message, "hunter22")
      Fs.writeFileSync(file, `PATH=${folder}\n`)
      assert.deepStrictEqual(yield* wrong(envFile), [])
      assert.deepStrictEqual(yield* wrong({ ...envFile, env: { PATH: "/bin" } }), [["command", "NotFound", "ENOENT"]])
    })
  )

  it.live("a containment that is not to be had, and what to do", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const PATH = process.env["PATH"]
      // Without `unshare` there, and whatever this user may.
      executable(Path.join(folder, "unshare"))
      Fs.writeFileSync(Path.join(folder, "unshare"), "#!/bin/sh\necho 'unshare failed: not here' >&2; exit 1\n")
      const bad = yield* Effect.acquireUseRelease(
        Effect.sync(() => (process.env["PATH"] = `${folder}:${PATH}`)),
        () => Preflight.check([app("web", { containment: "pid-namespace" }), app("other")]),
        () => Effect.sync(() => (process.env["PATH"] = PATH))
      )
      assert.deepStrictEqual(
        [...bad].map(([name, errors]) => [name, errors.map(({ code, message }) => [code, message])]),
        [
          [
            "web",
            [
              [
                "CONTAINMENT",
                'process "web", containment: unshare failed: not here. ' +
                  'Run the supervisor as root or with CAP_SYS_ADMIN, or use "group".'
              ]
            ]
          ]
        ]
      )
    })
  )

  it.live("all that is wrong of all of them comes at once", () =>
    Effect.gen(function* () {
      const bad = yield* Preflight.check([
        app("a", { command: "/nowhere", envFile: "/nowhere", log: { file: "/nowhere/at/all" } }),
        app("b"),
        app("c", { cwd: "/nowhere" })
      ])
      assert.deepStrictEqual(
        [...bad].map(([name, errors]) => [name, errors.map(({ field }) => field)]),
        [
          ["a", ["envFile", "command", "log.file"]],
          ["c", ["cwd"]]
        ]
      )
    })
  )

  it.effect.skipIf(TestMount.isHungMissing())("a disk that hangs is told of, and holds up nobody for ever", () =>
    Effect.gen(function* () {
      const { asked, path } = yield* TestClock.withLive(TestMount.hung)
      const checking = yield* Effect.forkChild(Preflight.check([app("web", { cwd: path })]))
      yield* TestClock.withLive(asked)
      assert.strictEqual((yield* TestClock.withLive(Preflight.check([app("other")]))).size, 0)
      yield* TestClock.adjust("6 seconds")
      const bad = yield* Fiber.join(checking)
      assert.deepStrictEqual(
        [...bad.values()].flat().map(({ message }) => message),
        ['process "web", cwd: the file system does not answer: see whether a disk or a mount hangs']
      )
    }).pipe(Effect.scoped)
  )
})

it.effect.skipIf(TestMount.isHungMissing())("an envFile on a disk that hangs holds up nobody for ever", () =>
  Effect.gen(function* () {
    const { asked, path } = yield* TestClock.withLive(TestMount.hung)
    const reading = yield* Effect.forkChild(Effect.uninterruptible(Effect.flip(EnvFile.read(path))))
    yield* TestClock.withLive(asked)
    yield* TestClock.adjust("4 seconds")
    assert.include((yield* Fiber.join(reading)).message, "does not answer")
  }).pipe(Effect.scoped)
)

const parsed = (text: string) => {
  const found = EnvFile.parse(text)
  if (found instanceof EnvFile.Unparsable) return [found.line, found.why]
  return Object.fromEntries(Object.entries(found).map(([name, value]) => [name, Redacted.value(value)]))
}

describe("envFile", () => {
  it("has names and values, quotes, comments and lines", () => {
    const text = [
      "\uFEFF# a comment",
      "A=1\r",
      "  export B = two words  # and a comment",
      'C="a # b" # c',
      "D='it''",
      "D=it's",
      "E=`x\ny=z`",
      'F="a\\nb"',
      "",
      "G=",
      "a.b-c=d=e",
      "export H=",
      "export  I= \t",
      'J="k=  \nl"'
    ]
    text.splice(4, 1)
    assert.deepStrictEqual(parsed(text.join("\n")), {
      A: "1",
      B: "two words",
      C: "a # b",
      D: "it's",
      E: "x\ny=z",
      F: "a\nb",
      G: "",
      "a.b-c": "d=e",
      H: "",
      I: "",
      J: "k=  \nl"
    })
  })

  it("white space after = does not make it take the next line", () => {
    assert.deepStrictEqual(parseEnv("A=  \nB=1"), { A: "B=1" })
    assert.deepStrictEqual(parsed("A=  \nB=1"), { A: "", B: "1" })
  })

  it("refuses what would be dropped in silence, with its line", () => {
    for (const [text, line, why] of [
      ["A=1\nhello\n", 2, /no =/],
      ["A=1\n\nFOO BAR=1", 3, /name/],
      ["=1", 1, /name/],
      ["1A=2", 1, /name/],
      ['A=1\nB="x\nC=2\n', 2, /quote does not end/],
      ["A='it's'", 1, /follows its closing quote/],
      ['A="x\ny"\nB', 3, /no =/],
      ["A=\0", 1, /NUL/],
      ['A="x\n\0"', 1, /NUL/]
    ] as const) {
      const found = parsed(text)
      assert.isTrue(Array.isArray(found), text)
      if (Array.isArray(found)) assert.match(String(found[1]), why)
      if (Array.isArray(found)) assert.strictEqual(found[0], line, text)
    }
  })

  it.effect.prop(
    "what is written quoted is read, wherever it stands",
    {
      values: Schema.Array(Schema.String.check(Schema.isPattern(/^[a-z =#'"$ \t\n\\éλ]{0,12}$/))).check(
        Schema.isMaxLength(6)
      ),
      trailing: Schema.Literals(["", " ", " # note", "\r"])
    },
    ({ trailing, values }) =>
      Effect.sync(() => {
        const plain = values.filter((value) => !value.includes("`"))
        const text = plain.map((value, index) => `V${index}=\`${value}\`${trailing}`).join("\n")
        assert.deepStrictEqual(parsed(text), Object.fromEntries(plain.map((value, index) => [`V${index}`, value])))
      })
  )

  it.effect.prop(
    "is what parseEnv makes of it, or refused; nothing is dropped, and nothing throws",
    { text: Schema.String.check(Schema.isPattern(/^[AB1=#"'` \n.\\\r\t]{0,24}$/)) },
    ({ text }) =>
      Effect.sync(() => {
        const found = parsed(text)
        if (Array.isArray(found)) return
        const trimmed = text.replaceAll("\r", "")
        // Where a name comes twice the last one counts.
        const names = new Set(Object.keys(found))
        if (/=[ \t]+$/m.test(trimmed)) return
        assert.deepStrictEqual({ ...parseEnv(text) }, found)
        assert.deepStrictEqual(new Set(Object.keys(parseEnv(text))), names)
      })
  )

  it.live("files that are missing, folders, of other encodings, or far too large", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const file = Path.join(folder, ".env")
      const failed = Effect.map(Effect.flip(EnvFile.read(file)), ({ message, reason }) => [reason._tag, message])
      assert.include(String(yield* failed), "Missing")
      Fs.mkdirSync(file)
      assert.include(String(yield* failed), "it is not a file")
      Fs.rmdirSync(file)
      for (const content of [Buffer.from([0x41, 0x3d, 0xff]), Buffer.alloc(2_000_000, "#")]) {
        Fs.writeFileSync(file, content)
        assert.include(String(yield* failed), "Unreadable")
      }
      Fs.writeFileSync(file, "TOKEN=hunter22\n")
      const variables = yield* EnvFile.read(file)
      assert.notInclude(JSON.stringify(variables), "hunter22")
    })
  )
})
