/**
 * NexoBot's gateway, a small real server that behaves, and breaks, like the gateways of the field: it takes a lock file
 * and believes any living pid in it, and it shares its port with a worker that can outlive it.
 *
 * Environment: PORT, GATEWAY_TOKEN, GATEWAY_LOCK (path of the lock file).
 */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import { fileURLToPath } from "node:url"

import * as GatewayServer from "./gatewayServer.ts"

const lockTimeout = 500
const listenTimeout = 300
const pause = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

const setting = (name: string): string => {
  const value = process.env[name]
  if (value === undefined || value === "") throw new Error(`the gateway needs ${name} in its environment`)
  return value
}
const port = Number(setting("PORT"))
const token = setting("GATEWAY_TOKEN")
const lock = setting("GATEWAY_LOCK")

const fail = (message: string): never => {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}

/** The pid in the lock file, if the file is there. Only asks whether the pid exists: that is the weakness. */
const lockHolder = (): { readonly pid: number; readonly alive: boolean } | undefined => {
  let pid: number
  try {
    pid = Number(JSON.parse(Fs.readFileSync(lock, "utf8")).pid)
  } catch {
    return undefined
  }
  try {
    process.kill(pid, 0)
    return { pid, alive: true }
  } catch {
    return { pid, alive: false }
  }
}

const takeLock = async () => {
  for (const start = performance.now(); ; await pause(50)) {
    const holder = lockHolder()
    if (holder === undefined || !holder.alive) break
    if (performance.now() - start > lockTimeout) {
      fail(`gateway already running (pid ${holder.pid}); lock timeout after ${lockTimeout}ms`)
    }
  }
  const stat = Fs.readFileSync("/proc/self/stat", "utf8")
  const startTime = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19])
  const owner = { pid: process.pid, createdAt: new Date().toISOString(), startTime }
  Fs.writeFileSync(lock, `${JSON.stringify(owner)}\n`, { mode: 0o600 })
}
const releaseLock = () => {
  if (lockHolder()?.pid === process.pid) Fs.rmSync(lock, { force: true })
}

const server = GatewayServer.make(token)
const listenOnce = () =>
  new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
    server.once("error", resolve)
    server.listen(port, "127.0.0.1", () => resolve(undefined))
  })
const listen = async () => {
  for (const start = performance.now(); ; await pause(50)) {
    const error = await listenOnce()
    if (error === undefined) return
    if (performance.now() - start > listenTimeout) {
      releaseLock()
      fail(`another gateway instance is already listening on ws://127.0.0.1:${port} (${error.code ?? error.message})`)
    }
  }
}

/** In a session of its own, so that a terminal's Ctrl-C does not reach it; and so nothing that ends our group does. */
const startWorker = (): ChildProcess.ChildProcess => {
  const worker = ChildProcess.fork(fileURLToPath(new URL("gateway-worker.ts", import.meta.url)), {
    detached: true,
    stdio: ["ignore", "inherit", "inherit", "ipc"]
  })
  worker.send("port", server)
  return worker
}

await takeLock()
await listen()
let worker = startWorker()
let stopping = false
worker.on("exit", function again() {
  if (stopping) return
  worker = startWorker()
  worker.on("exit", again)
})

const stop = () => {
  if (stopping) return
  stopping = true
  worker.kill("SIGTERM")
  server.close(() => {
    releaseLock()
    process.exit(0)
  })
  server.closeIdleConnections()
}
process.on("SIGTERM", stop)
process.on("SIGINT", stop)
