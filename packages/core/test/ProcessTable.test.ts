import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

import * as PortOwner from "../src/PortOwner.ts"
import { descendants, isDead, type ProcessStat, ProcessTable, Unsupported } from "../src/ProcessTable.ts"
import { cannotBeNobody, child, eventually, exitOf, idle, lookAsNobody, skip, tableWith, zombie } from "./support.ts"

/** Starts a process whose first thread ends, while the second one listens. */
const headless = `
  import { spawn } from "node:child_process"
  const code = [
    "import ctypes, json, os, socket, threading, time",
    "server = socket.create_server(('127.0.0.1', 0))",
    "said = json.dumps({'pid': os.getpid(), 'port': server.getsockname()[1]})",
    "threading.Thread(target=lambda: (print(said, flush=True), time.sleep(600))).start()",
    "ctypes.CDLL(None).pthread_exit(None)"
  ].join("\\n")
  spawn("python3", ["-c", code], { stdio: ["ignore", "inherit", "inherit"] })
  setInterval(() => {}, 1_000_000)
`

const hasNoPython = skip(ChildProcess.spawnSync("python3", ["-c", ""]).status !== 0, "python3 is not installed")

const stat = (pid: number, parent: number, state = "S"): ProcessStat => ({
  pid,
  parent,
  state,
  group: 1,
  session: 1,
  threads: 1,
  startTime: 1,
  command: "x"
})

/** Pids of the descendants in a table of our own. */
const below = (all: ReadonlyArray<ProcessStat>, pid: number) =>
  descendants(pid).pipe(
    Effect.provideServiceEffect(ProcessTable, tableWith({ all: Effect.succeed(all) })),
    Effect.map((found) => found.map((one) => one.pid))
  )

describe("ProcessTable", () => {
  it.live("reads a process", () =>
    Effect.gen(function* () {
      const table = yield* ProcessTable
      const { identity } = yield* child(idle, { env: { CORE_TEST: "a=b c", CORE_TESTS: "other" } })
      const found = yield* table.stat(identity.pid)
      assert.strictEqual(found?.pid, identity.pid)
      assert.strictEqual(found?.parent, process.pid)
      assert.isAbove(found?.startTime ?? 0, 0)
      assert.isFalse(found !== undefined && isDead(found))
      assert.isTrue((yield* table.all).some(({ pid }) => pid === identity.pid))
      assert.include(yield* table.commandLine(identity.pid), "setInterval")
      assert.strictEqual(yield* table.variable(identity.pid, "CORE_TEST"), "a=b c")
      assert.isUndefined(yield* table.variable(identity.pid, "CORE_TES"))
      assert.match(yield* table.bootId, /^[0-9a-f-]{36}$/)
    })
  )

  it.live("reads names with spaces and parentheses", () =>
    Effect.gen(function* () {
      const table = yield* ProcessTable
      const { identity } = yield* child(`
        import { writeFileSync } from "node:fs"
        writeFileSync("/proc/self/comm", ") R 1 (x")
        ${idle}
      `)
      const found = yield* table.stat(identity.pid)
      assert.strictEqual(found?.command, ") R 1 (x")
      assert.strictEqual(found?.parent, process.pid)
      assert.strictEqual(found?.startTime, identity.startTime)
    })
  )

  it.live("knows nobody by a pid that is free or none", () =>
    Effect.gen(function* () {
      const table = yield* ProcessTable
      const ended = yield* child(idle)
      ended.process.kill("SIGKILL")
      yield* exitOf(ended)
      for (const pid of [ended.identity.pid, 0, -1, 1.5, Number.NaN, 2 ** 40]) {
        assert.isUndefined(yield* table.stat(pid), String(pid))
      }
      assert.strictEqual(yield* table.commandLine(ended.identity.pid), "")
      assert.isUndefined(yield* table.variable(ended.identity.pid, "PATH"))
      assert.strictEqual((yield* table.sockets(ended.identity.pid)).size, 0)
      assert.isFalse(yield* table.kill(ended.identity.pid, "SIGTERM"))
    })
  )

  it.live("tells a zombie from a living process", () =>
    Effect.gen(function* () {
      const table = yield* ProcessTable
      const pid = yield* zombie
      assert.isTrue(process.kill(pid, 0), "it still answers to signals")
      const found = yield* table.stat(pid)
      assert.isTrue(found !== undefined && isDead(found))
    })
  )

  it.live.skipIf(hasNoPython)("a process whose first thread has ended lives as long as another one does", () =>
    Effect.gen(function* () {
      const table = yield* ProcessTable
      const parent = yield* child(headless)
      const { pid, port } = JSON.parse(parent.line) as { readonly pid: number; readonly port: number }
      const found = yield* eventually(
        "its first thread has ended",
        Effect.map(table.stat(pid), (now) => (now?.state === "Z" ? now : undefined))
      )
      assert.strictEqual(found.threads, 2)
      assert.isFalse(isDead(found))
      assert.deepStrictEqual(
        (yield* PortOwner.find(port)).holders.map((holder) => holder.pid),
        [pid]
      )
      // All of its threads end, and its stopped parent does not ask for it: a zombie like any other.
      parent.process.kill("SIGSTOP")
      assert.isTrue(yield* table.kill(pid, "SIGKILL"))
      yield* eventually(
        "it is dead",
        Effect.map(table.stat(pid), (now) => (now !== undefined && isDead(now) ? true : undefined))
      )
    })
  )

  it.live("says where TCP and UDP sockets listen, of both families", () =>
    Effect.gen(function* () {
      const table = yield* ProcessTable
      const addresses = ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.7"]
      const listeners = (yield* child(`
        import * as Net from "node:net"
        import * as Udp from "node:dgram"
        import { once } from "node:events"
        const all = []
        for (const address of ${JSON.stringify(addresses)}) {
          const tcp = Net.createServer().listen(0, address)
          await once(tcp, "listening")
          const udp = Udp.createSocket(Net.isIPv6(address) ? "udp6" : "udp4").bind(0, address)
          await once(udp, "listening")
          all.push(["tcp", tcp.address().port], ["udp", udp.address().port])
        }
        const connected = Udp.createSocket("udp4")
        connected.connect(9, "127.0.0.1")
        await once(connected, "connect")
        console.log(JSON.stringify([...all, ["udp", connected.address().port]]))
      `)).line
      const said = JSON.parse(listeners) as ReadonlyArray<readonly ["tcp" | "udp", number]>
      const shown = ["127.0.0.1", "127.1.2.3", "::1", "127.0.0.7"].flatMap((address) => [address, address])
      const all = yield* table.listeners
      const found = said.map(([protocol, port]) =>
        all.filter((one) => one.protocol === protocol && one.port === port).map(({ address }) => address)
      )
      // The last one is connected to somebody, and takes nothing from others.
      assert.deepStrictEqual(found, [...shown.map((address) => [address]), []])
      const [tcp] = yield* table.listening(said[0]?.[1] ?? 0)
      assert.deepInclude(tcp, { protocol: "tcp", address: "127.0.0.1" })
    })
  )

  it.live("finds the living descendants, children before grandchildren", () =>
    Effect.gen(function* () {
      const parent = yield* child(`
        import { spawn } from "node:child_process"
        const grandchild = ${JSON.stringify(idle)}
        const code = "const { spawn } = require('node:child_process');" +
          "const below = spawn(process.execPath, ['-e', process.env.BELOW], { stdio: ['ignore', 'pipe', 'ignore'] });" +
          "below.stdout.once('data', () => console.log(below.pid)); setInterval(() => {}, 1_000_000)"
        const middle = spawn(process.execPath, ["-e", code], { env: { ...process.env, BELOW: grandchild } })
        middle.stdout.once("data", (pid) => console.log(JSON.stringify([middle.pid, Number(pid)])))
      `)
      const [middle, grandchild] = JSON.parse(parent.line) as [number, number]
      const found = yield* descendants(parent.identity.pid)
      assert.deepStrictEqual(
        found.map(({ pid }) => pid),
        [middle, grandchild]
      )
      assert.deepStrictEqual(yield* descendants(grandchild), [])
    })
  )

  it.effect("leaves zombies out of the descendants, and ends in a table that holds a circle", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* below([stat(2, 1), stat(3, 2), stat(4, 1, "Z"), stat(5, 4)], 1), [2, 3])
      // A snapshot is not taken in one moment: a pid may be given anew while it is.
      assert.deepStrictEqual(yield* below([stat(2, 3), stat(3, 2)], 2), [3])
    })
  )

  const cannotHide =
    cannotBeNobody() ||
    skip(
      ChildProcess.spawnSync("unshare", ["--mount", "mount", "-t", "proc", "-o", "hidepid=2", "proc", "/proc"])
        .status !== 0,
      "this machine cannot mount a /proc that hides processes"
    )

  it.live.skipIf(cannotHide)("does not take a process that /proc hides for dead", () =>
    Effect.gen(function* () {
      const { identity } = yield* child(idle)
      const expression = `module.ProcessTable.use((table) => table.stat(${identity.pid}))`
      const hidden = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        'mount -t proc -o hidepid=2 proc /proc && exec "$@"',
        "sh"
      ] as const
      const { failure } = lookAsNobody("ProcessTable", expression, hidden)
      assert.deepInclude(failure, { _tag: "Unsupported", feature: `reading process ${identity.pid}` })
    })
  )
})

describe("ProcessTable without file descriptors", () => {
  it("fails: what cannot be read is neither empty nor gone", () => {
    const code = `
      import * as Fs from "node:fs"
      import * as Effect from "effect/Effect"
      import { ProcessTable } from "./src/ProcessTable.ts"
      const asked = Effect.flatMap(ProcessTable, (table) => {
        const questions = [table.listening(1), table.listeners, table.all, table.sockets(process.pid)]
        return Effect.all(questions.map((question) => Effect.flip(question)))
      })
      await Effect.runPromise(Effect.result(asked))
      const files = []
      try {
        for (;;) files.push(Fs.openSync("/dev/null"))
      } catch {}
      const errors = Effect.runSyncExit(asked)
      const one = Fs.closeSync(files.pop())
      const few = Effect.runSyncExit(Effect.flatMap(ProcessTable, (table) => table.all))
      for (const file of files) Fs.closeSync(file)
      console.log(JSON.stringify({ errors: errors.value?.map(({ message }) => message), one: few._tag }))
      process.exit()`
    const run = ["-c", 'ulimit -n 60; exec "$@"', "sh", process.execPath, "--input-type=module", "-e", code]
    const cwd = Path.join(import.meta.dirname, "..")
    const { stderr, stdout } = ChildProcess.spawnSync("sh", run, { cwd, encoding: "utf8", timeout: 30_000 })
    assert.deepStrictEqual(JSON.parse(stdout === "" ? JSON.stringify(stderr) : stdout), {
      errors: [
        "finding the owner of a port: /proc could not be read (EMFILE)",
        "listing listening sockets: /proc could not be read (EMFILE)",
        "listing processes: /proc could not be read (EMFILE)",
        "listing the sockets of a process: /proc could not be read (EMFILE)"
      ],
      one: "Success"
    })
  })
})

describe("Unsupported", () => {
  it("says what is missing", () => {
    const error = new Unsupported({ feature: "the boot id", platform: "darwin" })
    assert.match(error.message, /^the boot id needs Linux's \/proc.*this is darwin$/)
    assert.isTrue(Fs.existsSync("/proc/self/stat"), "these tests need it too")
  })
})
