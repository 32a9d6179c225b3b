/**
 * `npm start`: installs what is missing, then runs the NexoBot stack on the Node of this repository.
 *
 * Standard output belongs to the program (`npm start --silent -- --json` is parseable); what an installation says goes
 * to standard error.
 */
import { existsSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

import { launch } from "./launcher.mjs"

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const example = join(root, "examples", "nexobot")
const node = join(root, "node_modules", "node", "bin", process.platform === "win32" ? "node.exe" : "node")

/** @param {string} path */
const read = (path) => (existsSync(path) ? readFileSync(path, "utf8") : undefined)

// pnpm leaves a copy of the lockfile that it has carried out, as its last step.
const isInstalled = () =>
  existsSync(node) &&
  existsSync(join(example, "node_modules")) &&
  read(join(root, "node_modules", ".pnpm", "lock.yaml")) === read(join(root, "pnpm-lock.yaml"))

const main = async () => {
  if (!isInstalled()) {
    process.stderr.write("Installing dependencies (the first time only)\n")
    const code = await launch("npx", ["-y", "pnpm@10.34.9", "install", "--frozen-lockfile"], {
      cwd: root,
      stdio: ["ignore", 2, 2],
      group: true,
      shell: process.platform === "win32"
    })
    if (code !== 0) return code
  }
  return launch(node, [join(example, "src", "main.ts"), ...process.argv.slice(2)])
}

process.exitCode = await main()
