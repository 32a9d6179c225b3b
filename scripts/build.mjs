/**
 * Builds every package into its `dist`: declarations by `tsc -b`, JavaScript by tsup.
 */
import { readdirSync, rmSync } from "node:fs"
import { join } from "node:path"

import { build } from "tsup"

import { must, packages } from "./workspace.mjs"

/**
 * The one tsup configuration. An entry for each public module, so that `@nexobot/probes/HttpProbe` loads that module
 * alone; what entries share goes into chunks, so that a class exists once. What the manifest names stays an import.
 *
 * @param {(typeof packages)[number]} pack
 * @returns {import("tsup").Options}
 */
const options = ({ folder, manifest }) => ({
  config: false,
  entry: readdirSync(join(folder, "src"))
    .filter((file) => file.endsWith(".ts"))
    .map((file) => join(folder, "src", file)),
  outDir: join(folder, "dist"),
  format: "esm",
  target: "node22",
  platform: "node",
  removeNodeProtocol: false,
  splitting: true,
  sourcemap: true,
  dts: false,
  clean: false,
  silent: true,
  external: Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies }).map(
    (name) => new RegExp(`^${name}(/|$)`)
  )
})

try {
  // Chunks carry a hash in their name: what an earlier build left would be published too.
  for (const { folder } of packages) rmSync(join(folder, "dist"), { recursive: true, force: true })
  await must(["tsc", "-b", "--pretty", "false", ...packages.map(({ folder }) => folder)])
  for (const pack of packages) await build(options(pack))
  process.stdout.write(`built ${packages.map(({ name }) => name).join(", ")}\n`)
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
