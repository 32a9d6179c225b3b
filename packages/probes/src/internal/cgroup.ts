/**
 * The cgroups that this process is in, whatever the version: unified (2), a hierarchy for each controller (1), or both.
 *
 * @since 0.1.0
 */
import * as Path from "node:path"

import { textOf } from "./kernelFiles.ts"
import { plain } from "./mountTable.ts"

export interface Cgroup {
  readonly folder: string
  readonly version: 1 | 2
}

interface Mount {
  /** The cgroup that is to be seen there. */
  readonly root: string
  readonly point: string
  readonly version: 1 | 2
  /** Of version 1 only. */
  readonly controllers: ReadonlyArray<string>
}

/** See proc(5): `id parent device root point options [optional]… - type source super-options`. */
const mountsIn = (text: string): ReadonlyArray<Mount> =>
  text.split("\n").flatMap((line) => {
    const fields = line.split(" ")
    const dash = fields.indexOf("-", 6)
    const [root, point, type] = [fields[3], fields[4], fields[dash + 1]]
    if (dash < 0 || root === undefined || point === undefined) return []
    if (type !== "cgroup" && type !== "cgroup2") return []
    const controllers = (fields[dash + 3] ?? "").split(",")
    return [{ root: plain(root), point: plain(point), version: type === "cgroup2" ? 2 : 1, controllers }]
  })

interface Membership {
  readonly version: 1 | 2
  readonly path: string
}

/** See cgroups(7): `id:controllers:path`, where version 2 has the id 0 and no controllers. */
const membershipOf = (text: string, controller: string): Membership | undefined => {
  let unified: Membership | undefined
  for (const line of text.split("\n")) {
    const [, controllers, path] = /^\d+:([^:]*):(.+)$/.exec(line) ?? []
    if (controllers === undefined || path === undefined) continue
    // A controller is in one of the two, and in version 2 only if it is not in version 1.
    if (controllers.split(",").includes(controller)) return { version: 1, path }
    if (controllers === "") unified = { version: 2, path }
  }
  return unified
}

/** From `path` up to, and with, `top`; nothing where it is not below. */
const upwards = (path: string, top: string): ReadonlyArray<string> => {
  const below = Path.posix.relative(top, path)
  // Where the process, or what is mounted, is outside of what its namespace shows, the kernel writes dots.
  if ([path, top, below].some((one) => one.split("/").includes(".."))) return []
  const parts = below === "" ? [] : below.split("/")
  return [...parts, ""].map((_, index) => parts.slice(0, parts.length - index).join("/"))
}

/** The cgroups of this process as far as a controller's can be seen: its own first, the outermost last. */
export const cgroupsOf = (proc: string, controller: "cpu" | "memory"): ReadonlyArray<Cgroup> => {
  const membership = membershipOf(textOf(`${proc}/self/cgroup`) ?? "", controller)
  if (membership === undefined) return []
  const { path, version } = membership
  for (const mount of mountsIn(textOf(`${proc}/self/mountinfo`) ?? "")) {
    if (mount.version !== version || (version === 1 && !mount.controllers.includes(controller))) continue
    const below = upwards(path, mount.root)
    if (below.length > 0) return below.map((part) => ({ folder: Path.posix.join(mount.point, part), version }))
  }
  return []
}
