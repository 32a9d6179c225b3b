/** Files of the kernel as other machines have them. */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

import type * as Probe from "@nexobot/core/Probe"
import type * as Verdict from "@nexobot/core/Verdict"
import * as TestFolder from "@nexobot/testing/TestFolder"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

import { Proc } from "../src/internal/kernelFiles.ts"

export interface Sample {
  readonly folder: string
  /** The probe, as if it ran there. */
  readonly seenBy: <S extends Verdict.Signature>(probe: Probe.Probe<S>) => Probe.Probe<S>
  /** Writes files anew, or more of them. */
  readonly write: (files: Readonly<Record<string, string>>) => void
}

/** A machine with these files; `@` stands for the folder that they are in. */
export const machine = Effect.fnUntraced(function* (
  files: Readonly<Record<string, string>>
): Effect.fn.Return<Sample, never, Scope.Scope> {
  const folder = yield* TestFolder.make
  const write: Sample["write"] = (some) => {
    for (const [name, text] of Object.entries(some)) {
      const path = Path.join(folder, name)
      Fs.mkdirSync(Path.dirname(path), { recursive: true })
      Fs.writeFileSync(path, text.replaceAll("@", folder))
    }
  }
  write(files)
  return {
    folder,
    write,
    seenBy: (probe) => ({ ...probe, check: Effect.provideService(probe.check, Proc, Path.join(folder, "proc")) })
  }
})

export const mebibyte = 2 ** 20

/** 1000 MiB, of which so many are in use. */
export const meminfo = (used: number): string =>
  [
    `MemTotal:        ${1000 * 1024} kB`,
    `MemFree:          ${100 * 1024} kB`,
    `MemAvailable:    ${(1000 - used) * 1024} kB`,
    "SwapTotal:              0 kB",
    "HugePages_Total:       0",
    ""
  ].join("\n")

export const pressure = (some: string, full: string): string =>
  `some avg10=${some} avg60=0.50 avg300=0.25 total=123456\nfull avg10=${full} avg60=0.00 avg300=0.00 total=1234\n`

/** Of a machine with cgroups of version 2 only. */
export const unified = {
  "proc/self/mountinfo": [
    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw",
    "30 22 0:26 / @/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot",
    ""
  ].join("\n")
}

/** Of a machine with version 1, and with the unified hierarchy beside it. */
export const hybrid = {
  "proc/self/mountinfo": [
    "25 22 0:21 / @/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755",
    "26 25 0:22 / @/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate",
    "27 25 0:23 / @/cgroup/systemd rw,nosuid shared:11 - cgroup cgroup rw,xattr,name=systemd",
    "28 25 0:24 / @/cgroup/cpu,cpuacct rw,nosuid shared:12 - cgroup cgroup rw,cpu,cpuacct",
    "29 25 0:25 / @/cgroup/memory rw,nosuid shared:13 - cgroup cgroup rw,memory",
    ""
  ].join("\n")
}

/** The mount point of a controller of this machine, and the version it belongs to. */
const hierarchyOf = (controller: string): { readonly point: string; readonly version: 1 | 2 } | undefined => {
  for (const line of Fs.readFileSync("/proc/self/mountinfo", "utf8").split("\n")) {
    const [before = "", after = ""] = line.split(" - ")
    const [type, , options = ""] = after.split(" ")
    const point = before.split(" ")[4] ?? ""
    if (type === "cgroup" && options.split(",").includes(controller)) return { point, version: 1 }
    if (type === "cgroup2" && Fs.readFileSync(`${point}/cgroup.controllers`, "utf8").includes(controller)) {
      return { point, version: 2 }
    }
  }
  return undefined
}

/**
 * What a module prints that runs in a real cgroup with this limit; nothing, and a line about it, where we may not make
 * one. `values` are files and their contents for each version.
 */
export const inCgroup = Effect.fnUntraced(function* (
  controller: string,
  values: Readonly<Record<1 | 2, readonly [file: string, value: string]>>,
  code: string
): Effect.fn.Return<
  { readonly folder: string; readonly said: string; readonly version: 1 | 2 } | undefined,
  never,
  Scope.Scope
> {
  const made = yield* Effect.acquireRelease(
    Effect.sync(() => {
      let folder: string | undefined
      let version: 1 | 2 = 2
      try {
        const hierarchy = hierarchyOf(controller)
        if (hierarchy === undefined) throw new Error(`no hierarchy has ${controller}`)
        const own = `${hierarchy.point}/nexobot-test-${controller}-${process.pid}`
        Fs.mkdirSync(own)
        folder = own
        version = hierarchy.version
        const [file, value] = values[hierarchy.version]
        Fs.writeFileSync(`${folder}/${file}`, value)
        return { folder, version, isLimited: true }
      } catch (cause) {
        process.stderr.write(`skipped: a cgroup of its own: ${String(cause)}\n`)
        return { folder, version, isLimited: false }
      }
    }),
    ({ folder }) => Effect.sync(() => folder !== undefined && Fs.existsSync(folder) && Fs.rmdirSync(folder))
  )
  const { folder, isLimited, version } = made
  if (folder === undefined || !isLimited) return undefined
  const said = yield* Effect.callback<string>((resume) => {
    const run = [process.execPath, "--input-type=module-typescript", "--eval", code]
    const args = ["-c", `echo $$ > "$0/cgroup.procs" && exec "$@"`, folder, ...run]
    ChildProcess.execFile("sh", args, { cwd: Path.join(import.meta.dirname, "..") }, (error, stdout, stderr) =>
      resume(error === null ? Effect.succeed(stdout) : Effect.die(new Error(stderr)))
    )
  })
  return { folder, said, version }
})
