import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import { fileURLToPath } from "node:url"

import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import { Binary } from "@nexobot/testing"

import * as Harness from "./harness.ts"

let place: Harness.Place
let started: Array<Harness.Running> = []
beforeEach(async () => {
  place = await Harness.makePlace()
  started = []
})
afterEach(async () => {
  for (const running of started) running.kill("SIGTERM")
  await Promise.all(started.map((running) => running.ended))
  for (const pid of Harness.supervised(place)) process.kill(pid, "SIGKILL")
  Harness.removePlace(place)
})
const start = async () => {
  const running = await Harness.start(place)
  started.push(running)
  return running
}
const run = (args: ReadonlyArray<string>) => {
  const running = Harness.run(place, args)
  started.push(running)
  return running
}
const nothingIsLeft = async () => {
  assert.deepStrictEqual(Harness.supervised(place), [])
  for (const port of Object.values(place.ports)) assert.isTrue(await Harness.isFree(port), `port ${port}`)
  const locks = Fs.readdirSync(`${place.folder}/state`).filter((name) => name.includes("lock"))
  assert.deepStrictEqual(locks, [])
}
/** Who has the gateway's lock; nobody while it is being cleared or written. */
const lockHolder = (): number | undefined => {
  try {
    return JSON.parse(Fs.readFileSync(Harness.stateFile(place, "gateway.lock"), "utf8")).pid
  } catch {
    return undefined
  }
}
const gatewayPid = () => Harness.eventually("the gateway has its lock", lockHolder)

describe("npm start", () => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const) {
    it(`comes up, answers, and ${signal} leaves nothing behind`, async () => {
      const running = await start()
      assert.include(await Harness.hola(place), "Hola")
      for (const name of ["component", "gateway", "web-ui", "console"]) assert.include(running.stdout(), name)
      running.kill(signal)
      assert.strictEqual(await running.ended, 0)
      assert.strictEqual(running.stderr(), "")
      await nothingIsLeft()
    })
  }

  it("ends in order also when the signal comes while it starts, and when it comes twice", async () => {
    const running = run([])
    await Harness.eventually("the first process", () => (Harness.supervised(place).length > 0 ? true : undefined))
    running.kill("SIGTERM")
    running.kill("SIGTERM")
    assert.strictEqual(await running.ended, 0)
    await nothingIsLeft()
  })

  it("a port that somebody else has is an error that names the owner, and nothing is killed", async () => {
    const stranger = ChildProcess.spawn(
      process.execPath,
      ["-e", `require("net").createServer().listen(${place.ports.webUi}, "127.0.0.1")`, "the-stranger"],
      { stdio: "ignore" }
    )
    try {
      await Harness.eventually("the stranger listens", async () =>
        (await Harness.isFree(place.ports.webUi)) ? undefined : true
      )
      const running = run([])
      assert.strictEqual(await running.ended, 1)
      assert.include(running.stderr(), `port ${place.ports.webUi} of web-ui is taken by process ${stranger.pid}`)
      assert.include(running.stderr(), "the-stranger")
      assert.isTrue(Harness.isAlive(stranger.pid ?? 0))
      assert.deepStrictEqual(Harness.supervised(place), [])
    } finally {
      stranger.kill("SIGKILL")
    }
  })

  it("a second start is an error that names the first, which goes on", async () => {
    const first = await start()
    const second = run([])
    assert.strictEqual(await second.ended, 1)
    assert.include(second.stderr(), `runs already, as process ${first.pid}`)
    assert.include(await Harness.hola(place), "Hola")
  })

  it("its own kill -9 leaves nothing running, and it comes up again", async () => {
    const first = await start()
    const gateway = await gatewayPid()
    first.kill("SIGKILL")
    await first.ended
    await Harness.eventually("the gateway is gone", () => (Harness.isAlive(gateway) ? undefined : true))
    const second = await start()
    // The gateway had no time to take its lock away: that is healed first.
    assert.include(await Harness.eventually("it answers", () => Harness.hola(place)), "Hola")
    second.kill("SIGTERM")
    assert.strictEqual(await second.ended, 0)
    await nothingIsLeft()
  })

  it("where nobody ends them after its kill -9, it recognises its orphans as its own", async () => {
    const first = await start()
    const orphan = await gatewayPid()
    const guardian = Harness.guardianOf(first.pid)
    process.kill(guardian, "SIGSTOP")
    try {
      first.kill("SIGKILL")
      await first.ended
      assert.isTrue(Harness.isAlive(orphan))
      const second = await start()
      assert.include(await Harness.hola(place), "Hola")
      assert.isFalse(Harness.isAlive(orphan))
      second.kill("SIGTERM")
      assert.strictEqual(await second.ended, 0)
      await nothingIsLeft()
    } finally {
      process.kill(guardian, "SIGKILL")
    }
  })

  it("heals by hand-made faults: kill -9, then SIGSTOP", async () => {
    await start()
    for (const signal of ["SIGKILL", "SIGSTOP"] as const) {
      const old = await gatewayPid()
      process.kill(old, signal)
      await Harness.eventually(`healed after ${signal}`, async () => {
        const answers = (await Harness.hola(place)) !== undefined
        const holder = lockHolder()
        return answers && holder !== undefined && holder !== old && !Harness.isAlive(old) ? true : undefined
      })
    }
  })

  it("shows the dashboard's state over the API, to who exchanged the one-time code", async () => {
    const running = await start()
    const link = new URL(/http:\S+#code=\S+/.exec(running.stdout())?.[0] ?? "")
    const api = `${link.origin}/api/system/auto-recovery`
    assert.strictEqual((await fetch(api)).status, 401)
    const session = await fetch(`${link.origin}/api/session`, {
      method: "POST",
      headers: { "content-type": "application/json", origin: link.origin },
      body: JSON.stringify({ code: link.hash.slice("#code=".length) })
    })
    assert.strictEqual(session.status, 204)
    const cookie = session.headers.get("set-cookie")?.split(";")[0] ?? ""
    const report = await fetch(api, { headers: { cookie } })
    assert.containsAllKeys(await report.json(), ["log", "statistics"])
    const token = Fs.readFileSync(Harness.stateFile(place, "console.token"), "utf8").trim()
    assert.strictEqual((await fetch(api, { headers: { authorization: `Bearer ${token}` } })).status, 200)
    const recovery = await fetch(api, {
      method: "POST",
      headers: { cookie, origin: link.origin, "content-type": "application/json" },
      body: JSON.stringify({ component: "gateway" })
    })
    assert.strictEqual(recovery.status, 200)
    assert.deepInclude(await recovery.json(), {
      outcomes: [{ component: "gateway", outcome: "healthy", detail: "nothing was wrong" }]
    })
  })

  it("keeps its secrets to itself", async () => {
    const running = await start()
    const tokens = ["gateway", "console"].map((name) =>
      Fs.readFileSync(Harness.stateFile(place, `${name}.token`), "utf8").trim()
    )
    running.kill("SIGTERM")
    await running.ended
    for (const token of tokens) assert.notInclude(running.stdout() + running.stderr(), token)
    for (const name of Fs.readdirSync(`${place.folder}/state`)) {
      const file = Harness.stateFile(place, name)
      if (!Fs.statSync(file).isFile()) continue
      assert.strictEqual(Fs.statSync(file).mode & 0o077, 0, `${name} is private`)
      if (name.endsWith(".token")) continue
      for (const token of tokens) assert.notInclude(Fs.readFileSync(file, "utf8"), token, name)
    }
  })
})

describe("bad input", () => {
  const good = JSON.parse(Fs.readFileSync(fileURLToPath(new URL("../nexobot.json", import.meta.url)), "utf8"))
  const cases: ReadonlyArray<readonly [what: string, content: string, says: ReadonlyArray<string>]> = [
    ["no JSON", "{", ["JSON"]],
    ["a port out of range", JSON.stringify({ ...good, gateway: { port: 99999 } }), ["gateway.port", "99999"]],
    ["a port that is text", JSON.stringify({ ...good, webUi: { port: "80" } }), ["webUi.port", '"80"']],
    ["an unknown field", JSON.stringify({ ...good, gatway: {} }), ["gatway"]],
    ["a missing part", JSON.stringify({ ...good, console: undefined }), ["console"]],
    ["one port for two parts", JSON.stringify({ ...good, webUi: good.gateway }), ["webUi.port", "18789"]],
    [
      "a negative duration",
      JSON.stringify({ ...good, recovery: { ...good.recovery, period: "-1 second" } }),
      ["period", "-1"]
    ],
    [
      "text that is no duration",
      JSON.stringify({ ...good, recovery: { ...good.recovery, within: "soon" } }),
      ["recovery.within", "soon"]
    ],
    ["a fall of 0", JSON.stringify({ ...good, recovery: { ...good.recovery, fall: 0 } }), ["fall", "0"]]
  ]
  for (const [what, content, says] of cases) {
    it(`${what} is named before anything starts`, async () => {
      Fs.writeFileSync(place.config, content)
      const running = run([])
      assert.strictEqual(await running.ended, 1)
      for (const word of says) assert.include(running.stderr(), word)
      assert.isFalse(Fs.existsSync(`${place.folder}/state`))
    })
  }

  it("an unknown option is named", async () => {
    const misuses = [
      { args: ["--bogus"], says: "--bogus" },
      { args: ["--faults", "extra"], says: "extra" },
      { args: ["--json"], says: "--faults" }
    ]
    for (const { args, says } of misuses) {
      const running = run(args)
      assert.strictEqual(await running.ended, 1)
      assert.include(running.stderr(), says)
    }
  })
})

interface Row {
  readonly fault: string
  readonly detectedMs: number | null
  readonly healedMs: number | null
  readonly remedy: string | null
  readonly verified: boolean
}
const rowsOf = (running: Harness.Running): ReadonlyArray<Row> =>
  running
    .stdout()
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))

/** Five faults of the stack itself, and two of Redis where there is one. */
const faults = Binary.skipWithout("redis-server", "apt-get install redis-server") ? 5 : 7

describe("npm start -- --faults", () => {
  it("heals every fault, verified from outside", { timeout: 180_000 }, async () => {
    const running = run(["--faults", "--json"])
    const code = await running.ended
    const rows = rowsOf(running)
    assert.deepStrictEqual(
      rows.filter((row) => !row.verified),
      [],
      running.stderr()
    )
    assert.strictEqual(rows.length, faults)
    for (const row of rows) {
      assert.hasAllKeys(row, ["fault", "detectedMs", "healedMs", "remedy", "verified"])
      assert.isNumber(row.detectedMs, row.fault)
      assert.isNumber(row.healedMs, row.fault)
    }
    const remedies = Object.fromEntries(rows.map((row) => [row.fault, row.remedy]))
    assert.deepInclude(remedies, {
      "kill -9": "supervisor restart",
      SIGSTOP: "restart gateway",
      "zombie holds the port": "free-port, start gateway",
      "stale lock after a crash": "clear-stale-lock, start gateway",
      "home page 404: route lost": "restore-route"
    })
    assert.strictEqual(code, 0)
    await nothingIsLeft()
  })

  it("heals nothing without recovery: every row fails", { timeout: 180_000 }, async () => {
    const running = run(["--faults", "--json", "--no-recovery"])
    const code = await running.ended
    const rows = rowsOf(running)
    assert.strictEqual(rows.length, faults, running.stderr())
    for (const row of rows) assert.deepInclude(row, { healedMs: null, remedy: null, verified: false })
    assert.strictEqual(code, 1)
    await nothingIsLeft()
  })
})
