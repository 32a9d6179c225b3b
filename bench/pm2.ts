/** PM2 as a peer: installed on first use, with a daemon and a home folder of its own, ended afterwards. */
import { execFile } from "node:child_process"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { promisify } from "node:util"

import * as Peers from "./peers.ts"
import * as Peer from "./supervisor/peer.ts"
import * as Processes from "./supervisor/processes.ts"

const version = "7.0.4"
export const name = `pm2 ${version}`

const run = promisify(execFile)

/** As its users write it: a script goes to its own Node, which is ours; anything else is a program. */
const appOf = ({ args, command, name: app }: Peer.Program) => {
  const isNode = command === process.execPath
  const [script, ...rest] = isNode ? args : [command, ...args]
  const interpreter = isNode ? {} : { interpreter: "none" }
  return { ...interpreter, name: app, script, args: rest, exec_mode: "fork", restart_delay: 0, max_restarts: 1_000_000 }
}

export const start: Peer.Start = async (programs) => {
  const home = await Peer.folder()
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
    const file = Path.join(home, "ecosystem.json")
    await Fs.writeFile(file, JSON.stringify({ apps: programs.map(appOf) }))
    await pm2("start", file)
    const pid = Number(await Fs.readFile(Path.join(home, "pm2.pid"), "utf8"))
    if (Processes.family(pid).length === 0) throw new Error("its daemon has gone")
    const release = Processes.endAtExit(pid, "SIGTERM")
    return {
      name,
      pid,
      [Symbol.asyncDispose]: () => {
        release()
        return end()
      }
    }
  } catch (cause) {
    process.stderr.write(`bench: ${name} is not measured: ${cause instanceof Error ? cause.message : String(cause)}\n`)
    await end()
    return undefined
  }
}
