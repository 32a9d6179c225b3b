/**
 * The rules of the architecture as a pure function from sources to violations, so that the test can show that each rule
 * bites before it trusts an empty answer.
 */
import { posix } from "node:path"

import { parseSync, Visitor } from "oxc-parser"

/** A package imports only from floors below its own. */
export const floors: Readonly<Record<string, number>> = {
  core: 0,
  testing: 1,
  probes: 2,
  remediators: 2,
  "llm-router": 2,
  backup: 2,
  "process-supervisor": 2,
  recovery: 3,
  presets: 4,
  console: 4
}

export interface Manifest {
  readonly name: string
  readonly dependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
}

export interface Package {
  /** Name of its folder in `packages`. */
  readonly folder: string
  readonly manifest: Manifest
  /** Source text by path relative to `src`. */
  readonly sources: ReadonlyMap<string, string>
}

export interface Violation {
  readonly rule: "floor" | "testing" | "undeclared" | "escape" | "barrel" | "cycle" | "impure" | "unresolved" | "syntax"
  readonly where: string
  readonly what: string
}

const scope = "@nexobot/"

/** Code that runs in the browser, where there is no Effect clock. */
const isBrowserCode = (folder: string, path: string) => folder === "console" && path.startsWith("internal/dashboard")

/**
 * The one place where a supervised app gets Node's own timers, behind a port: Effect's runtime, which its clock needs, would
 * cost every such app 14 MB (docs/decisions/0007).
 */
const isClockOfApps = (folder: string, path: string) =>
  folder === "process-supervisor" && path === "internal/app/timers.ts"

const packageOf = (specifier: string) =>
  specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/")

const timers = new Set(["setTimeout", "setInterval"])
const impureMembers = new Set(["Date.now", "Math.random"])

interface Scan {
  readonly imports: ReadonlyArray<string>
  readonly impure: ReadonlyArray<string>
  readonly errors: ReadonlyArray<string>
}

/** Everything a module imports, types and dynamic imports included, and what it takes from the world past Effect. */
export const scan = (path: string, source: string): Scan => {
  const { errors, program } = parseSync(path, source)
  const imports: Array<string> = []
  const impure: Array<string> = []
  new Visitor({
    ImportDeclaration: (node) => {
      imports.push(node.source.value)
      if (/^(node:)?timers(\/promises)?$/.test(node.source.value)) impure.push(node.source.value)
    },
    ExportAllDeclaration: (node) => void imports.push(node.source.value),
    ExportNamedDeclaration: (node) => {
      if (node.source !== null) imports.push(node.source.value)
    },
    ImportExpression: (node) => {
      if (node.source.type === "Literal" && typeof node.source.value === "string") imports.push(node.source.value)
    },
    TSImportType: (node) => void imports.push(node.source.value),
    CallExpression: (node) => {
      if (node.callee.type === "Identifier" && timers.has(node.callee.name)) impure.push(node.callee.name)
    },
    NewExpression: (node) => {
      if (node.callee.type === "Identifier" && node.callee.name === "Date" && node.arguments.length === 0) {
        impure.push("new Date()")
      }
    },
    MemberExpression: (node) => {
      if (node.object.type !== "Identifier" || node.property.type !== "Identifier" || node.computed) return
      const name = `${node.object.name}.${node.property.name}`
      const global = node.object.name === "globalThis" && timers.has(node.property.name)
      if (impureMembers.has(name) || node.object.name === "console" || global) impure.push(name)
    }
  }).visit(program)
  return { imports, impure, errors: errors.map((error) => error.message) }
}

/** Every path that comes back to where it began, once. */
const cycles = (graph: ReadonlyMap<string, ReadonlyArray<string>>): Array<ReadonlyArray<string>> => {
  const found: Array<ReadonlyArray<string>> = []
  const done = new Set<string>()
  const walk = (node: string, path: ReadonlyArray<string>) => {
    const start = path.indexOf(node)
    if (start !== -1) found.push([...path.slice(start), node])
    if (start !== -1 || done.has(node)) return
    for (const next of graph.get(node) ?? []) walk(next, [...path, node])
    done.add(node)
  }
  for (const node of graph.keys()) walk(node, [])
  return found
}

export const violations = (packages: ReadonlyArray<Package>): Array<Violation> => {
  const found: Array<Violation> = []
  const graph = new Map<string, Array<string>>()
  const modules = new Set(
    packages.flatMap(({ folder, sources }) => [...sources.keys()].map((path) => `${folder}/${path}`))
  )

  for (const { folder, manifest, sources } of packages) {
    const floor = floors[folder]
    if (floor === undefined) found.push({ rule: "floor", where: folder, what: "stands on no floor" })
    if (manifest.name !== scope + folder) found.push({ rule: "undeclared", where: folder, what: manifest.name })
    const declared = new Set(Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies }))
    if (declared.has(`${scope}testing`)) {
      found.push({ rule: "testing", where: folder, what: "depends on testing outside devDependencies" })
    }

    for (const [path, source] of sources) {
      const where = `${folder}/${path}`
      const { errors, impure, imports } = scan(path, source)
      const edges: Array<string> = []
      graph.set(where, edges)
      for (const what of errors) found.push({ rule: "syntax", where, what })
      if (!isBrowserCode(folder, path) && !isClockOfApps(folder, path))
        for (const what of impure) found.push({ rule: "impure", where, what })

      for (const what of imports) {
        if (what.startsWith(".")) {
          const target = posix.join(posix.dirname(path), what)
          if (target.startsWith("..")) found.push({ rule: "escape", where, what })
          else if (modules.has(`${folder}/${target}`)) edges.push(`${folder}/${target}`)
          else if (/\.[cm]?[jt]sx?$/.test(target)) found.push({ rule: "unresolved", where, what })
          continue
        }
        if (what.startsWith("node:")) continue
        if (what === "effect") found.push({ rule: "barrel", where, what })
        const name = packageOf(what)
        if (!declared.has(name)) found.push({ rule: "undeclared", where, what })
        if (!name.startsWith(scope)) continue
        const target = name.slice(scope.length)
        const targetFloor = floors[target]
        if (targetFloor === undefined || floor === undefined || targetFloor >= floor) {
          found.push({ rule: "floor", where, what })
        }
        const module = `${target}/${what === name ? "index" : what.slice(name.length + 1)}.ts`
        if (modules.has(module)) edges.push(module)
        else found.push({ rule: "unresolved", where, what })
      }
    }
  }
  for (const cycle of cycles(graph)) found.push({ rule: "cycle", where: cycle[0] ?? "", what: cycle.join(" → ") })
  return found
}
