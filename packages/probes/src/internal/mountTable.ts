/**
 * Finds the mount that holds a path, in the text of Linux's `mountinfo`, so that no mount is touched for it.
 *
 * @since 0.1.0
 */

export interface Mount {
  readonly id: string
  readonly parent: string
  /** Where it is mounted. */
  readonly point: string
  /** Either the mount or the whole file system. */
  readonly isReadOnly: boolean
}

/** Spaces, tabs, line ends and backslashes are written in octal. */
export const plain = (text: string): string => {
  const bytes = Buffer.from(text, "utf8").toString("latin1")
  const unescaped = bytes.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)))
  return Buffer.from(unescaped, "latin1").toString("utf8")
}

const has = (options: string | undefined, option: string): boolean => options?.split(",").includes(option) ?? false

/** See proc(5): `id parent device root point options [optional]… - type source super-options`. */
export const parseMounts = (text: string): ReadonlyArray<Mount> =>
  text.split("\n").flatMap((line) => {
    const fields = line.split(" ")
    const [id, parent, , , point, options] = fields
    const dash = fields.indexOf("-", 6)
    if (id === undefined || parent === undefined || point === undefined || dash < 0) return []
    const isReadOnly = has(options, "ro") || has(fields[dash + 3], "ro")
    return [{ id, parent, point: plain(point), isReadOnly }]
  })

const contains = (point: string, path: string): boolean =>
  point === "/" || path === point || path.startsWith(`${point}/`)

/**
 * The mount of a path without symbolic links. It is walked to as the kernel does: on its way into a mount comes the
 * uppermost of the points within it, and what was mounted below that before is hidden.
 */
export const mountOf = (mounts: ReadonlyArray<Mount>, path: string): Mount | undefined => {
  const ids = new Set(mounts.map(({ id }) => id))
  const within = (mount: Mount | undefined) =>
    mounts
      .filter((one) => one !== mount && contains(one.point, path))
      .filter(({ id, parent }) => (mount === undefined ? parent === id || !ids.has(parent) : parent === mount.id))
      .toSorted((a, b) => a.point.length - b.point.length)[0]
  // No mount is within itself, so that a table that says so is not walked for ever.
  let found = within(undefined)
  for (let step = 0; step < mounts.length; step += 1) {
    const next = within(found)
    if (found === undefined || next === undefined) return found
    found = next
  }
  return found
}
