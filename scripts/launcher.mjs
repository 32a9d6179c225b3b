/**
 * Runs a program as if it were the shell's own child, although npm, npx, pnpm and `sh` stand between.
 *
 * - Signals: INT and TERM are forwarded as they are, HUP as TERM (Effect's `runMain` handles INT and TERM only, and a
 *   hang-up asks for the same orderly end). The program stays in the launcher's process group, so that it keeps the
 *   terminal and a `kill -9` of the group leaves nothing behind. Ctrl-C therefore reaches it from the terminal and once
 *   more from here; npm forwards it as well. Equal signals within half a second are forwarded once, and the program
 *   must take a second one as the same request, which `runMain` does.
 * - Ancestors: a signal to npm's own pid does not always reach what npm started, and SIGKILL never does. The ancestors up to
 *   the outermost package manager are watched; when one is gone, the program gets a TERM.
 *   An INT to npm's pid alone arrives only if the package script says `exec`: dash keeps it otherwise.
 * - The launcher itself killed with SIGKILL: on Linux the kernel then sends the program a TERM (`setpriv --pdeathsig`),
 *   where util-linux has it.
 *
 * Plain JavaScript for Node 20 and later: it runs before anything is installed.
 */
import { spawn, spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { constants } from "node:os"

const pollInterval = 200
const repeatWindow = 500
const packageManagers = /^(npm|npx|pnpm|pnpx|yarn|corepack)(-cli)?(\.[cm]?js|\.exe|\.cmd)?$/

/**
 * @typedef {object} Ancestor
 * @property {number} pid
 * @property {string} started start time in clock ticks since boot, which tells a reused pid; empty where unknown
 */

/**
 * @param {number} pid
 * @returns {{ state: string, parent: number, session: number, started: string } | undefined}
 */
const readStat = (pid) => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1")
    // The command's name stands in parentheses and may itself contain spaces and parentheses.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ")
    return {
      state: fields[0] ?? "",
      parent: Number(fields[1]),
      session: Number(fields[3]),
      started: fields[19] ?? ""
    }
  } catch {
    return undefined
  }
}

/** @param {number} pid */
const isPackageManager = (pid) => {
  try {
    const argv = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")
    // npm writes its title ("npm run start") over its arguments.
    const words = [(argv[0] ?? "").split(" ")[0] ?? "", ...argv.slice(1, 4)]
    return words.some((word) => packageManagers.test(word.slice(word.lastIndexOf("/") + 1)))
  } catch {
    return false
  }
}

/**
 * The ancestors of this process up to the outermost package manager of its session, nearest first. Empty when no
 * package manager stands above: then whoever started the launcher may leave without ending the program.
 *
 * @returns {Array<Ancestor>}
 */
export const ancestors = () => {
  const self = readStat(process.pid)
  if (self === undefined) {
    const underPackageManager =
      process.env["npm_execpath"] !== undefined || process.env["npm_lifecycle_event"] !== undefined
    return underPackageManager ? [{ pid: process.ppid, started: "" }] : []
  }
  /** @type {Array<Ancestor>} */
  const chain = []
  let watched = 0
  for (let pid = self.parent; pid > 1;) {
    const stat = readStat(pid)
    // Another session belongs to somebody who detached what runs below, on purpose.
    if (stat === undefined || stat.session !== self.session) break
    chain.push({ pid, started: stat.started })
    if (isPackageManager(pid)) watched = chain.length
    pid = stat.parent
  }
  return chain.slice(0, watched)
}

/** @param {Ancestor} ancestor */
const isGone = (ancestor) => {
  if (ancestor.started !== "") {
    const stat = readStat(ancestor.pid)
    // A zombie has ended; its parent has not asked yet.
    return stat === undefined || stat.started !== ancestor.started || stat.state === "Z" || stat.state === "X"
  }
  try {
    process.kill(ancestor.pid, 0)
    return process.ppid !== ancestor.pid
  } catch {
    return true
  }
}

// Taken at once: an ancestor that dies later is noticed, also while dependencies are being installed.
const chain = ancestors()

const hasParentDeathSignal = () =>
  process.platform === "linux" &&
  spawnSync("setpriv", ["--pdeathsig", "TERM", "true"], { stdio: "ignore" }).status === 0

/**
 * Runs a program to its end and returns the exit code to pass on: its own, 128+n when signal n ended it, 127 when it
 * could not be started.
 *
 * @param {string} program
 * @param {ReadonlyArray<string>} args
 * @param {object} [options]
 * @param {string} [options.cwd]
 * @param {import("node:child_process").StdioOptions} [options.stdio] `inherit` unless told
 * @param {boolean} [options.group] signal the program and all its descendants, in a process group of their own; for
 *   programs that would leave descendants behind. Without the terminal's Ctrl-C, which is forwarded instead.
 * @param {boolean} [options.shell]
 * @returns {Promise<number>}
 */
export const launch = (program, args, options = {}) =>
  new Promise((resolve) => {
    if (chain.some(isGone)) return resolve(128 + constants.signals.SIGTERM)
    const group = options.group === true && process.platform !== "win32"
    const bound = !group && hasParentDeathSignal()

    /** @type {import("node:child_process").ChildProcess | undefined} */
    let child

    /** @param {NodeJS.Signals} signal */
    const send = (signal) => {
      if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
      try {
        process.kill(group ? -child.pid : child.pid, signal)
      } catch {
        // It ended in between.
      }
    }

    /** @type {Map<string, number>} */
    const sent = new Map()
    /** @param {NodeJS.Signals} signal */
    const forward = (signal) => {
      const name = signal === "SIGHUP" ? "SIGTERM" : signal
      const now = performance.now()
      if (now - (sent.get(name) ?? Number.NEGATIVE_INFINITY) < repeatWindow) return
      sent.set(name, now)
      send(name)
    }
    /** @type {ReadonlyArray<NodeJS.Signals>} */
    const signals = ["SIGINT", "SIGTERM", "SIGHUP"]
    for (const signal of signals) process.on(signal, forward)

    const watch = setInterval(() => {
      if (!chain.some(isGone)) return
      clearInterval(watch)
      forward("SIGTERM")
    }, pollInterval)

    /** @param {number} code */
    const end = (code) => {
      clearInterval(watch)
      for (const signal of signals) process.off(signal, forward)
      resolve(code)
    }
    child = spawn(bound ? "setpriv" : program, bound ? ["--pdeathsig", "TERM", program, ...args] : [...args], {
      cwd: options.cwd,
      stdio: options.stdio ?? "inherit",
      detached: group,
      shell: options.shell ?? false
    })
    child.once("error", (error) => {
      if (child?.pid !== undefined) return
      process.stderr.write(`${program} cannot be started: ${error.message}\n`)
      end(127)
    })
    child.once("exit", (code, signal) => {
      end(code ?? 128 + (signal === null ? 0 : constants.signals[signal]))
    })
  })
