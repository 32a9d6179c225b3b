import * as ChildProcess from "node:child_process"
import * as Dgram from "node:dgram"
import * as Fs from "node:fs"
import type * as Net from "node:net"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Options from "@nexobot/core/Options"
import * as Verdict from "@nexobot/core/Verdict"
import { eventually, refusal } from "@nexobot/testing/Expect"
import * as TestDnsmasq from "@nexobot/testing/TestDnsmasq"
import * as TestFolder from "@nexobot/testing/TestFolder"
import * as TestPort from "@nexobot/testing/TestPort"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"

import { checkedServers, endpoint, inHosts, lookupOf, resolve } from "../src/internal/resolve.ts"
import { inNamespaces, withoutDescriptors } from "./support.ts"

/** The address 127.0.0.2 or ::2 for whatever is asked. */
const anAddress = (question: Buffer): Buffer => {
  const end = question.indexOf(0, 12) + 5
  const head = Buffer.from(question.subarray(0, end))
  // An answer without a fault; one question, one record, and nothing of what came after the question.
  head.set([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0], 2)
  const type = question.readUInt16BE(end - 4)
  const address = type === 28 ? [...Array.from({ length: 15 }, () => 0), 2] : [127, 0, 0, 2]
  return Buffer.concat([head, Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0, address.length, ...address])])
}

/** A port to which queries are sent in vain; `asked` counts them. */
const silentServer = Effect.acquireRelease(
  Effect.callback<{ readonly server: string; readonly asked: () => number; readonly close: () => void }>((resume) => {
    const socket = Dgram.createSocket("udp4")
    let asked = 0
    socket.on("message", () => (asked += 1))
    socket.bind(0, "127.0.0.1", () => {
      const { port } = socket.address()
      resume(Effect.succeed({ server: `127.0.0.1:${port}`, asked: () => asked, close: () => socket.close() }))
    })
  }),
  ({ close }) => Effect.sync(close)
)

/** A server that answers a question about IPv4 at once, and one about IPv6 when it is told to. */
const halfServer = (answerTo: (question: Buffer) => Buffer) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly server: string; readonly release: () => void; readonly close: () => void }>((resume) => {
      const socket = Dgram.createSocket("udp4")
      const held: Array<() => void> = []
      const release = () => {
        for (const answer of held.splice(0)) answer()
      }
      socket.on("message", (question, { address, port }) => {
        const answer = () => socket.send(answerTo(question), port, address)
        const type = question.readUInt16BE(question.indexOf(0, 12) + 1)
        if (type === 28) held.push(answer)
        else answer()
      })
      socket.bind(0, "127.0.0.1", () => {
        resume(Effect.succeed({ server: `127.0.0.1:${socket.address().port}`, release, close: () => socket.close() }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )

/** Sockets of this process; those of queries are in no list of Node's. */
const sockets = () =>
  Fs.readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return Fs.readlinkSync(`/proc/self/fd/${fd}`).startsWith("socket:")
    } catch {
      return false // the folder itself
    }
  }).length

describe("resolve", () => {
  it.live("an address is its own, and localhost is this machine, without any query", () =>
    Effect.gen(function* () {
      const { asked, server } = yield* silentServer
      for (const address of ["127.0.0.2", "::1", "fe80::1%lo"]) {
        assert.deepStrictEqual(yield* resolve(address, [server]), [address])
        assert.deepStrictEqual(yield* resolve(address), [address])
      }
      for (const name of ["localhost", "LocalHost", "localhost.", "app.localhost"]) {
        assert.include(yield* resolve(name), "127.0.0.1", name)
      }
      assert.strictEqual(asked(), 0)
    })
  )

  it.live("an interruption cancels the queries at once, and leaves nothing open", () =>
    Effect.gen(function* () {
      const { asked, server } = yield* silentServer
      const before = sockets()
      const fiber = yield* Effect.forkChild(resolve("app.test", [server]))
      yield* eventually(
        "both queries were sent",
        Effect.sync(() => (asked() >= 2 ? true : undefined))
      )
      assert.isAbove(sockets(), before)
      yield* Fiber.interrupt(fiber)
      assert.isAtMost(sockets(), before)
    })
  )

  it.effect("one family that is late has a short grace once the other has answered, on the clock of the program", () =>
    Effect.gen(function* () {
      const { release, server } = yield* halfServer(anAddress)
      const soon = yield* Effect.forkChild(resolve("app.test", [server]))
      // Whatever time this takes, the clock stands still.
      yield* TestClock.withLive(Effect.sleep("100 millis"))
      assert.isUndefined(soon.pollUnsafe())
      release()
      assert.deepStrictEqual(yield* Fiber.join(soon), ["127.0.0.2", "::2"])
      const before = sockets()
      const never = yield* Effect.forkChild(resolve("app.test", [server]))
      // The first answer comes when it comes; from then on it is the clock that counts.
      for (let round = 0; round < 500 && never.pollUnsafe() === undefined; round += 1) {
        yield* TestClock.withLive(Effect.sleep("10 millis"))
        yield* TestClock.adjust("50 millis")
      }
      assert.deepStrictEqual(yield* Fiber.join(never), ["127.0.0.2"])
      assert.isAtMost(sockets(), before)
    })
  )

  it.live("without a descriptor left, the fault is that", () =>
    Effect.gen(function* () {
      const said = yield* withoutDescriptors(
        `
        import { resolve } from "./src/internal/resolve.ts"
        import * as DnsProbe from "./src/DnsProbe.ts"
        import * as TcpProbe from "./src/TcpProbe.ts"
        import * as Effect from "effect/Effect"
        const servers = ["127.0.0.1:9", "127.0.0.2:9"]`,
        `[
          Effect.flip(resolve("app.test", servers)),
          Effect.flip(resolve("app.test")),
          DnsProbe.make({ name: "dns", host: "app.test", servers }).check,
          TcpProbe.make({ name: "tcp", host: "app.test", port: 80, dnsServers: servers }).check
        ]`
      )
      const own = "this process has too many files open (EMFILE)"
      assert.deepStrictEqual(said, [
        "EMFILE",
        "EMFILE",
        Verdict.inconclusive(`A of app.test: ${own}`),
        Verdict.inconclusive(`app.test:80: ${own}`)
      ])
    })
  )

  it.live("without a network, the fault is that, unless one of the servers refuses", () =>
    Effect.gen(function* () {
      const said = yield* inNamespaces(
        "-rn",
        ["ip link set lo up"],
        `
        import { resolve } from "./src/internal/resolve.ts"
        import * as Effect from "effect/Effect"
        const servers = [["192.0.2.1", "[2001:db8::1]:53"], ["192.0.2.1", "127.0.0.1:9"]]
        console.log((await Effect.runPromise(Effect.forEach(servers, (few) => Effect.flip(resolve("app.test", few))))).join())`
      )
      if (said === undefined) return
      assert.strictEqual(said, "ENETUNREACH,ECONNREFUSED\n")
    })
  )

  it.live("a port where no server is refuses", () =>
    Effect.gen(function* () {
      const port = yield* TestPort.free(22_000, 32_000)
      assert.strictEqual(yield* Effect.flip(resolve("app.test", [`127.0.0.1:${port}`])), "ECONNREFUSED")
    })
  )
})

describe.skipIf(TestDnsmasq.isMissing())("resolve, with dnsmasq", () => {
  it.live("all addresses, IPv4 first, anew each time", () =>
    Effect.gen(function* () {
      const dns = yield* TestDnsmasq.make({ hosts: { "app.test": ["::1", "127.0.0.2"], "six.test": "::1" } })
      const ask = (name: string) => resolve(name, [dns.server])
      const many = Array.from({ length: 100 }, (_, index) => `127.0.1.${index + 1}`)
      assert.deepStrictEqual(yield* ask("app.test"), ["127.0.0.2", "::1"])
      assert.deepStrictEqual(yield* ask("APP.test."), ["127.0.0.2", "::1"])
      assert.deepStrictEqual(yield* ask("six.test"), ["::1"])
      yield* dns.setHosts({ "app.test": "127.0.0.3", "many.test": many })
      assert.deepStrictEqual(yield* ask("app.test"), ["127.0.0.3"])
      assert.lengthOf(yield* ask("many.test"), 16)
      assert.strictEqual(yield* Effect.flip(ask("six.test")), "ENOTFOUND")
    })
  )

  it.live("fails with the server's code; a second server is asked where the first is silent", () =>
    Effect.gen(function* () {
      const dns = yield* TestDnsmasq.make({
        hosts: { "app.test": "127.0.0.2" },
        args: ["--txt-record=text.test,hello"]
      })
      assert.strictEqual(yield* Effect.flip(resolve("text.test", [dns.server])), "ENODATA")
      assert.strictEqual(yield* Effect.flip(resolve("elsewhere.example", [dns.server])), "EREFUSED")
      const { server: silent } = yield* silentServer
      assert.deepStrictEqual(yield* resolve("app.test", [silent, dns.server]), ["127.0.0.2"])
    })
  )
})

/** What a module prints on a machine with these files of the system, and with dnsmasq as its only server. */
const onMachine = Effect.fnUntraced(function* (files: Readonly<Record<string, string>>, names: string, code: string) {
  const folder = yield* TestFolder.make
  const inFolder = (name: string) => Path.join(folder, name)
  for (const [name, text] of Object.entries({ ...files, names })) Fs.writeFileSync(inFolder(name), text)
  const dns =
    "dnsmasq -k --conf-file=/dev/null --user=root --group=root --log-facility=- --no-resolv --no-hosts --local=/#/"
  const script = [
    "set -e",
    "ip link set lo up",
    ...Object.keys(files).map((name) => `mount --bind ${inFolder(name)} /etc/${name}`),
    `${dns} --addn-hosts=${inFolder("names")} --pid-file=${inFolder("pid")} &`,
    `"$@"`
  ].join("\n")
  const run = [process.execPath, "--input-type=module-typescript", "--eval", code]
  const cwd = Path.join(import.meta.dirname, "..")
  return yield* Effect.callback<string | undefined>((resume) => {
    // All that runs there ends with the first of its processes, and that with `unshare`.
    const args = ["-nmpf", "--kill-child", "sh", "-c", script, "sh", ...run]
    const child = ChildProcess.execFile("unshare", args, { cwd, timeout: 20_000 }, (error, stdout, stderr) => {
      if (error !== null) process.stderr.write(`skipped: ${stderr}\n`)
      resume(Effect.succeed(error === null ? stdout : undefined))
    })
    return Effect.sync(() => child.pid !== undefined && child.kill())
  })
})

describe.skipIf(process.platform !== "linux" || TestDnsmasq.isMissing())("resolve, as this machine is set up", () => {
  it.live("asks the hosts file, then the servers, then what else getaddrinfo knows", () =>
    Effect.gen(function* () {
      const said = yield* onMachine(
        {
          "resolv.conf": "nameserver 127.0.0.1\nsearch svc.test\n",
          "nsswitch.conf": "hosts: files dns\n",
          hosts: "127.0.0.5 local.test both.test\n"
        },
        "127.0.0.6 app.svc.test\n127.0.0.7 both.test\n127.0.0.8 public.test\n",
        `
        import * as Effect from "effect/Effect"
        import { resolve } from "./src/internal/resolve.ts"
        await Effect.runPromise(Effect.retry(resolve("public.test"), { while: (code) => code === "ECONNREFUSED" }))
        const names = ["local.test", "both.test", "public.test", "app", "app.", "127.1", "nobody"]
        const found = await Effect.runPromise(
          Effect.forEach(names, (name) => Effect.catch(resolve(name), (code) => Effect.succeed(code)))
        )
        console.log(JSON.stringify(found))`
      )
      if (said === undefined) return
      assert.deepStrictEqual(JSON.parse(said), [
        ["127.0.0.5"],
        ["127.0.0.5"],
        ["127.0.0.8"],
        ["127.0.0.6"],
        "ENOTFOUND",
        ["127.0.0.1"],
        "ENOTFOUND"
      ])
    })
  )
})

describe("the hosts file", () => {
  it("has names of a line, in any case, until a comment", () => {
    const text = [
      "# app.test",
      "127.0.0.1\tlocalhost loghost",
      "10.0.0.1 app.test App.Example # other.test",
      "::1 ip6-localhost app.test",
      "nonsense app.test",
      "10.0.0.1 app.test",
      "10.0.0.2",
      ""
    ].join("\r\n")
    assert.deepStrictEqual(inHosts(text, "app.test"), ["10.0.0.1", "::1"])
    assert.deepStrictEqual(inHosts(text, "APP.EXAMPLE."), ["10.0.0.1"])
    assert.deepStrictEqual(inHosts(text, "loghost"), ["127.0.0.1"])
    for (const name of ["other.test", "pp.test", "10.0.0.2", ""]) assert.deepStrictEqual(inHosts(text, name), [], name)
  })
})

const looked = (addresses: ReadonlyArray<string>, options: Parameters<Net.LookupFunction>[1]) => {
  let result: unknown
  lookupOf(addresses)("app.test", options, (error, ...found) => {
    result = error === null ? found : error.code
  })
  return result
}

describe("lookupOf", () => {
  it("answers one, all, or those of a family", () => {
    const both = ["127.0.0.2", "::1"]
    assert.deepStrictEqual(looked(both, {}), ["127.0.0.2", 4])
    assert.deepStrictEqual(looked(both, { family: 6 }), ["::1", 6])
    assert.deepStrictEqual(looked(both, { all: true, family: 0 }), [
      [
        { address: "127.0.0.2", family: 4 },
        { address: "::1", family: 6 }
      ]
    ])
    assert.strictEqual(looked(["::1"], { family: 4 }), "ENOTFOUND")
  })
})

describe("servers and endpoints", () => {
  const checks = Options.checks("AnyProbe")

  it("are taken as resolvers take them, and refused otherwise", () => {
    assert.isUndefined(checkedServers(checks, "servers", undefined))
    const good = ["127.0.0.1", "127.0.0.1:53", "::1", "[::1]", "[::1]:5353"]
    assert.deepStrictEqual(checkedServers(checks, "servers", good), good)
    const bad = ["", "dns.example", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:", "[127.0.0.1]:53", "::1]:53", 53]
    for (const server of bad) {
      const error = refusal(() => checkedServers(checks, "servers", [server]))
      assert.deepStrictEqual([error.option, error.value], ["servers", server])
    }
    for (const value of [[], "127.0.0.1", null]) {
      assert.strictEqual(refusal(() => checkedServers(checks, "servers", value)).value, value)
    }
  })

  it("have brackets where an address has colons", () => {
    assert.deepStrictEqual(
      ["::1", "127.0.0.1", "app.test"].map((host) => endpoint(host, 80)),
      ["[::1]:80", "127.0.0.1:80", "app.test:80"]
    )
  })
})
