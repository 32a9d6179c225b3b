/**
 * What the scripts share: the places, the packages, and running tools on the Node of this repository.
 */
import { spawn } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

export const root = dirname(dirname(fileURLToPath(import.meta.url)))

export const packages = readdirSync(join(root, "packages")).map((name) => {
  const folder = join(root, "packages", name)
  return { name, folder, manifest: JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) }
})

/** The command line of pnpm, of the version that the lockfile was written with. */
export const pnpm = ["npx", "-y", "pnpm@10.34.9"]

/**
 * Runs a command to its end and gives back all it said.
 *
 * @param {ReadonlyArray<string>} command a tool of node_modules/.bin is found by its name
 * @param {{ cwd?: string, env?: Record<string, string> }} [options]
 * @returns {Promise<{ code: number, output: string, stdout: string }>}
 */
export const run = ([program = "", ...args], options = {}) =>
  new Promise((resolve) => {
    const bin = join(root, "node_modules", ".bin")
    const child = spawn(program, args, {
      cwd: options.cwd ?? root,
      env: { ...process.env, PATH: `${bin}:${process.env["PATH"]}`, FORCE_COLOR: "0", ...options.env },
      stdio: ["ignore", "pipe", "pipe"]
    })
    let output = ""
    let stdout = ""
    child.stdout.on("data", (chunk) => {
      output += chunk
      stdout += chunk
    })
    child.stderr.on("data", (chunk) => (output += chunk))
    child.once("error", (error) => resolve({ code: 127, output: `${program}: ${error.message}`, stdout }))
    child.once("close", (code, signal) => resolve({ code: code ?? 1, output: output + (signal ?? ""), stdout }))
  })

/**
 * As `run`, but a failure is an exception that carries what was said.
 *
 * @param {ReadonlyArray<string>} command
 * @param {{ cwd?: string, env?: Record<string, string> }} [options]
 */
export const must = async (command, options) => {
  const { code, output, stdout } = await run(command, options)
  if (code !== 0) throw new Error(`${command.join(" ")}\nexited with ${code}\n${output.trimEnd()}`)
  return { output, stdout }
}

/** Packs every package as pnpm would publish it, and gives the tarballs by package name. @param {string} destination */
export const packAll = async (destination) => {
  const { stdout } = await must([
    ...pnpm,
    "--recursive",
    "--filter=./packages/*",
    "pack",
    "--json",
    `--pack-destination=${destination}`
  ])
  /** @type {Array<{ name: string, filename: string }>} */
  const packed = JSON.parse(stdout)
  return new Map(packed.map(({ filename, name }) => [name, filename]))
}
