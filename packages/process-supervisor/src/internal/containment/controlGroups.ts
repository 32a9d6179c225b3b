/** Where control groups of our own can be made: below the one that this process is in. */
import * as Fs from "node:fs"

import { Unsupported } from "./containmentError.ts"

/** The system's code of an error; its text when it has none. */
export const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : String(cause)

interface Mount {
  /** Which part of the hierarchy is mounted: `/` is all of it. */
  readonly root: string
  readonly path: string
  readonly type: string
  /** Of a version 1 hierarchy: its controllers. */
  readonly options: ReadonlyArray<string>
}

/** The kernel writes white space and backslashes as octal numbers. */
const plain = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))

/** The mounts of `/proc/self/mountinfo`, see proc(5). */
export const parseMounts = (text: string): ReadonlyArray<Mount> =>
  text.split("\n").flatMap((line) => {
    const [before = "", after] = line.split(" - ")
    const [, , , root, path] = before.split(" ")
    const [type, , options] = after?.split(" ") ?? []
    if (root === undefined || path === undefined || type === undefined) return []
    return [{ root: plain(root), path: plain(path), type, options: options?.split(",") ?? [] }]
  })

/** The paths of `/proc/self/cgroup`, see cgroups(7), by controller; that of version 2 by "". */
export const parseOwn = (text: string): ReadonlyMap<string, string> =>
  new Map(
    text.split("\n").flatMap((line) => {
      const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
      if (controllers === undefined || path === undefined) return []
      return controllers.split(",").map((controller) => [controller, path] as const)
    })
  )

/** The folder of a group in a mount; `undefined` when the mount does not reach to it. */
export const folderIn = ({ path, root }: Mount, own: string): string | undefined => {
  if (/^\/\.\.(\/|$)/.test(own)) return undefined
  const below = root === "/" ? own : own === root || own.startsWith(`${root}/`) ? own.slice(root.length) : undefined
  return below === undefined ? undefined : path + below.replace(/\/$/, "")
}

export interface Place {
  /** Our own group of version 2. */
  readonly unified: string
  /** Our own group of version 1's memory controller, where that is in use: on a hybrid system. */
  readonly memory: string | undefined
}

const textOf = (path: string): string => {
  try {
    return Fs.readFileSync(path, "utf8")
  } catch {
    return "" // without these files there are no groups, and so it is said
  }
}

/** Where a process is. */
export const placeOf = (pid: number | "self"): Place | Unsupported => {
  const mounts = parseMounts(textOf("/proc/self/mountinfo"))
  const own = parseOwn(textOf(`/proc/${pid}/cgroup`))
  const folder = (controller: string, isIt: (mount: Mount) => boolean): string | undefined => {
    const path = own.get(controller)
    if (path === undefined) return undefined
    return mounts
      .filter(isIt)
      .flatMap((mount) => folderIn(mount, path) ?? [])
      .at(0)
  }
  const unified = folder("", ({ type }) => type === "cgroup2")
  if (unified === undefined) return new Unsupported({ why: "no file system of control groups, version 2, is mounted" })
  return { unified, memory: folder("memory", ({ options, type }) => type === "cgroup" && options.includes("memory")) }
}
