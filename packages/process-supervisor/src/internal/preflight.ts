/**
 * What can be known to fail before anything starts, all of it at once: what makes a process impossible on this machine.
 */
import * as ChildProcess from "node:child_process"
import * as NodeFs from "node:fs"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"

import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"

import type { Tier } from "./containment/containmentError.ts"
import * as Tiers from "./containment/index.ts"
import { read as readEnvFile } from "./envFile.ts"
import * as Spec from "./specError.ts"

export { SpecError } from "./specError.ts"

/** What is looked at of a specification. */
export interface Checked {
  readonly name: string
  readonly command: string
  readonly cwd: string | undefined
  readonly env: Readonly<Record<string, string | Redacted.Redacted>>
  readonly inheritEnv: ReadonlyArray<string>
  readonly envFile: string | undefined
  readonly uid: number | undefined
  readonly gid: number | undefined
  readonly containment: Tier
  readonly log: { readonly file: string; readonly errorFile?: string | undefined } | undefined
}

const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : String(cause)

/** What is there, or the system's code. */
const statOf = (path: string) => Effect.promise(() => Fs.stat(path).catch(codeOf))

const unreachable = (path: string, code: string): Spec.Reason =>
  code === "ENOENT" || code === "ENOTDIR"
    ? new Spec.NotFound({ path })
    : new Spec.Denied({ path, need: "look up", code })

interface User {
  readonly uid: number | undefined
  readonly gid: number | undefined
}

/**
 * Why somebody may not execute a file or enter a folder. For another user the kernel is asked in that user's name, as
 * only it knows of access lists and of the folders above; where that cannot be asked, nothing is said.
 */
const refusedTo = ({ gid, uid }: User, path: string): Effect.Effect<string | undefined> =>
  uid === undefined && gid === undefined
    ? Effect.promise(() => Fs.access(path, NodeFs.constants.X_OK).then(() => undefined, codeOf))
    : Effect.callback((resume) => {
        const child = ChildProcess.spawn("/bin/sh", ["-c", 'test -x "$1"', "sh", path], {
          cwd: "/",
          env: {},
          stdio: "ignore",
          ...(uid === undefined ? {} : { uid }),
          ...(gid === undefined ? {} : { gid })
        })
        child.once("error", () => resume(Effect.undefined))
        child.once("exit", (code) => resume(Effect.succeed(code === 1 ? "EACCES" : undefined)))
        return Effect.sync(() => void (child.pid !== undefined && child.kill("SIGKILL")))
      })

const denied = ({ uid }: User, path: string, need: "execute" | "enter", code: string) =>
  new Spec.Denied({ path, need, code, ...(uid === undefined ? {} : { uid }) })

const folderReason = Effect.fnUntraced(function* (path: string, user: User) {
  const found = yield* statOf(path)
  if (typeof found === "string") return unreachable(path, found)
  if (!found.isDirectory()) return new Spec.WrongKind({ path, expected: "a folder" })
  const code = yield* refusedTo(user, path)
  return code === undefined ? undefined : denied(user, path, "enter", code)
})

/** As much of a file as the kernel looks at. */
const firstLine = (file: string) =>
  Effect.promise(async () => {
    try {
      const handle = await Fs.open(file)
      try {
        const { buffer, bytesRead } = await handle.read(Buffer.alloc(256), 0, 256, 0)
        return buffer.toString("utf8", 0, bytesRead).split("\n")[0] ?? ""
      } finally {
        await handle.close()
      }
    } catch {
      return "" // what can be executed need not be readable
    }
  })

/** Of a script whose interpreter is not there. `env` looks up a name, which no carriage return ends. */
const scriptReason = Effect.fnUntraced(function* (path: string, cwd: string) {
  const line = yield* firstLine(path)
  const [, rest, interpreter] = /^#![ \t]*(([^ \t\0]+)[^\0]*)/.exec(line) ?? []
  if (rest === undefined || interpreter === undefined) return undefined
  const isMissing = (yield* statOf(Path.resolve(cwd, interpreter))) === "ENOENT" || /^\S*\/env[ \t].*\r$/.test(rest)
  return isMissing ? new Spec.NoInterpreter({ path, line: rest }) : undefined
})

/** What glibc searches without `PATH`. */
const defaultPath = "/bin:/usr/bin"

/** As execvp does: the first that can be executed; one that cannot is told of only when there is no other. */
const commandReason = Effect.fnUntraced(function* (command: string, cwd: string, path: string, user: User) {
  const isName = !command.includes("/")
  // An empty entry is the working directory.
  const folders = isName ? path.split(":") : [""]
  let worst: Spec.Reason | undefined
  for (const folder of folders) {
    const file = Path.resolve(cwd, folder, command)
    const found = yield* statOf(file)
    if (typeof found === "string") {
      if (found !== "ENOENT" && found !== "ENOTDIR") worst ??= unreachable(file, found)
    } else if (found.isFile()) {
      const code = yield* refusedTo(user, file)
      if (code === undefined) return yield* scriptReason(file, cwd)
      worst ??= denied(user, file, "execute", code)
    } else worst ??= new Spec.WrongKind({ path: file, expected: "a file" })
  }
  if (worst !== undefined) return worst
  return isName
    ? new Spec.NotFound({ path: command, searched: folders })
    : new Spec.NotFound({ path: Path.resolve(cwd, command) })
})

const { W_OK, X_OK } = NodeFs.constants

const accessReason = (path: string, mode: number) =>
  Effect.promise(() =>
    Fs.access(path, mode).then(
      () => undefined,
      (cause) => new Spec.Denied({ path, need: "write", code: codeOf(cause) })
    )
  )

/** A file that is not there yet needs its folder, or the folder above, in which that will be made. */
const logReason = Effect.fnUntraced(function* (file: string) {
  const path = Path.resolve(file)
  const found = yield* statOf(path)
  if (typeof found !== "string") {
    return found.isDirectory() ? new Spec.WrongKind({ path, expected: "a file" }) : yield* accessReason(path, W_OK)
  }
  const folder = Path.dirname(path)
  const parent = yield* statOf(folder)
  if (parent === "ENOENT") {
    const above = Path.dirname(folder)
    return typeof (yield* statOf(above)) === "string"
      ? new Spec.NotFound({ path: folder })
      : yield* accessReason(above, W_OK | X_OK)
  }
  if (typeof parent === "string") return unreachable(folder, parent)
  return parent.isDirectory()
    ? yield* accessReason(folder, W_OK | X_OK)
    : new Spec.WrongKind({ path: folder, expected: "a folder" })
})

const plain = (value: string | Redacted.Redacted): string =>
  Redacted.isRedacted(value) ? Redacted.value(value) : value

const isOther = (one: number | undefined, ours: number | undefined): boolean => one !== undefined && one !== ours

/** Whose rights it will have; nobody else's where we cannot become somebody else. */
const userOf = ({ gid, uid }: Checked): { readonly user: User; readonly refused: ReadonlyArray<"uid" | "gid"> } => {
  const others = [
    ...(isOther(uid, process.geteuid?.()) ? ["uid" as const] : []),
    ...(isOther(gid, process.getegid?.()) ? ["gid" as const] : [])
  ]
  const none = { uid: undefined, gid: undefined }
  if (others.length === 0) return { user: none, refused: [] }
  return process.geteuid?.() === 0 ? { user: { uid, gid }, refused: [] } : { user: none, refused: others }
}

const badIn = Effect.fnUntraced(function* (spec: Checked) {
  const errors: Array<Spec.SpecError> = []
  const add = (field: string, reason: Spec.Reason | undefined) => {
    if (reason !== undefined) errors.push(Spec.errorOf(spec.name, field, reason))
  }
  const { refused, user } = userOf(spec)
  for (const field of refused) add(field, new Spec.NeedsRoot({ id: spec[field] ?? 0 }))

  const uncontained = yield* Effect.result(Tiers.check(spec.containment))
  if (uncontained._tag === "Failure") add("containment", uncontained.failure)

  const cwd = Path.resolve(spec.cwd ?? ".")
  const noFolder = yield* folderReason(cwd, user)
  add("cwd", noFolder)

  let fromFile: Readonly<Record<string, Redacted.Redacted>> = {}
  if (spec.envFile !== undefined) {
    const read = yield* Effect.result(readEnvFile(Path.resolve(spec.envFile)))
    if (read._tag === "Success") fromFile = read.success
    else add("envFile", read.failure)
  }
  const inherited = spec.inheritEnv.includes("PATH") ? process.env["PATH"] : undefined
  const path = plain(spec.env["PATH"] ?? fromFile["PATH"] ?? inherited ?? defaultPath)
  // Where a relative one would be looked for is not known without a working directory.
  if (noFolder === undefined || Path.isAbsolute(spec.command)) {
    add("command", yield* commandReason(spec.command, cwd, path, user))
  }
  if (spec.log !== undefined) {
    add("log.file", yield* logReason(spec.log.file))
    if (spec.log.errorFile !== undefined) add("log.errorFile", yield* logReason(spec.log.errorFile))
  }
  return errors
})

/** A disk that hangs must not keep the others from starting. */
const patience = "5 seconds"

/** What is wrong with each that cannot be started; the others can. */
export const check = Effect.fnUntraced(function* (
  specs: ReadonlyArray<Checked>
): Effect.fn.Return<ReadonlyMap<string, ReadonlyArray<Spec.SpecError>>> {
  const found = yield* Effect.forEach(
    specs,
    (spec) =>
      Effect.map(Effect.timeoutOption(badIn(spec), patience), (errors) => ({
        name: spec.name,
        errors: Option.getOrElse(errors, () => [Spec.errorOf(spec.name, "cwd", new Spec.NotAnswering())])
      })),
    { concurrency: "unbounded" }
  )
  return new Map(found.filter(({ errors }) => errors.length > 0).map((one) => [one.name, one.errors]))
})
