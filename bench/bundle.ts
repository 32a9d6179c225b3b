/**
 * Bundles one file to JavaScript: what users run is JavaScript, too, and Node's type stripping takes some 40 MB, which a
 * supervisor pays for with every fork.
 */
import * as Path from "node:path"

import { build } from "tsup"

import { inBench } from "./paths.ts"

const outDir = inBench("../node_modules/.cache/bench")

/** `entry` is a path within this folder; gives the path of the bundle. */
export const bundle = async (entry: string): Promise<string> => {
  const name = entry.replace(/\.ts$/, "").replaceAll("/", "-")
  await build({
    entry: { [name]: inBench(entry) },
    outDir,
    config: false,
    silent: true,
    format: "esm",
    outExtension: () => ({ js: ".mjs" }),
    target: "node22",
    platform: "node",
    dts: false,
    noExternal: [/.*/],
    banner: { js: `import { createRequire } from "node:module"; const require = createRequire(import.meta.url);` }
  })
  return Path.join(outDir, `${name}.mjs`)
}
