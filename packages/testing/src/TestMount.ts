/**
 * Small, full, read-only, frozen and hung disks. Each is mounted in a namespace of its own process, so that nobody else
 * sees it and nothing is left of it when the scope closes.
 *
 * @since 0.1.0
 */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { descendants, type Unsupported } from "@nexobot/core/ProcessTable"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

import * as Binary from "./Binary.ts"
import { eventually } from "./Expect.ts"
import * as TestFolder from "./TestFolder.ts"
import { start } from "./TestProcess.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface TestMount {
  /** Where everybody finds the disk: through `/proc` of the process that has it. */
  readonly path: string
  /** Where it is within the namespace. */
  readonly inside: string
  /** Has the namespace; without it there is no disk. */
  readonly holder: ProcessIdentity.ProcessIdentity
}

const skipped = (why: string): true => {
  process.stderr.write(`skipped: ${why}\n`)
  return true
}

/**
 * Whether disks cannot be mounted here: it takes root, and a kernel that allows it.
 *
 * @category operations
 * @since 0.1.0
 */
export const isMissing = (): boolean =>
  Binary.skipWithout("unshare", "apt-get install util-linux") ||
  (ChildProcess.spawnSync("unshare", ["--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).status !== 0 &&
    skipped("this machine cannot mount a small disk"))

/**
 * Whether `hung` is not to be had here.
 *
 * @category operations
 * @since 0.1.0
 */
export const isHungMissing = (): boolean =>
  isMissing() || (!Fs.existsSync("/dev/fuse") && skipped("this machine has no FUSE, for a disk that hangs"))

/**
 * Whether `frozen` is not to be had here.
 *
 * @category operations
 * @since 0.1.0
 */
export const isFrozenMissing = (): boolean =>
  isMissing() ||
  Binary.skipWithout("mkfs.ext4", "apt-get install e2fsprogs") ||
  (!Fs.existsSync("/dev/loop-control") && skipped("this machine has no loop devices, for a disk that is frozen"))

/** Runs a program in a mount namespace of its own: in a folder with `disk`, where it mounts, until there is `ready`. */
const within = Effect.fnUntraced(function* (
  ...command: readonly [string, ...ReadonlyArray<string>]
): Effect.fn.Return<TestMount & { readonly folder: string }, Unsupported, Scope.Scope> {
  const folder = yield* TestFolder.make
  const inside = Path.join(folder, "disk")
  Fs.mkdirSync(inside)
  const holder = yield* start("unshare", "--mount", ...command, folder)
  yield* eventually(
    `${command[0]} has mounted a disk`,
    Effect.sync(() => Fs.existsSync(Path.join(folder, "ready")) || undefined)
  )
  return { path: `/proc/${holder.pid}/root${inside}`, inside, holder, folder }
})

const shell = (script: string) => within("sh", "-e", "-c", `cd "$0"; ${script}`)

/**
 * A disk in memory.
 *
 * @category constructors
 * @since 0.1.0
 */
export const tmpfs = (
  options: {
    /** Bytes; 1 MB unless told. */
    readonly size?: number
    /** How many files and folders it can have; as many as will do unless told. */
    readonly inodes?: number
    /** `false` unless told. */
    readonly readOnly?: boolean
  } = {}
): Effect.Effect<TestMount, Unsupported, Scope.Scope> =>
  shell(
    [
      `mount -t tmpfs -o size=${options.size ?? 1_048_576},nr_inodes=${options.inodes ?? 10_000} tmpfs disk`,
      options.readOnly === true ? "mount -o remount,ro disk" : ":",
      "touch ready",
      "exec sleep 600"
    ].join("; ")
  )

/** What a shell has started does not end with it. */
const endBelow = (holder: ProcessIdentity.ProcessIdentity) =>
  descendants(holder.pid).pipe(
    Effect.flatMap((below) =>
      Effect.forEach(below, (one) => ProcessIdentity.signal({ ...holder, ...one }, "SIGKILL"), { discard: true })
    ),
    Effect.orDie
  )

/**
 * A disk that says how much space it has and takes nothing that is written, until `thaw`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const frozen: Effect.Effect<TestMount & { readonly thaw: Effect.Effect<void> }, Unsupported, Scope.Scope> =
  Effect.gen(function* () {
    // Whatever becomes of the test, it does not stay frozen.
    const mount = yield* shell(
      "truncate -s 8M image; mkfs.ext4 -q -F image; mount -o loop image disk; fsfreeze -f disk; touch ready; sleep 60; fsfreeze -u disk"
    )
    const thaw = Effect.sync(() => {
      const namespace = `--mount=/proc/${mount.holder.pid}/ns/mnt`
      ChildProcess.spawnSync("nsenter", [namespace, "fsfreeze", "-u", mount.inside], { stdio: "ignore" })
    })
    yield* Effect.addFinalizer(() => Effect.andThen(thaw, endBelow(mount.holder)))
    return { ...mount, thaw }
  })

/**
 * Mounts a file system in user space that says hello to the kernel (operation 26) and answers nothing after that. Whoever
 * asks it waits until this process ends, and cannot be killed.
 */
const deaf = `
const Fs = require("node:fs")
const folder = process.argv[1]
const device = Fs.openSync("/dev/fuse", "r+")
const options = "fd=3,rootmode=40000,user_id=0,group_id=0"
require("node:child_process").spawnSync("mount", ["-i", "-t", "fuse", "-o", options, "deaf", folder + "/disk"], {
  stdio: ["ignore", "ignore", "ignore", device]
})
const request = Buffer.alloc(1 << 20)
for (;;) {
  Fs.readSync(device, request)
  if (request.readUInt32LE(4) !== 26) {
    Fs.writeFileSync(folder + "/asked", "")
    continue
  }
  const answer = Buffer.alloc(80)
  answer.writeUInt32LE(80, 0)
  answer.writeBigUInt64LE(request.readBigUInt64LE(8), 8)
  answer.writeUInt32LE(7, 16) // the protocol, 7.31
  answer.writeUInt32LE(31, 20)
  answer.writeUInt32LE(65536, 24)
  answer.writeUInt16LE(12, 32)
  answer.writeUInt16LE(9, 34)
  answer.writeUInt32LE(4096, 36)
  Fs.writeSync(device, answer)
  Fs.writeFileSync(folder + "/ready", "")
}`

/**
 * A disk that answers nobody, as one in a network whose server is gone. Who has asked it is not ended by SIGKILL any
 * more: he waits in state D, and gets `ENOTCONN` when `holder` ends. `asked` waits for the first one.
 *
 * @category constructors
 * @since 0.1.0
 */
export const hung: Effect.Effect<TestMount & { readonly asked: Effect.Effect<void> }, Unsupported, Scope.Scope> =
  Effect.map(within(process.execPath, "-e", deaf), (mount) => ({
    ...mount,
    asked: Effect.asVoid(
      eventually(
        "somebody asks the disk",
        Effect.sync(() => Fs.existsSync(Path.join(mount.folder, "asked")) || undefined)
      )
    )
  }))

/**
 * For as long as the scope is open, these programs are found on PATH as ones that run in the namespace of the disk, where
 * it is `inside`.
 *
 * @category operations
 * @since 0.1.0
 */
export const programsInside = Effect.fnUntraced(function* (
  { holder }: TestMount,
  names: ReadonlyArray<string>
): Effect.fn.Return<void, never, Scope.Scope> {
  const folder = yield* TestFolder.make
  for (const name of names) {
    const enter = `nsenter --mount=/proc/${holder.pid}/ns/mnt ${Binary.find(name) ?? name} "$@"`
    Fs.writeFileSync(Path.join(folder, name), `#!/bin/sh\nexec ${enter}\n`, { mode: 0o755 })
  }
  yield* onPath(folder)
})

/**
 * Programs in this folder are found before all others for as long as the scope is open.
 *
 * @category operations
 * @since 0.1.0
 */
export const onPath = (folder: string): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(
    Effect.acquireRelease(
      Effect.sync(() => {
        const before = process.env["PATH"] ?? ""
        process.env["PATH"] = `${folder}${Path.delimiter}${before}`
        return before
      }),
      (before) => Effect.sync(() => void (process.env["PATH"] = before))
    )
  )
