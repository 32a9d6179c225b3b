/**
 * The launcher under real package managers: whatever happens above it, the program is asked to stop, and nothing stays.
 */
import { spawn } from "node:child_process"
import type { ChildProcess } from "node:child_process"
import { randomUUID } from "node:crypto"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"

import { afterEach, describe, expect, it } from "vitest"

const root = join(import.meta.dirname, "..")
const program = join(root, "test/fixtures/launcher/program.mjs")
const launcher = join(root, "scripts/launcher.mjs")
const onLinux = process.platform === "linux"

/** The PATH of a user's shell: without what the package manager that runs these tests has put before it. */
const plainPath = (process.env["PATH"] ?? "")
  .split(delimiter)
  .filter((folder) => !folder.includes("node_modules"))
  .join(delimiter)

/** The start script of this repository, for another file. */
const script: string = JSON.parse(readFileSync(join(root, "package.json"), "utf8")).scripts.start.replace(
  "scripts/start",
  "run"
)

const folders: Array<string> = []
const marks: Array<string> = []

const eventually = async (what: string, holds: () => boolean, within = 20_000) => {
  const end = performance.now() + within
  while (!holds()) {
    if (performance.now() > end) throw new Error(`not within ${within} ms: ${what}`)
    await sleep(25)
  }
}

/** Every process that inherited the mark, zombies aside. */
const marked = (mark: string): Array<number> =>
  readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return []
    try {
      return readFileSync(`/proc/${name}/environ`, "latin1").includes(mark) ? [Number(name)] : []
    } catch {
      return []
    }
  })

interface Run {
  readonly folder: string
  readonly mark: string
  readonly child: ChildProcess
  readonly exit: Promise<number | NodeJS.Signals | null>
  readonly signals: () => Array<string>
}

const start = async (
  command: ReadonlyArray<string>,
  options: { readonly installed?: boolean; readonly code?: number; readonly group?: boolean } = {}
): Promise<Run> => {
  const folder = mkdtempSync(join(tmpdir(), "launcher-"))
  const mark = `LAUNCHER_TEST_MARK=${randomUUID()}`
  folders.push(folder)
  marks.push(mark)
  const words = [process.execPath, program, folder, String(options.code ?? 0)]
  const launched =
    options.group === true
      ? ["sh", ["-c", `${words.join(" ")} & wait`], { group: true }]
      : [process.execPath, words.slice(1)]
  writeFileSync(
    join(folder, "package.json"),
    JSON.stringify({
      name: "stand-in",
      version: "0.0.0",
      private: true,
      type: "module",
      scripts: { up: script }
    })
  )
  writeFileSync(
    join(folder, "run.mjs"),
    `import { launch } from ${JSON.stringify(launcher)}
     process.exitCode = await launch(...${JSON.stringify(launched)})`
  )
  // The shim of this repository's Node, which npm puts before everything on the PATH of its scripts.
  if (options.installed === true) symlinkSync(join(root, "node_modules"), join(folder, "node_modules"))
  const [name = "", ...args] = command
  const clean = Object.fromEntries(Object.entries(process.env).filter(([key]) => !/^(npm_|pnpm_|NODE_)/i.test(key)))
  const child = spawn(name, args, {
    cwd: folder,
    detached: true,
    stdio: "ignore",
    env: { ...clean, PATH: plainPath, [mark.split("=")[0] ?? ""]: mark.split("=")[1] }
  })
  const exit = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.once("exit", (exitCode, signal) => resolve(exitCode ?? signal))
  })
  await eventually("the program is up", () => existsSync(join(folder, "ready")))
  return {
    folder,
    mark,
    child,
    exit,
    signals: () =>
      existsSync(join(folder, "signals")) ? readFileSync(join(folder, "signals"), "utf8").trim().split("\n") : []
  }
}

const expectCleanEnd = async (run: Run) => {
  await eventually("no process is left", () => marked(run.mark).length === 0)
  expect(existsSync(join(run.folder, "lock")), "the program cleaned up").toBe(false)
}

afterEach(() => {
  for (const mark of marks.splice(0)) for (const pid of onLinux ? marked(mark) : []) process.kill(pid, "SIGKILL")
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

const every = ["SIGTERM", "SIGINT", "SIGHUP", "SIGKILL"] as const
// npx puts a shell of its own before pnpm, which keeps an INT for itself until its child has ended (Ctrl-C, which reaches
// the whole group, is another matter): nobody below can see it.
const managers = [
  { title: "npm", command: ["npm", "run", "up"], installed: true, signals: every },
  { title: "npm before anything is installed", command: ["npm", "run", "up"], installed: false, signals: every },
  {
    title: "npx pnpm",
    command: ["npx", "-y", "pnpm@10.34.9", "run", "up"],
    installed: true,
    signals: every.filter((signal) => signal !== "SIGINT")
  }
]

describe.runIf(onLinux)("the launcher", () => {
  for (const { command, installed, signals, title } of managers) {
    for (const signal of signals) {
      it(`stops the program once when ${title} gets ${signal}`, async () => {
        const run = await start(command, { installed })
        process.kill(run.child.pid ?? 0, signal)
        await expectCleanEnd(run)
        expect(run.signals()).toHaveLength(1)
      })
    }
  }

  it("is asked twice by Ctrl-C, which reaches the whole group, and ends once", async () => {
    const run = await start(["npm", "run", "up"])
    process.kill(-(run.child.pid ?? 0), "SIGINT")
    await expectCleanEnd(run)
    expect(run.signals().every((signal) => signal === "SIGINT")).toBe(true)
  })

  it("hands a hang-up on as SIGTERM, and the program's exit code back", async () => {
    const run = await start([process.execPath, "run.mjs"], { code: 3 })
    process.kill(run.child.pid ?? 0, "SIGHUP")
    expect(await run.exit).toBe(3)
    expect(run.signals()).toEqual(["SIGTERM"])
    await expectCleanEnd(run)
  })

  it("exits with 128+n when a signal ends the program", async () => {
    const run = await start([process.execPath, "run.mjs"])
    process.kill(Number(readFileSync(join(run.folder, "lock"), "utf8")), "SIGKILL")
    expect(await run.exit).toBe(137)
  })

  it("leaves nothing when it is killed itself", async () => {
    const run = await start([process.execPath, "run.mjs"])
    run.child.kill("SIGKILL")
    await expectCleanEnd(run)
    // The kernel sends one for each thread of the launcher that dies.
    expect(new Set(run.signals())).toEqual(new Set(["SIGTERM"]))
  })

  it("ends a program of a group of its own with all that it started", async () => {
    // As an installation is run: npx, a shell and pnpm, of which the first gets the signal.
    const run = await start([process.execPath, "run.mjs"], { group: true })
    run.child.kill("SIGTERM")
    await expectCleanEnd(run)
    expect(run.signals()).toEqual(["SIGTERM"])
  })

  it("does not end with a parent that is no package manager", async () => {
    const run = await start(["bash", "-c", "node run.mjs & exit 0"])
    expect(await run.exit).toBe(0)
    await sleep(1_000)
    expect(run.signals()).toEqual([])
    process.kill(Number(readFileSync(join(run.folder, "lock"), "utf8")), "SIGTERM")
    await expectCleanEnd(run)
  })
})
