import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join, relative, sep } from "node:path"

import { describe, expect, it } from "vitest"

import { floors, scan, violations } from "./architecture.ts"
import type { Manifest, Package } from "./architecture.ts"

const root = join(import.meta.dirname, "..")
/** By name anywhere, or by path from the root. */
const generated = new Set(["node_modules", "dist", "coverage", ".git", ".nexobot", "docs/api", "docs/.vitepress/cache"])

const filesBelow = (folder: string): Array<string> =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    // Another test compiles the documentation in a folder of its own, which comes and goes.
    if (entry.name.startsWith(".documentation-")) return []
    if (generated.has(entry.name) || generated.has(relative(root, path).replaceAll(sep, "/"))) return []
    return entry.isDirectory() ? filesBelow(path) : entry.isFile() ? [path] : []
  })

const readPackage = (folder: string): Package => {
  const src = join(root, "packages", folder, "src")
  return {
    folder,
    manifest: JSON.parse(readFileSync(join(root, "packages", folder, "package.json"), "utf8")),
    sources: new Map(
      filesBelow(src)
        .filter((path) => path.endsWith(".ts"))
        .map((path) => [relative(src, path).replaceAll(sep, "/"), readFileSync(path, "utf8")])
    )
  }
}

const folders = readdirSync(join(root, "packages"))
const packages = folders.map(readPackage)

const lines = (path: string) => readFileSync(path, "utf8").trimEnd().split("\n").length

const fabricate = (
  folder: string,
  sources: Readonly<Record<string, string>>,
  manifest: Omit<Manifest, "name"> = {}
): Package => ({
  folder,
  manifest: { name: `@nexobot/${folder}`, peerDependencies: { effect: "^4.1.0" }, ...manifest },
  sources: new Map(Object.entries(sources))
})

const on = (...names: ReadonlyArray<string>) => ({
  dependencies: Object.fromEntries(names.map((name) => [name, "workspace:^"]))
})

describe("the rules", () => {
  const core = fabricate("core", { "index.ts": "", "Probe.ts": "" })

  const caught: ReadonlyArray<readonly [rule: string, packages: ReadonlyArray<Package>]> = [
    ["floor", [fabricate("core", { "a.ts": `import type { X } from "@nexobot/recovery"` }, on("@nexobot/recovery"))]],
    ["floor", [fabricate("probes", { "a.ts": `export * from "@nexobot/backup"` }, on("@nexobot/backup"))]],
    ["floor", [fabricate("console", { "a.ts": `await import("@nexobot/presets")` }, on("@nexobot/presets"))]],
    ["floor", [fabricate("probes", { "a.ts": `import "@nexobot/probes/b"` }, on("@nexobot/probes"))]],
    ["floor", [fabricate("core", { "a.ts": `type X = import("@nexobot/recovery").X` }, on("@nexobot/recovery"))]],
    ["floor", [fabricate("stranger", {})]],
    ["testing", [fabricate("probes", {}, on("@nexobot/testing"))]],
    ["undeclared", [fabricate("core", { "a.ts": `import { execa } from "execa"` })]],
    ["undeclared", [fabricate("core", { "a.ts": `import "vitest"` }, { devDependencies: { vitest: "5.1.0" } })]],
    ["undeclared", [core, fabricate("probes", { "a.ts": `import * as Probe from "@nexobot/core/Probe"` })]],
    ["escape", [fabricate("core", { "a.ts": `import "../test/a.ts"` })]],
    ["barrel", [fabricate("core", { "a.ts": `import { Effect } from "effect"` })]],
    ["unresolved", [core, fabricate("probes", { "a.ts": `import "@nexobot/core/Gone"` }, on("@nexobot/core"))]],
    ["cycle", [fabricate("core", { "a.ts": `import "./b.ts"`, "b.ts": `import type { A } from "./a.ts"` })]],
    ["cycle", [fabricate("core", { "a.ts": `import "./b/c.ts"`, "b/c.ts": `import "../a.ts"` })]],
    [
      "cycle",
      [
        fabricate("core", { "index.ts": `import "@nexobot/recovery"` }, on("@nexobot/recovery")),
        fabricate("recovery", { "index.ts": `import "@nexobot/core"` }, on("@nexobot/core"))
      ]
    ],
    ["impure", [fabricate("core", { "a.ts": "export const now = () => Date.now()" })]],
    ["impure", [fabricate("core", { "a.ts": "export const now = new Date()" })]],
    ["impure", [fabricate("core", { "a.ts": "setTimeout(() => {}, 1)" })]],
    ["impure", [fabricate("core", { "a.ts": "globalThis.setInterval(() => {}, 1)" })]],
    ["impure", [fabricate("core", { "a.ts": `import { setTimeout } from "node:timers/promises"` })]],
    ["impure", [fabricate("core", { "a.ts": "[1].map(Math.random)" })]],
    ["impure", [fabricate("console", { "Server.ts": `console.log("up")` })]],
    ["syntax", [fabricate("core", { "a.ts": "const = 1" })]]
  ]
  for (const [index, [rule, made]] of caught.entries()) {
    it(`${rule} is caught (${index + 1})`, () => {
      expect(violations(made).map((violation) => violation.rule)).toContain(rule)
    })
  }

  it("leave alone what is allowed", () => {
    const probes = fabricate(
      "probes",
      {
        "index.ts": `export * as Http from "./internal/Http.ts"`,
        "internal/Http.ts": `
          import { readFileSync } from "node:fs"
          import * as Effect from "effect/Effect"
          import type * as Probe from "@nexobot/core/Probe"
          /** Not Date.now(), nor console.log */
          export const text = "setTimeout(() => {}, 1)"
          export const at = (millis: number) => new Date(millis)`
      },
      on("@nexobot/core")
    )
    const page = fabricate("console", { "internal/dashboard/page.ts": "setInterval(() => console.log(Date.now()), 1)" })
    expect(violations([core, probes, page])).toEqual([])
  })
})

describe("the packages", () => {
  it("are read, with their sources and imports", () => {
    expect(folders).toEqual(expect.arrayContaining(["core", "testing", "probes", "remediators", "recovery", "console"]))
    for (const { folder, sources } of packages) expect([...sources.keys()], folder).toContain("index.ts")
    const imports = packages.flatMap(({ sources }) => [...sources].flatMap(([path, text]) => scan(path, text).imports))
    expect(imports).toEqual(expect.arrayContaining(["effect/Effect", "./Verdict.ts"]))
    expect(imports.length).toBeGreaterThan(100)
  })

  it("keep the architecture", () => {
    expect(violations(packages).map(({ rule, what, where }) => `${rule}: ${where}: ${what}`)).toEqual([])
  })

  it("stand on the floors, none forgotten", () => {
    expect(folders.filter((folder) => floors[folder] === undefined)).toEqual([])
  })
})

describe("the readmes", () => {
  it("of the repository has at most 100 lines", () => {
    expect(lines(join(root, "README.md"))).toBeLessThanOrEqual(100)
  })

  for (const folder of folders) {
    it(`of ${folder} exists and has at most 40 lines`, () => {
      const path = join(root, "packages", folder, "README.md")
      expect(existsSync(path), path).toBe(true)
      expect(lines(path)).toBeLessThanOrEqual(40)
    })
  }
})

it("nothing refers to files outside the repository", () => {
  const outside = new RegExp(["\\.\\.", "shared"].join("/") + "|" + ["", "work", "(main|shared)"].join("/"))
  const files = filesBelow(root)
  expect(files.length).toBeGreaterThan(50)
  expect(outside.test(["..", "shared", "x.md"].join("/"))).toBe(true)
  expect(files.filter((path) => outside.test(readFileSync(path, "utf8"))).map((path) => relative(root, path))).toEqual(
    []
  )
})
