import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"

import { assert, describe, it } from "@effect/vitest"

const root = fileURLToPath(new URL("..", import.meta.url))

interface Example {
  readonly name: string
  readonly code: string
}

/** The TypeScript and JavaScript of a page, block by block. */
const examplesIn = (page: string): ReadonlyArray<Example> =>
  [...Fs.readFileSync(Path.join(root, page), "utf8").matchAll(/^```(ts|js)\n(.*?)^```$/gms)].map(
    ([, language = "", code = ""], index) => ({
      name: `${page.replaceAll(/[/.]/g, "_")}_${index + 1}.${language === "ts" ? "mts" : "mjs"}`,
      code
    })
  )

const pagesIn = (folder: string): ReadonlyArray<string> =>
  Fs.readdirSync(Path.join(root, folder))
    .filter((name) => name.endsWith(".md"))
    .map((name) => Path.join(folder, name))

const pages = [
  "README.md",
  ...Fs.readdirSync(Path.join(root, "packages")).map((name) => Path.join("packages", name, "README.md")),
  ...pagesIn("docs"),
  ...pagesIn("docs/guide"),
  ...pagesIn("docs/policies"),
  ...pagesIn("docs/probes"),
  ...pagesIn("docs/supervisor")
].filter((page) => Fs.existsSync(Path.join(root, page)))

/** What the compiler says of the examples; empty when all are right. */
const compile = (examples: ReadonlyArray<Example>): string => {
  // Inside the example, so that the packages are found as they are by an application.
  const folder = Fs.mkdtempSync(Path.join(root, "examples/nexobot/.documentation-"))
  try {
    for (const { code, name } of examples) Fs.writeFileSync(Path.join(folder, name), `${code}\nexport {}\n`)
    const config = {
      extends: Path.join(root, "tsconfig.base.json"),
      compilerOptions: {
        noEmit: true,
        composite: false,
        incremental: false,
        declaration: false,
        declarationMap: false,
        emitDeclarationOnly: false,
        noUnusedLocals: false,
        allowJs: true,
        checkJs: true,
        typeRoots: [Path.join(root, "node_modules/@types")]
      },
      include: ["*.mts", "*.mjs"]
    }
    Fs.writeFileSync(Path.join(folder, "tsconfig.json"), JSON.stringify(config))
    const tsc = Path.join(root, "node_modules/typescript/bin/tsc")
    const result = ChildProcess.spawnSync(process.execPath, [tsc, "-p", folder], { encoding: "utf8" })
    return result.stdout + result.stderr
  } finally {
    Fs.rmSync(folder, { recursive: true })
  }
}

describe("documentation", () => {
  it("every example compiles", { timeout: 120_000 }, () => {
    const examples = pages.flatMap(examplesIn)
    assert.isAtLeast(examples.length, 5)
    assert.strictEqual(compile(examples), "")
  })

  it("would notice an example that does not", { timeout: 120_000 }, () => {
    const wrong =
      'import { Component } from "@nexobot/core"\nComponent.make({ name: "x", probes: [] }, { "No/Such": [] })'
    assert.include(compile([{ name: "wrong.mts", code: wrong }]), "wrong.mts")
  })
})
