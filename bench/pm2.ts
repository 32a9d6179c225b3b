/** PM2 as a peer: installed on first use, with a daemon and a home folder of its own, ended afterwards. */
import { execFile } from "node:child_process"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import { promisify } from "node:util"

import { script } from "./gateway.ts"
import * as Peers from "./peers.ts"

const version = "7.0.4"
export const name = `pm2 ${version}`

const run = promisify(execFile)
/** A gateway on `port` under PM2; `undefined`, with a note on stderr, where PM2 cannot be had. */
export const startGateway = async (port: number): Promise<AsyncDisposable | undefined> => {
  const home = await Fs.mkdtemp(Path.join(Os.tmpdir(), "bench-pm2-"))
  let binary = ""
  const pm2 = (...args: ReadonlyArray<string>) =>
    run(process.execPath, [binary, ...args], { env: { ...process.env, PM2_HOME: home }, timeout: 60_000 })
  // Ends the daemon of this home folder and no other.
  const end = async (): Promise<void> => {
    if (binary !== "") await pm2("kill").catch(() => undefined)
    await Fs.rm(home, { recursive: true, force: true })
  }
  try {
    binary = Path.join(await Peers.install("pm2", version), "node_modules/pm2/bin/pm2")
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
