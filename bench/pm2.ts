/** PM2 as a peer: installed on first use, with a daemon and a home folder of its own, ended afterwards. */
import { execFile } from "node:child_process"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import { promisify } from "node:util"

import { script } from "./gateway.ts"
import { inBench } from "./paths.ts"

const version = "7.0.4"
export const name = `pm2 ${version}`

const run = promisify(execFile)
const cache = inBench("../node_modules/.cache/bench-peers")
const binary = Path.join(cache, "node_modules/pm2/bin/pm2")

const install = async (): Promise<void> => {
  const installed = await Fs.readFile(Path.join(cache, "node_modules/pm2/package.json"), "utf8").catch(() => "")
  if (installed.includes(`"version": "${version}"`)) return
  process.stderr.write(`bench: installing ${name} into node_modules/.cache/bench-peers\n`)
  await Fs.mkdir(cache, { recursive: true })
  await Fs.writeFile(Path.join(cache, "package.json"), JSON.stringify({ private: true }))
  const what = ["install", `pm2@${version}`, "--no-audit", "--no-fund", "--no-save", "--ignore-scripts"]
  await run("npm", what, { cwd: cache, timeout: 300_000 })
}

/** A gateway on `port` under PM2; `undefined`, with a note on stderr, where PM2 cannot be had. */
export const startGateway = async (port: number): Promise<AsyncDisposable | undefined> => {
  const home = await Fs.mkdtemp(Path.join(Os.tmpdir(), "bench-pm2-"))
  const pm2 = (...args: ReadonlyArray<string>) =>
    run(process.execPath, [binary, ...args], { env: { ...process.env, PM2_HOME: home }, timeout: 60_000 })
  // Ends the daemon of this home folder and no other.
  const end = async (): Promise<void> => {
    await pm2("kill").catch(() => undefined)
    await Fs.rm(home, { recursive: true, force: true })
  }
  try {
    await install()
    await pm2(
      "start",
      script,
      "--name",
      "gateway",
      "--restart-delay",
      "0",
      "--max-restarts",
      "1000",
      "--",
      String(port)
    )
    return { [Symbol.asyncDispose]: end }
  } catch (cause) {
    process.stderr.write(`bench: ${name} is not measured: ${cause instanceof Error ? cause.message : String(cause)}\n`)
    await end()
    return undefined
  }
}
