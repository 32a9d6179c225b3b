/** What is measured beside ours: packages that are no dependencies, each installed on first use into a folder of its own. */
import { execFile } from "node:child_process"
import * as Fs from "node:fs/promises"
import * as Module from "node:module"
import * as Path from "node:path"
import { promisify } from "node:util"

import { inBench } from "./paths.ts"

const cache = inBench("../node_modules/.cache/bench-peers")

/** The folder that has `node_modules/<name>` in that version. */
export const install = async (name: string, version: string): Promise<string> => {
  const folder = Path.join(cache, name)
  const manifest = Path.join(folder, "node_modules", name, "package.json")
  const installed = await Fs.readFile(manifest, "utf8").catch(() => "")
  if (installed.includes(`"version": "${version}"`)) return folder
  process.stderr.write(`bench: installing ${name} ${version} into node_modules/.cache/bench-peers\n`)
  await Fs.mkdir(folder, { recursive: true })
  await Fs.writeFile(Path.join(folder, "package.json"), JSON.stringify({ private: true }))
  const what = ["install", `${name}@${version}`, "--no-audit", "--no-fund", "--no-save", "--ignore-scripts"]
  await promisify(execFile)("npm", what, { cwd: folder, timeout: 300_000 })
  return folder
}

/** The package itself; `undefined`, with a note on stderr, where it cannot be had. */
export const load = async (name: string, version: string): Promise<unknown> => {
  try {
    return Module.createRequire(Path.join(await install(name, version), "package.json"))(name)
  } catch (cause) {
    process.stderr.write(
      `bench: ${name} ${version} is not measured: ${cause instanceof Error ? cause.message : String(cause)}\n`
    )
    return undefined
  }
}
