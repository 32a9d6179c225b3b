/**
 * What is not watched: what the options leave out, what `.gitignore` files leave out, and what no one ever means.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"

import type ignore from "ignore"

/** Written by tools and editors beside what they work on. */
const always = ["node_modules/", ".git", "*.log", "*.log.[0-9]*", "*.swp", "*.swx", "*~", ".#*", "#*#", ".DS_Store"]

export interface Ignored {
  /** `isFolder` is not known for what is gone, or was not looked at yet. */
  readonly ignores: (path: string, isFolder: boolean) => boolean
  /** A `.gitignore` file has changed. */
  readonly forget: () => void
}

/** The path from a folder to what is in it; `undefined` for anything else. */
const below = (folder: string, path: string): string | undefined => {
  const relative = Path.relative(folder, path)
  return relative === "" || relative === ".." || relative.startsWith(`..${Path.sep}`) ? undefined : relative
}

/** A path as a pattern that means this path alone. */
const escaped = (path: string): string => path.replace(/[\\*?[\]!# ]/g, "\\$&")

const textOf = (file: string): string | undefined => {
  try {
    return Fs.statSync(file).isFile() ? Fs.readFileSync(file, "utf8") : undefined
  } catch {
    return undefined
  }
}

/** Where a repository begins, at or above a folder; the folder itself outside of one. */
const topOf = (folder: string): string => {
  for (let at = folder; ; at = Path.dirname(at)) {
    if (Fs.existsSync(Path.join(at, ".git"))) return at
    if (Path.dirname(at) === at) return folder
  }
}

export const make = (
  ignorer: typeof ignore,
  options: {
    readonly cwd: string
    /** Absolute: what is watched. None of these is left out itself, wherever it is. */
    readonly roots: ReadonlyArray<string>
    readonly patterns: ReadonlyArray<string>
    readonly gitignore: boolean
    /** Absolute paths: a folder with all that is in it, or a file with those that have its name, a dot and a number. */
    readonly never: ReadonlyArray<string>
  }
): Ignored => {
  const { cwd, gitignore, never } = options
  const fixed = ignorer().add([...always])
  const own = ignorer().add([...options.patterns])
  // The deepest first: who names a folder within another one means it.
  const roots = options.roots.toSorted((a, b) => b.length - a.length).map((path) => ({ path, top: topOf(path) }))
  const rules = new Map<string, ignore.Ignore | undefined>()
  const folders = new Map<string, boolean>()

  const rulesOf = (folder: string): ignore.Ignore | undefined => {
    if (rules.has(folder)) return rules.get(folder)
    const text = textOf(Path.join(folder, ".gitignore"))
    const made = text === undefined ? undefined : ignorer().add(text)
    rules.set(folder, made)
    return made
  }

  /**
   * Rules for a path whose folders are not left out: where these rules would leave one of them out, a deeper file has
   * overruled that, and only what they say of the path itself counts.
   */
  const onItsOwn = (found: ignore.Ignore, relative: string): ignore.Ignore => {
    const parts = relative.split(Path.sep).slice(0, -1)
    const above = parts.map((_, index) => parts.slice(0, index + 1).join("/"))
    return above.some((folder) => found.ignores(`${folder}/`))
      ? ignorer().add([found, ...above.map((folder) => `!/${escaped(folder)}/`)])
      : found
  }

  /** By git's own order: the deepest file that says something about a path decides. */
  const byGit = (path: string, isFolder: boolean, top: string): boolean => {
    for (let folder = Path.dirname(path); ; folder = Path.dirname(folder)) {
      const relative = below(folder, path)
      const found = relative === undefined ? undefined : rulesOf(folder)
      if (found !== undefined && relative !== undefined) {
        const said = onItsOwn(found, relative).test(isFolder ? `${relative}/` : relative)
        if (said.unignored) return false
        if (said.ignored) return true
      }
      if (folder === top || Path.dirname(folder) === folder) return false
    }
  }

  const matches = (path: string, isFolder: boolean, top: string): boolean => {
    const end = isFolder ? "/" : ""
    const inside = below(cwd, path)
    if (fixed.ignores(Path.basename(path) + end)) return true
    if (inside !== undefined && own.ignores(inside + end)) return true
    return gitignore && byGit(path, isFolder, top)
  }

  /** A folder, which is left out with those above it; each is asked about once. */
  const isOut = (folder: string, root: (typeof roots)[number]): boolean => {
    if (below(root.path, folder) === undefined) return false
    const known = folders.get(folder)
    if (known !== undefined) return known
    const out = isOut(Path.dirname(folder), root) || matches(folder, true, root.top)
    folders.set(folder, out)
    return out
  }

  return {
    ignores: (path, isFolder) => {
      if (never.some((one) => path.startsWith(one) && /^($|\/|\.\d)/.test(path.slice(one.length)))) return true
      const root = roots.find((one) => path === one.path || below(one.path, path) !== undefined)
      if (root === undefined || path === root.path) return false
      return isFolder ? isOut(path, root) : isOut(Path.dirname(path), root) || matches(path, false, root.top)
    },
    forget: () => {
      rules.clear()
      folders.clear()
    }
  }
}
