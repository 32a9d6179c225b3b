import * as ChildProcess from "node:child_process"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import { type ListeningSocket, type ProcessStat, Unsupported } from "@nexobot/core/ProcessTable"
import * as Redaction from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"
import { eventually, refusal } from "@nexobot/testing/Expect"
import * as TestDocker from "@nexobot/testing/TestDocker"
import * as TestFolder from "@nexobot/testing/TestFolder"
import * as TestProcessTable from "@nexobot/testing/TestProcessTable"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Fiber from "effect/Fiber"

import * as ExposureProbe from "../src/ExposureProbe.ts"
import { probeContract } from "./ProbeContract.ts"
import { signatureOf, tcpServer } from "./support.ts"

type Options = Partial<ExposureProbe.ExposureProbeOptions>

const probing = (options: Options = {}) => ExposureProbe.make({ name: "exposure", docker: false, ...options })

const stat: ProcessStat = {
  pid: 7,
  parent: 1,
  group: 7,
  session: 7,
  state: "S",
  threads: 1,
  startTime: 1,
  command: "app"
}

const socket = (address: string, port: number, protocol: "tcp" | "udp" = "tcp"): ListeningSocket => ({
  protocol,
  address,
  port,
  inode: `${port}`
})

/** A machine on which these sockets listen, all of process 7. */
const machine = (
  sockets: ReadonlyArray<ListeningSocket>,
  answers: Parameters<typeof TestProcessTable.answering>[0] = {}
) =>
  TestProcessTable.answering({
    listeners: Effect.succeed(sockets),
    all: Effect.succeed([stat]),
    sockets: () => Effect.succeed(new Set(sockets.map(({ inode }) => inode))),
    commandLine: () => Effect.succeed("app --serve"),
    ...answers
  })

/** The probe, on a machine of its own. */
const on = (sockets: ReadonlyArray<ListeningSocket>, probe: Probe.Probe<ExposureProbe.Exposed>) => ({
  ...probe,
  check: machine(sockets)(probe.check)
})

const placesOf = (verdict: Verdict.Verdict<ExposureProbe.Exposed>) =>
  signatureOf(verdict).sockets.map(({ address, port, protocol }) => `${protocol} ${address} ${port}`)

const both = (ports: ReadonlyArray<number>, udp = ports) => [
  ...ports.map((port) => `tcp 0.0.0.0 ${port}`),
  ...udp.map((port) => `udp 0.0.0.0 ${port}`)
]

const answer = (body: string) => `HTTP/1.1 200 OK\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`

/** A container that publishes a port, in Docker's words. */
const publishing = (port: object, name = "web") =>
  answer(JSON.stringify([{ Id: "1", Names: [`/${name}`], Ports: [{ IP: "", PublicPort: 80, Type: "tcp", ...port }] }]))

/** With this socket for Docker's. */
const told = (path: string) => probing({ docker: path, timeout: "10 seconds" })

describe("ExposureProbe", () => {
  it.live("who listens on loopback only is not exposed; everybody else is, with the command", () =>
    Effect.gen(function* () {
      const loopback = [socket("127.0.0.1", 80), socket("127.9.9.9", 81), socket("::1", 82), socket("::1", 53, "udp")]
      assert.deepStrictEqual(yield* machine(loopback)(probing().check), Verdict.healthy)
      const open = [socket("::", 90), socket("10.0.0.5", 80), socket("0.0.0.0", 53, "udp"), socket("fe80::1", 81)]
      assert.deepStrictEqual(
        yield* machine([...loopback, ...open])(probing().check),
        Verdict.unhealthy(
          new ExposureProbe.Exposed({
            count: 4,
            sockets: [
              { protocol: "udp", address: "0.0.0.0", port: 53, pid: 7, by: "app --serve" },
              { protocol: "tcp", address: "10.0.0.5", port: 80, pid: 7, by: "app --serve" },
              { protocol: "tcp", address: "fe80::1", port: 81, pid: 7, by: "app --serve" },
              { protocol: "tcp", address: "::", port: 90, pid: 7, by: "app --serve" }
            ]
          }),
          [
            "udp 0.0.0.0:53 is open: app --serve (7)",
            "tcp 10.0.0.5:80 is open: app --serve (7)",
            "tcp fe80::1:81 is open: app --serve (7)",
            "tcp :::90 is open: app --serve (7)"
          ]
        )
      )
    })
  )

  it.live("allow: ports and ranges of one protocol", () =>
    Effect.gen(function* () {
      const sockets = [79, 80, 81, 82].flatMap((port) => [socket("0.0.0.0", port), socket("0.0.0.0", port, "udp")])
      const left = (allow: ExposureProbe.ExposureProbeOptions["allow"]) =>
        Effect.map(machine(sockets)(probing(allow === undefined ? {} : { allow }).check), placesOf)
      const all = [79, 80, 81, 82]
      assert.sameMembers(yield* left([]), both(all))
      assert.sameMembers(yield* left([80]), both([79, 81, 82], all))
      assert.sameMembers(yield* left([{ port: 80, protocol: "udp" }]), both(all, [79, 81, 82]))
      assert.sameMembers(yield* left([{ port: [80, 81] }, 82]), both([79], all))
      assert.sameMembers(yield* left([{ port: [1, 65535] }]), both([], all))
    })
  )

  it.live("clientPorts: UDP on ports that the system gives to clients counts only with it, TCP always", () =>
    Effect.gen(function* () {
      const sockets = [socket("0.0.0.0", 45_000, "udp"), socket("0.0.0.0", 45_001), socket("0.0.0.0", 20_000, "udp")]
      const found = (clientPorts: boolean) => Effect.map(machine(sockets)(probing({ clientPorts }).check), placesOf)
      assert.deepStrictEqual(yield* found(false), ["udp 0.0.0.0 20000", "tcp 0.0.0.0 45001"])
      assert.lengthOf(yield* found(true), 3)
    })
  )

  it.live("many sockets are counted and shown in part; commands are cut and redacted, and may be unknown", () =>
    Effect.gen(function* () {
      const many = Array.from({ length: 500 }, (_, index) => socket("0.0.0.0", index + 1))
      const { check } = probing()
      const verdict = yield* check.pipe(
        machine([...many, ...many], { commandLine: () => Effect.succeed(`app hunter2 ${"a".repeat(100_000)}`) }),
        Effect.provideService(Redaction.Redactor, Redaction.make(["hunter2"]))
      )
      assert.strictEqual(signatureOf(verdict).count, 500)
      assert.lengthOf(signatureOf(verdict).sockets, 20)
      assert.include(JSON.stringify(verdict), "and 480 more")
      assert.notInclude(JSON.stringify(verdict), "hunter2")
      assert.isBelow(JSON.stringify(verdict).length, 12_000)
      const kernel = [{ ...socket("0.0.0.0", 51_820, "udp"), inode: "0" }, socket("0.0.0.0", 80)]
      const unseen = yield* probing({ clientPorts: true }).check.pipe(
        machine(kernel, { sockets: () => Effect.succeed(new Set<string>()) })
      )
      assert.deepStrictEqual(
        signatureOf(unseen).sockets.map(({ by }) => by),
        ["a process that cannot be seen", "the kernel"]
      )
    })
  )

  it.live("looks at nobody's files when all is well", () =>
    Effect.gen(function* () {
      const everybody = { all: Effect.die(new Error("looked at everybody")) }
      assert.deepStrictEqual(yield* machine([socket("127.0.0.1", 80)], everybody)(probing().check), Verdict.healthy)
    })
  )

  it.live("a platform that does not say says nothing", () =>
    Effect.gen(function* () {
      const listeners = Effect.fail(new Unsupported({ feature: "listing listening sockets", platform: "plan9" }))
      assert.strictEqual((yield* machine([], { listeners })(probing().check))._tag, "Inconclusive")
    })
  )

  const cannotUnshare = ChildProcess.spawnSync("unshare", ["--net", "--mount", "true"]).status !== 0
  if (cannotUnshare) process.stderr.write("skipped: real sockets beyond loopback need a network of their own\n")

  it.live.skipIf(cannotUnshare)("finds real sockets, in a network of their own: TCP and UDP, of both families", () =>
    Effect.gen(function* () {
      const code = `
        import * as Udp from "node:dgram"
        import { once } from "node:events"
        import * as Fs from "node:fs"
        import * as Http from "node:http"
        import * as Net from "node:net"
        import * as Effect from "effect/Effect"
        import * as ExposureProbe from "./src/ExposureProbe.ts"
        const listen = (options) => once(Net.createServer().listen(options), "listening")
        await listen({ port: 1001, host: "127.0.0.1" })
        await listen({ port: 1002, host: "0.0.0.0" })
        await listen({ port: 1003, host: "::" })
        await listen({ port: 1004, host: "::ffff:127.0.0.1" })
        await listen({ port: 1005, host: "::ffff:0.0.0.0" })
        await listen({ port: 1006, host: "10.9.8.7" })
        const bind = async (type, options) => {
          const made = Udp.createSocket(type).bind(options)
          await once(made, "listening")
          return made
        }
        await bind("udp4", { port: 1007, address: "0.0.0.0" })
        await bind("udp6", { port: 1008, address: "::" })
        await bind("udp6", { port: 1009, address: "::1" })
        const connected = await bind("udp4", { port: 1010, address: "0.0.0.0" })
        connected.connect(9, "10.9.8.7")
        await once(connected, "connect")
        Udp.createSocket("udp4")
        const probe = ExposureProbe.make({ name: "exposure", docker: false, allow: [1002] })
        const found = await Effect.runPromise(probe.check)
        // Docker at its usual place: not there, not running, and there.
        const byDefault = ExposureProbe.make({ name: "exposure", allow: [{ port: [1002, 1006] }] })
        const look = async () => {
          const { signature } = await Effect.runPromise(byDefault.check)
          return signature.sockets.map(({ by, port }) => (by.startsWith("container") ? by : port))
        }
        const all = { port: [1, 65535] }
        const { check } = ExposureProbe.make({ name: "exposure", allow: [all, { ...all, protocol: "udp" }] })
        const docker = [await Effect.runPromise(check), await look()]
        Fs.writeFileSync("/var/run/docker.sock", "")
        docker.push(await look())
        Fs.unlinkSync("/var/run/docker.sock")
        const body = JSON.stringify([{ Id: "1", Names: ["/web"], Ports: [{ IP: "::", PublicPort: 80, Type: "tcp" }] }])
        const daemon = Http.createServer((request, response) => response.end(body)).listen("/var/run/docker.sock")
        await once(daemon, "listening")
        docker.push(await look())
        console.log(JSON.stringify({ pid: process.pid, found, docker }))
        process.exit()`
      const said = yield* Effect.callback<string>((resume) => {
        const script =
          'mount -t tmpfs tmpfs "$(readlink -f /var/run)" && ip link set lo up && ip address add 10.9.8.7/32 dev lo && exec "$@"'
        const command = [process.execPath, "--input-type=module", "-e", code]
        ChildProcess.execFile(
          "unshare",
          ["--net", "--mount", "bash", "-c", script, "bash", ...command],
          { cwd: Path.join(import.meta.dirname, ".."), timeout: 30_000 },
          (_, stdout, stderr) => resume(Effect.succeed(stdout === "" ? stderr : stdout))
        )
      })
      const { docker, found, pid } = JSON.parse(said) as {
        readonly docker: unknown
        readonly found: Verdict.Verdict<ExposureProbe.Exposed>
        readonly pid: number
      }
      assert.deepStrictEqual(docker, [{ _tag: "Healthy" }, [1007, 1008], [1007, 1008], ["container web", 1007, 1008]])
      assert.deepStrictEqual(placesOf(found), [
        "tcp :: 1003",
        "tcp 0.0.0.0 1005",
        "tcp 10.9.8.7 1006",
        "udp 0.0.0.0 1007",
        "udp :: 1008"
      ])
      for (const one of signatureOf(found).sockets) {
        assert.strictEqual(one.pid, pid)
        assert.include(one.by, process.execPath)
      }
    })
  )

  it("says what it examines, and asks the same with the same options", () => {
    assert.deepInclude(probing(), { target: "sockets of this machine", reach: "host", duringStartup: "judged" })
    const asks = (options: Options) => Probe.question(probing(options))
    assert.isTrue(Equal.equals(asks({ allow: [80] }), asks({ name: "b", allow: [{ port: 80 }] })))
    assert.isFalse(Equal.equals(asks({ allow: [80] }), asks({ allow: [81] })))
    assert.isFalse(Equal.equals(asks({}), asks({ docker: "/a.sock" })))
  })

  it("refuses options that cannot work, and names them", () => {
    const refused: ReadonlyArray<readonly [object, string]> = [
      [{ allow: 80 }, "allow"],
      [{ allow: [0] }, "allow[0]"],
      [{ allow: [80, "443"] }, "allow[1]"],
      [{ allow: [{}] }, "allow[0].port"],
      [{ allow: [{ port: 65_536 }] }, "allow[0].port"],
      [{ allow: [{ port: [80] }] }, "allow[0].port"],
      [{ allow: [{ port: [81, 80] }] }, "allow[0].port"],
      [{ allow: [{ port: 80, protocol: "icmp" }] }, "allow[0].protocol"],
      [{ allow: [{ ports: 80 }] }, "allow[0].ports"],
      [{ docker: true }, "docker"],
      [{ docker: "" }, "docker"],
      [{ clientPorts: "yes" }, "clientPorts"],
      [{ timeout: 0 }, "timeout"],
      [{ retries: 3 }, "retries"]
    ]
    for (const [options, option] of refused) {
      const error = refusal(() => ExposureProbe.make({ name: "exposure", ...options }))
      assert.deepStrictEqual([error.module, error.option], ["ExposureProbe", option], error.message)
    }
  })
})

describe.skipIf(TestDocker.isMissing())("ExposureProbe and Docker", () => {
  it.live(
    "what containers publish is exposed, with a socket of its proxy or without; a frozen daemon says nothing",
    () =>
      Effect.gen(function* () {
        const daemon = yield* TestDocker.make
        const at = (options: Options = {}) => probing({ docker: daemon.socket, timeout: "20 seconds", ...options })
        assert.deepStrictEqual(yield* machine([])(at().check), Verdict.healthy, "no container")
        const publish = ["8080:80", "127.0.0.1:8081:81", "5353:53/udp"].flatMap((port) => ["--publish", port])
        const run = ["run", "--detach", "--expose", "99", ...publish, "--name", "web", TestDocker.image]
        yield* daemon.docker(...run, "/bin/busybox", "sleep", "600")
        // The sockets of the proxy, which has the port in the daemon's network.
        for (const sockets of [[], [socket("0.0.0.0", 8080), socket("::", 8080)]]) {
          const verdict = yield* machine(sockets)(at().check)
          assert.sameMembers(placesOf(verdict), ["tcp 0.0.0.0 8080", "tcp :: 8080", "udp 0.0.0.0 5353", "udp :: 5353"])
          assert.deepStrictEqual([...new Set(signatureOf(verdict).sockets.map(({ by }) => by))], ["container web"])
        }
        const allow = [8080, { port: 5353, protocol: "udp" }] as const
        assert.deepStrictEqual(yield* machine([])(at({ allow }).check), Verdict.healthy)
        yield* daemon.freeze
        const frozen = at({ timeout: "200 millis" })
        assert.deepStrictEqual(
          yield* machine([])(frozen.check),
          Verdict.inconclusive(`Docker at ${daemon.socket}: no answer in time`)
        )
        // What is known to be bad is bad all the same.
        const known = yield* machine([socket("0.0.0.0", 80)])(frozen.check)
        assert.deepStrictEqual(placesOf(known), ["tcp 0.0.0.0 80"])
        assert.include(JSON.stringify(known), "no answer in time")
        yield* daemon.thaw
      })
  )
})

/** The socket of a Docker that answers this. */
const pretender = Effect.fnUntraced(function* (text: string) {
  const path = Path.join(yield* TestFolder.make, "docker.sock")
  yield* tcpServer((connected) => connected.once("data", () => connected.end(text)), { path })
  return path
})

describe("ExposureProbe and what is no Docker", () => {
  it.live("the name of a container is cut and redacted", () =>
    Effect.gen(function* () {
      const path = yield* pretender(publishing({}, `hunter2\n\u001b[2J${"a".repeat(100_000)}`))
      const verdict = yield* told(path).check.pipe(
        machine([]),
        Effect.provideService(Redaction.Redactor, Redaction.make(["hunter2"]))
      )
      const [found] = signatureOf(verdict).sockets
      assert.match(found?.by ?? "", /^container [^\p{Cc}]{190}$/u)
      assert.notInclude(JSON.stringify(verdict), "hunter2")
    })
  )

  it.live("SCTP is exposed, and can be allowed", () =>
    Effect.gen(function* () {
      const docker = yield* pretender(publishing({ Type: "sctp" }))
      const at = (options: Options) => machine([])(probing({ docker, timeout: "10 seconds", ...options }).check)
      assert.deepStrictEqual(placesOf(yield* at({ allow: [80] })), ["sctp 0.0.0.0 80"])
      assert.deepStrictEqual(yield* at({ allow: [{ port: 80, protocol: "sctp" }] }), Verdict.healthy)
    })
  )

  it.live("one that is told and is not there, or refuses, or answers something else: Inconclusive", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* TestFolder.make, "docker.sock")
      const reason = (pattern: RegExp) =>
        Effect.map(machine([])(told(path).check), (verdict) => {
          assert.strictEqual(verdict._tag, "Inconclusive")
          assert.match("reason" in verdict ? verdict.reason : "", pattern)
        })
      yield* reason(/: ENOENT$/)
      const answering = (text: string) =>
        tcpServer((connected) => connected.once("data", () => connected.end(text)), { path })
      const cases: ReadonlyArray<readonly [string, RegExp]> = [
        ["HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", /: status 500$/],
        ["nonsense\r\n\r\n", /: HPE_INVALID/],
        ["", /: (closed|ECONNRESET)/],
        [answer("{"), /no list of containers$/],
        [answer('[{"Id":1}]'), /no list of containers$/],
        [publishing({ IP: "hunter2".repeat(500_000) }), /no list of containers$/],
        [publishing({ IP: `fe80::1%${"hunter2".repeat(1000)}` }), /no list of containers$/],
        [publishing({ Type: "hunter2".repeat(500_000) }), /no list of containers$/],
        [publishing({ PublicPort: 65_536 }), /no list of containers$/],
        ["HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n[", /: status 200$/]
      ]
      for (const [text, pattern] of cases) yield* Effect.scoped(Effect.andThen(answering(text), reason(pattern)))
      const odd =
        '[{"Id":"0123456789abcdef","Names":null,"Ports":[{"PublicPort":80,"Type":"tcp"},{"Type":"tcp"}],"X":1}]'
      const verdict = yield* Effect.scoped(Effect.andThen(answering(answer(odd)), machine([])(told(path).check)))
      assert.deepStrictEqual(signatureOf(verdict).sockets, [
        { protocol: "tcp", address: "0.0.0.0", port: 80, by: "container 0123456789ab" }
      ])
    })
  )

  it.live("an interruption closes the connection", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* TestFolder.make, "docker.sock")
      const silent = yield* tcpServer(() => {}, { path })
      const fiber = yield* Effect.forkChild(machine([])(told(path).check))
      yield* eventually(
        "it is connected",
        Effect.sync(() => (silent.accepted() === 1 ? true : undefined))
      )
      yield* Fiber.interrupt(fiber)
      yield* silent.abandoned
    })
  )
})

probeContract<ExposureProbe.Exposed>("ExposureProbe", {
  situations: {
    Healthy: Effect.succeed(on([socket("127.0.0.1", 80)], probing())),
    "Exposure/Exposed": Effect.succeed(on([socket("0.0.0.0", 80)], probing())),
    Inconclusive: Effect.map(TestFolder.make, (folder) => on([], probing({ docker: Path.join(folder, "docker.sock") })))
  },
  waiting: Effect.gen(function* () {
    const path = Path.join(yield* TestFolder.make, "docker.sock")
    yield* tcpServer(() => {}, { path })
    return on([], probing({ docker: path }))
  })
})
