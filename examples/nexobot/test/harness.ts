/** Runs the example as a user does: its own process, free ports, a state folder of its own. */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"

const main = fileURLToPath(new URL("../src/main.ts", import.meta.url))

const freePort = () =>
  new Promise<number>((resolve, reject) => {
    const server = Net.createServer()
    server.on("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

export interface Place {
  readonly folder: string
  readonly config: string
  readonly ports: { gateway: number; webUi: number; redis: number; console: number }
}

/** A state folder and a stack definition with free ports. */
export const makePlace = async (): Promise<Place> => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "nexobot-stack-"))
  const ports = {
    gateway: await freePort(),
    webUi: await freePort(),
    redis: await freePort(),
    console: await freePort()
  }
  const defaults = JSON.parse(Fs.readFileSync(new URL("../nexobot.json", import.meta.url), "utf8"))
  const config = Path.join(folder, "stack.json")
  const parts = Object.entries(ports).map(([name, port]) => [name, { port }])
  Fs.writeFileSync(config, JSON.stringify({ ...defaults, ...Object.fromEntries(parts) }))
  return { folder, config, ports }
}

export const removePlace = ({ folder }: Place) => Fs.rmSync(folder, { recursive: true, force: true })

export interface Running {
  readonly pid: number
  readonly stdout: () => string
  readonly stderr: () => string
  readonly kill: (signal: NodeJS.Signals) => void
  /** Its exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals | null>
}

export const run = (place: Place, args: ReadonlyArray<string> = []): Running => {
  const child = ChildProcess.spawn(process.execPath, [main, "--config", place.config, ...args], {
    env: { PATH: process.env["PATH"], HOME: place.folder, NEXO_STATE_DIR: Path.join(place.folder, "state") },
    stdio: ["ignore", "pipe", "pipe"]
  })
  const output = { stdout: "", stderr: "" }
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output.stdout += text))
  child.stderr.setEncoding("utf8").on("data", (text: string) => (output.stderr += text))
  return {
    pid: child.pid ?? 0,
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    kill: (signal) => void child.kill(signal),
    ended: new Promise((resolve) => child.on("close", (code, signal) => resolve(code ?? signal)))
  }
}

/** Asks until the answer is not undefined, for at most `seconds`. */
export const eventually = async <A>(
  what: string,
  ask: () => A | undefined | Promise<A | undefined>,
  seconds = 30
): Promise<A> => {
  const end = performance.now() + seconds * 1000
  for (;;) {
    const answer = await ask()
    if (answer !== undefined) return answer
    if (performance.now() > end) throw new Error(`not within ${seconds} s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** Started, with its table printed. */
export const start = async (place: Place): Promise<Running> => {
  const running = run(place)
  let over: number | NodeJS.Signals | null | undefined
  void running.ended.then((code) => (over = code))
  await eventually("the stack is up", () => {
    if (over !== undefined) throw new Error(`the stack ended with ${over}: ${running.stderr()}`)
    return running.stdout().includes("Ctrl-C") ? true : undefined
  })
  return running
}

/** The process that ends what this one supervises, should it be killed. */
export const guardianOf = (supervisor: number): number => {
  const pid = Fs.readdirSync("/proc").find((name) => {
    try {
      const [command, stat] = ["cmdline", "stat"].map((file) => Fs.readFileSync(`/proc/${name}/${file}`, "utf8"))
      return command?.includes("nexo-guardian") && stat?.split(") ")[1]?.split(" ")[1] === String(supervisor)
    } catch {
      return false // gone, or no process
    }
  })
  if (pid === undefined) throw new Error(`process ${supervisor} has no guardian`)
  return Number(pid)
}

export const isAlive = (pid: number): boolean => {
  try {
    const stat = Fs.readFileSync(`/proc/${pid}/stat`, "utf8")
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2))
  } catch {
    return false
  }
}

/** Living processes that some supervisor started for this place. */
export const supervised = (place: Place): ReadonlyArray<number> =>
  Fs.readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const environment = Fs.readFileSync(`/proc/${pid}/environ`, "utf8")
        return isAlive(pid) && environment.includes("NEXO_SUPERVISED=") && environment.includes(place.folder)
      } catch {
        return false
      }
    })

export const isFree = (port: number) =>
  new Promise<boolean>((resolve) => {
    const server = Net.createServer()
    server.on("error", () => resolve(false))
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)))
  })

export const stateFile = (place: Place, name: string) => Path.join(place.folder, "state", name)

export const hola = async (place: Place): Promise<string | undefined> => {
  try {
    const token = Fs.readFileSync(stateFile(place, "gateway.token"), "utf8").trim()
    const response = await fetch(`http://127.0.0.1:${place.ports.gateway}/message`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, connection: "close" },
      body: JSON.stringify({ message: "Hola" }),
      signal: AbortSignal.timeout(2000)
    })
    return /"reply":"(.*)"/.exec(await response.text())?.[1]
  } catch {
    return undefined
  }
}
