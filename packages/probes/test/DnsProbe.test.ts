import * as Dgram from "node:dgram"

import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import * as Verdict from "@nexobot/core/Verdict"
import { refusal } from "@nexobot/testing/Expect"
import * as TestDnsmasq from "@nexobot/testing/TestDnsmasq"
import * as TestPort from "@nexobot/testing/TestPort"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"

import * as DnsProbe from "../src/DnsProbe.ts"
import { probeContract } from "./ProbeContract.ts"
import { signatureOf, tagsOf } from "./support.ts"

const probing = (server: string, options: Partial<DnsProbe.DnsProbeOptions> = {}) =>
  DnsProbe.make({ name: "dns", host: "app.test", servers: [server], timeout: "10 seconds", ...options })

/** Some hosts and records of all kinds. */
const records = {
  hosts: { "app.test": ["127.0.0.2", "127.0.0.3", "2001:db8::1"], "other.test": "127.0.0.4" },
  args: [
    "--cname=www.test,other.test",
    "--cname=chain.test,www.test",
    "--mx-host=app.test,mail.test,10",
    "--mx-host=app.test,Backup.test,20",
    "--txt-record=app.test,v=spf1 -all",
    "--txt-record=app.test,token=abcdefghijklmnop",
    "--srv-host=_sip._udp.app.test,sip.test,5060,3,7",
    "--ptr-record=2.0.0.127.in-addr.arpa,app.test",
    "--caa-record=app.test,0,issue,ca.example",
    "--mx-host=none.test,.,0",
    "--srv-host=_none._tcp.app.test"
  ]
}

const served = TestDnsmasq.make(records)

/** Answers each question so many milliseconds later. */
const answering = (answerTo: (question: Buffer) => Buffer | undefined, after = 0) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<Dgram.Socket>((resume) => {
        const socket = Dgram.createSocket("udp4")
        socket.on("message", (question, from) => {
          const answer = answerTo(question)
          if (answer !== undefined) setTimeout(() => socket.send(answer, from.port, from.address, () => {}), after)
        })
        socket.bind(0, "127.0.0.1", () => resume(Effect.succeed(socket)))
      }),
      (socket) => Effect.sync(() => socket.close())
    ),
    (socket) => `127.0.0.1:${socket.address().port}`
  )

const silent = answering(() => undefined)

/** The question as an answer that has these flags, and no records. */
const flagged = (code: number) => (question: Buffer) => {
  const answer = Buffer.from(question)
  answer.set([0x81, 0x80 + code], 2)
  return answer
}

/** The address 127.0.0.2 for whatever is asked. */
const anAddress = (question: Buffer): Buffer => {
  const end = question.indexOf(0, 12) + 5
  const head = flagged(0)(question).subarray(0, end)
  // One question, one answer, and nothing of what came after the question.
  head.set([0, 1, 0, 1, 0, 0, 0, 0], 4)
  return Buffer.concat([head, Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 2])])
}

const nobody = Effect.map(TestPort.free(22_000, 32_000), (port) => `127.0.0.1:${port}`)

describe.skipIf(TestDnsmasq.isMissing())("DnsProbe", () => {
  it.live("type: each kind of record, as text", () =>
    Effect.gen(function* () {
      const { server } = yield* served
      const answer = (options: Partial<DnsProbe.DnsProbeOptions>) => probing(server, options).check
      const asked = [
        [{}, "A of app.test: 127.0.0.2, 127.0.0.3"],
        [{ type: "A", host: "APP.test." }, "A of APP.test.: 127.0.0.2, 127.0.0.3"],
        [{ type: "AAAA" }, "AAAA of app.test: 2001:db8::1"],
        [{ type: "CNAME", host: "www.test" }, "CNAME of www.test: other.test"],
        [{ type: "MX" }, "MX of app.test: 10 mail.test, 20 backup.test"],
        [{ type: "SRV", host: "_sip._udp.app.test" }, "SRV of _sip._udp.app.test: 3 7 5060 sip.test"],
        [{ type: "PTR", host: "2.0.0.127.in-addr.arpa" }, "PTR of 2.0.0.127.in-addr.arpa: app.test"],
        [{ type: "CAA" }, "CAA of app.test: 0 issue ca.example"]
      ] as const
      for (const [options, evidence] of asked) {
        assert.deepStrictEqual(yield* answer(options), Verdict.healthyWith([evidence]))
      }
      // Of a chain of names the end counts.
      assert.deepStrictEqual(yield* answer({ host: "chain.test" }), Verdict.healthyWith(["A of chain.test: 127.0.0.4"]))
      const texts = yield* answer({ type: "TXT", expect: { allOf: ["v=spf1 -all"] } })
      assert.strictEqual(texts._tag, "Healthy")
      assert.notInclude(JSON.stringify(texts), "abcdefghijklmnop")
    })
  )

  it.live("expect: all of, any of, exactly, in any order and spelling", () =>
    Effect.gen(function* () {
      const { server } = yield* served
      const both = ["127.0.0.3", "127.0.0.2"]
      const cases: ReadonlyArray<readonly [DnsProbe.Expectation, boolean]> = [
        [{ allOf: ["127.0.0.2"] }, true],
        [{ allOf: [...both, "127.0.0.4"] }, false],
        [{ anyOf: ["127.0.0.4", "127.0.0.3"] }, true],
        [{ anyOf: ["127.0.0.4"] }, false],
        [{ exactly: both }, true],
        [{ exactly: ["127.0.0.2"] }, false],
        [{ exactly: [...both, "127.0.0.4"] }, false]
      ]
      for (const [expect, good] of cases) {
        const { _tag } = yield* probing(server, { expect }).check
        assert.strictEqual(_tag, good ? "Healthy" : "Unhealthy", JSON.stringify(expect))
      }
      const six = { type: "AAAA", expect: { exactly: ["2001:0DB8:0::0:1"] } } as const
      assert.strictEqual((yield* probing(server, six).check)._tag, "Healthy")
      const mail = { type: "MX", expect: { anyOf: ["20  BACKUP.test."] } } as const
      assert.strictEqual((yield* probing(server, mail).check)._tag, "Healthy")
      assert.deepStrictEqual(
        yield* probing(server, { expect: { anyOf: ["127.0.0.4"] } }).check,
        Verdict.unhealthy(
          new DnsProbe.UnexpectedAnswer({ host: "app.test", type: "A", answers: ["127.0.0.2", "127.0.0.3"] }),
          ["A of app.test: 127.0.0.2, 127.0.0.3", "expected anyOf: 127.0.0.4"]
        )
      )
    })
  )

  it.live("what says that there is none is expected as zone files have it", () =>
    Effect.gen(function* () {
      const { server } = yield* served
      const cases = [
        [{ type: "MX", host: "none.test", expect: { exactly: ["0 ."] } }, "MX of none.test: 0 ."],
        [{ type: "SRV", host: "_none._tcp.app.test" }, "SRV of _none._tcp.app.test: 0 0 1 ."]
      ] as const
      for (const [options, evidence] of cases) {
        assert.deepStrictEqual(yield* probing(server, options).check, Verdict.healthyWith([evidence]))
      }
      const nowhere = { type: "SRV", host: "_none._tcp.app.test", expect: { exactly: ["0 0 1  ."] } } as const
      assert.strictEqual((yield* probing(server, nowhere).check)._tag, "Healthy")
      const texts = { type: "CAA", expect: { exactly: ["0 issue ca.example"] } } as const
      assert.strictEqual((yield* probing(server, texts).check)._tag, "Healthy")
    })
  )

  it.live("many records are shown in part, without secrets, those that are expected as well", () =>
    Effect.gen(function* () {
      const addresses = Array.from({ length: 30 }, (_, index) => `127.0.1.${index + 1}`)
      const { server } = yield* TestDnsmasq.make({ hosts: { "app.test": addresses } })
      const found = signatureOf(yield* probing(server, { expect: { exactly: ["127.0.0.1"] } }).check)
      assert.lengthOf("answers" in found ? found.answers : [], 10)
      assert.strictEqual((yield* probing(server, { expect: { exactly: addresses } }).check)._tag, "Healthy")
      const { server: other } = yield* served
      const many = Array.from({ length: 1000 }, (_, index) => `token=${index}abcdefghijklmnop ${"a".repeat(300)}`)
      const missed = yield* probing(other, { type: "TXT", expect: { allOf: many } }).check
      const [, rule = ""] = "evidence" in missed ? (missed.evidence ?? []) : []
      assert.match(rule, /^expected allOf: token=.* and 990 more$/)
      assert.isBelow(rule.length, 2100)
      assert.notInclude(JSON.stringify(missed), "abcdefghijklmnop")
    })
  )

  it.live("an unknown name and a missing record are told apart; a server that will not answer fails", () =>
    Effect.gen(function* () {
      const { server } = yield* served
      const found = (options: Partial<DnsProbe.DnsProbeOptions>) =>
        Effect.map(probing(server, options).check, signatureOf)
      assert.deepInclude(yield* found({ host: "gone.test" }), { _tag: "Dns/NotFound", code: "ENOTFOUND" })
      assert.deepInclude(yield* found({ host: "other.test", type: "AAAA" }), { _tag: "Dns/NotFound", code: "ENODATA" })
      assert.deepInclude(yield* found({ host: "elsewhere.example" }), { _tag: "Dns/ServerFailure", code: "EREFUSED" })
    })
  )

  it.live("a change is seen at the next check; a frozen server is a Timeout, a killed one Unreachable", () =>
    Effect.gen(function* () {
      const dns = yield* served
      const probe = probing(dns.server, { expect: { exactly: ["127.0.0.9"] } })
      const tagOf = Effect.map(probe.check, (verdict) =>
        "signature" in verdict ? verdict.signature._tag : verdict._tag
      )
      assert.strictEqual(yield* tagOf, "Dns/UnexpectedAnswer")
      yield* dns.setHosts({ "app.test": "127.0.0.9" })
      assert.strictEqual(yield* tagOf, "Healthy")
      yield* dns.freeze
      assert.deepStrictEqual(
        yield* probing(dns.server, { timeout: 200 }).check,
        Verdict.unhealthy(new DnsProbe.Timeout({ host: "app.test", type: "A", after: Duration.millis(200) }), [
          `A of app.test: no answer in time from ${dns.server}`
        ])
      )
      yield* dns.thaw
      assert.strictEqual(yield* tagOf, "Healthy")
      yield* dns.kill
      assert.strictEqual(yield* tagOf, "Dns/Unreachable")
    })
  )

  it.live("servers: the next one is asked when the first refuses, or is silent", () =>
    Effect.gen(function* () {
      const { server } = yield* served
      for (const bad of [yield* nobody, yield* silent]) {
        assert.strictEqual((yield* probing(server, { servers: [bad, server] }).check)._tag, "Healthy", bad)
      }
    })
  )

  it.live("degradedAfter: slower is degraded, and still wrong if it is wrong", () =>
    Effect.gen(function* () {
      const { server } = yield* served
      const slow = { servers: [yield* answering(anAddress, 50)], degradedAfter: "20 millis" } as const
      const verdict = yield* probing(server, slow).check
      assert.strictEqual(verdict._tag, "Degraded")
      assert.deepInclude(signatureOf(verdict), { _tag: "Dns/Slow", degradedAfter: Duration.millis(20) })
      const wrong = yield* probing(server, { ...slow, expect: { anyOf: ["127.0.0.9"] } }).check
      assert.deepInclude(signatureOf(wrong), { _tag: "Dns/UnexpectedAnswer" })
      assert.strictEqual((yield* probing(server, { degradedAfter: "9 seconds" }).check)._tag, "Healthy")
    })
  )
})

describe("DnsProbe and strange servers", () => {
  it.live("a server failure and garbage are a ServerFailure, or no answer at all", () =>
    Effect.gen(function* () {
      const found = Effect.fnUntraced(function* (answerTo: (question: Buffer) => Buffer, timeout = 10_000) {
        return signatureOf(yield* probing(yield* answering(answerTo), { timeout }).check)
      })
      const codes = [
        [1, "EFORMERR"],
        [2, "ESERVFAIL"],
        [4, "ENOTIMP"]
      ] as const
      for (const [number, code] of codes) {
        assert.deepInclude(yield* found(flagged(number)), { _tag: "Dns/ServerFailure", code })
      }
      // An answer that says "no error" and has nothing.
      assert.deepInclude(yield* found(flagged(0)), { _tag: "Dns/NotFound", code: "ENODATA" })
      const cut = yield* found((question) => anAddress(question).subarray(0, -3), 300)
      assert.oneOf(cut._tag, ["Dns/Timeout", "Dns/ServerFailure"])
      for (const garbage of [Buffer.alloc(0), Buffer.alloc(5), Buffer.alloc(60_000, 0xff)]) {
        assert.oneOf((yield* found(() => garbage, 300))._tag, ["Dns/Timeout", "Dns/ServerFailure"])
      }
      // An answer to another question than ours.
      const stranger = yield* found((question) => {
        const answer = anAddress(question)
        answer[0] = (answer[0] ?? 0) ^ 0xff
        return answer
      }, 300)
      assert.strictEqual(stranger._tag, "Dns/Timeout")
    })
  )

  it.live("a question that is lost is asked again, of the only server as well", () =>
    Effect.gen(function* () {
      let asked = 0
      const server = yield* answering((question) => ((asked += 1) > 1 ? anAddress(question) : undefined))
      const { _tag } = yield* probing(server).check
      assert.deepStrictEqual([_tag, asked], ["Healthy", 2])
    })
  )

  it("has the signatures that its options can find, in its type and at run time", () => {
    type Base = DnsProbe.NotFound | DnsProbe.ServerFailure | DnsProbe.Timeout | DnsProbe.Unreachable
    const plain = DnsProbe.make({ name: "dns", host: "app.test" })
    expectTypeOf(plain).toEqualTypeOf<Probe.Probe<Base>>()
    assert.deepStrictEqual(tagsOf(plain), ["Dns/NotFound", "Dns/ServerFailure", "Dns/Timeout", "Dns/Unreachable"])
    const all = DnsProbe.make({ name: "dns", host: "app.test", expect: { anyOf: ["127.0.0.1"] }, degradedAfter: 100 })
    expectTypeOf(all).toEqualTypeOf<Probe.Probe<Base | DnsProbe.UnexpectedAnswer | DnsProbe.Slow>>()
    assert.deepStrictEqual(tagsOf(all).slice(4), ["Dns/UnexpectedAnswer", "Dns/Slow"])
  })

  it("says what it examines, and how far away; equal options ask the same", () => {
    assert.deepInclude(probing("127.0.0.1:53"), { target: "dns://127.0.0.1:53/app.test?type=A", reach: "host" })
    assert.deepInclude(probing("[::1]:53", { type: "MX" }), {
      target: "dns://[::1]:53/app.test?type=MX",
      reach: "host"
    })
    assert.deepInclude(probing("192.0.2.1"), { target: "dns://192.0.2.1/app.test?type=A", reach: "network" })
    assert.deepInclude(DnsProbe.make({ name: "dns", host: "app.test" }), {
      target: "dns://system/app.test?type=A",
      reach: "network"
    })
    const asks = (expect: DnsProbe.Expectation) => Probe.question(probing("127.0.0.1", { expect }))
    assert.isTrue(Equal.equals(asks({ anyOf: ["127.0.0.1"] }), asks({ anyOf: ["127.0.0.1"] })))
    assert.isFalse(Equal.equals(asks({ anyOf: ["127.0.0.1"] }), asks({ allOf: ["127.0.0.1"] })))
  })

  it("refuses options that cannot work, and names them", () => {
    const none = { anyOf: [] }
    const two = { anyOf: ["127.0.0.1"], allOf: ["127.0.0.1"] }
    const servers: ReadonlyArray<string> = []
    const refused: ReadonlyArray<readonly [object, string, unknown]> = [
      [{ host: "" }, "host", ""],
      [{ host: "127.0.0.1" }, "host", "127.0.0.1"],
      [{ host: "app test" }, "host", "app test"],
      [{ type: "ANY" }, "type", "ANY"],
      [{ servers }, "servers", servers],
      [{ servers: ["dns.test"] }, "servers", "dns.test"],
      [{ expect: none }, "expect", none],
      [{ expect: two }, "expect", two],
      [{ expect: { anyOf: ["::1"] } }, "expect.anyOf", "::1"],
      [{ type: "AAAA", expect: { allOf: ["127.0.0.1"] } }, "expect.allOf", "127.0.0.1"],
      [{ type: "TXT", expect: { exactly: [""] } }, "expect.exactly", ""],
      [{ timeout: 0 }, "timeout", 0],
      [{ degradedAfter: "5 seconds" }, "degradedAfter", "5 seconds"]
    ]
    for (const [options, option, value] of refused) {
      const error = refusal(() => DnsProbe.make({ name: "dns", host: "app.test", ...options }))
      assert.deepStrictEqual([error.module, error.option, error.value], ["DnsProbe", option, value])
    }
    const unknown: ReadonlyArray<readonly [object, string]> = [
      [{ expect: { noneOf: ["127.0.0.1"] } }, "expect.noneOf"],
      [{ query: "app.test" }, "query"]
    ]
    for (const [options, option] of unknown) {
      const error = refusal(() => DnsProbe.make({ name: "dns", host: "app.test", ...options }))
      assert.strictEqual(error.option, option)
    }
  })
})

describe.skipIf(TestDnsmasq.isMissing())("DnsProbe, its contract", () => {
  probeContract<DnsProbe.Found<DnsProbe.DnsProbeOptions>>("DnsProbe", {
    situations: {
      Healthy: Effect.map(served, ({ server }) => probing(server)),
      "Dns/NotFound": Effect.map(served, ({ server }) => probing(server, { host: "gone.test" })),
      "Dns/ServerFailure": Effect.map(answering(flagged(2)), (server) => probing(server)),
      "Dns/Timeout": Effect.map(silent, (server) => probing(server, { timeout: 50 })),
      "Dns/Unreachable": Effect.map(nobody, (server) => probing(server)),
      "Dns/UnexpectedAnswer": Effect.map(served, ({ server }) =>
        probing(server, { expect: { exactly: ["127.0.0.9"] } })
      ),
      "Dns/Slow": Effect.map(answering(anAddress, 20), (server) => probing(server, { degradedAfter: 1 }))
    },
    waiting: Effect.map(silent, (server) => probing(server))
  })
})
