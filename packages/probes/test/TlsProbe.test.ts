import * as ChildProcess from "node:child_process"
import { X509Certificate } from "node:crypto"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import * as Tls from "node:tls"

import { afterAll, assert, describe, expectTypeOf, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import * as Redaction from "@nexobot/core/Redaction"
import type * as Verdict from "@nexobot/core/Verdict"
import * as Binary from "@nexobot/testing/Binary"
import { eventually, refusal } from "@nexobot/testing/Expect"
import * as TestCertificates from "@nexobot/testing/TestCertificates"
import * as TestDnsmasq from "@nexobot/testing/TestDnsmasq"
import * as TestFolder from "@nexobot/testing/TestFolder"
import * as TestPort from "@nexobot/testing/TestPort"
import { start } from "@nexobot/testing/TestProcess"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"

import { judgeTimer } from "../src/internal/renewal.ts"
import * as TlsProbe from "../src/TlsProbe.ts"
import { probeContract } from "./ProbeContract.ts"
import { freePort, signatureOf, tcpServer, tlsServer } from "./support.ts"

type Chain = TestCertificates.TestChain

type ChainOptions = NonNullable<Parameters<typeof TestCertificates.chain>[0]>

const forAll = Scope.makeUnsafe()
afterAll(() => Effect.runPromise(Scope.close(forAll, Exit.void)))

const chains = new Map<string, Chain>()

/** A chain is made once, and nothing anew that another one has: each link takes two runs of openssl. */
const chainOf = Effect.fnUntraced(function* (options: ChainOptions = {}): Effect.fn.Return<Chain> {
  const key = JSON.stringify(options)
  const known = chains.get(key)
  if (known !== undefined) return known
  const isUsual = options.leaf !== undefined && options.root === undefined && options.intermediate === undefined
  const on = isUsual ? { on: yield* chainOf() } : {}
  const chain = yield* Scope.provide(TestCertificates.chain({ ...options, ...on }), forAll)
  chains.set(key, chain)
  return chain
})

/** A server that shows this chain, and a probe of it that trusts its root. */
const serving = Effect.fnUntraced(function* (
  options: ChainOptions = {},
  sent: (chain: Chain) => string = (chain) => chain.sent,
  tls: Tls.TlsOptions = {}
) {
  const chain = yield* chainOf(options)
  const server = yield* tlsServer({ cert: sent(chain), key: chain.leaf.key, ...tls })
  return { chain, server, probe: probing(server.port, { ca: chain.root.pem }) }
})

const probing = (port: number, options: Partial<TlsProbe.TlsServerOptions> = {}) =>
  TlsProbe.make({ name: "tls", host: "127.0.0.1", port, timeout: "10 seconds", ...options })

const onlyLeaf = ({ leaf }: Chain) => leaf.pem

const written = Effect.fnUntraced(function* (text: string | Buffer) {
  const file = Path.join(yield* TestFolder.make, "chain.pem")
  Fs.writeFileSync(file, text)
  return file
})

const clientsOnly: ChainOptions = { leaf: { extensions: { extendedKeyUsage: "clientAuth" } } }
const shortKey: ChainOptions = { leaf: { rsa: 1024 } }
const weakDigest: ChainOptions = { leaf: { digest: "sha1" } }

const findingOf = <S extends Verdict.Signature>(probe: Probe.Probe<S>) => Effect.map(probe.check, signatureOf)

/** Runs an effect so many days from now, by the clock on the wall. */
const later =
  (days: number) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(Clock.Clock, (clock) => {
      const now = Date.now() + days * 86_400_000
      const value = Effect.succeed(now)
      return Effect.provideService(effect, Clock.Clock, Object.create(clock, { currentTimeMillis: { value } }))
    })

const reading = (file: string, options: Partial<TlsProbe.TlsFileOptions> = {}) =>
  TlsProbe.make({ name: "tls", file, ...options })

const activeTimer = (extra: string, sub = "waiting") =>
  `LoadState=loaded\nActiveState=active\nSubState=${sub}\n${extra}`

const tagsOf = (probe: Probe.Any) => probe.reports.map((one) => one.fields._tag.schema.literal.slice(4)).toSorted()

const about = (options: TlsProbe.TlsProbeOptions) => {
  const { reach, target } = TlsProbe.make(options)
  return [target, reach]
}

const asks = (options: Partial<TlsProbe.TlsServerOptions>) =>
  Probe.question(TlsProbe.make({ name: "a", host: "a.test", ...options }))

const isMissing = TestCertificates.isMissing()

describe.skipIf(isMissing)("TlsProbe of a server", () => {
  it.live("a chain that is whole and lasts is healthy, and the weakest link is told", () =>
    Effect.gen(function* () {
      const { probe, server } = yield* serving({ intermediate: { ends: 80 } })
      const verdict = yield* probe.check
      assert.strictEqual(verdict._tag, "Healthy")
      assert.match(JSON.stringify(verdict), /weakest link: intermediate \\"Test Intermediate\\" until 20/)
      yield* server.abandoned
      assert.strictEqual(server.accepted(), 2, "for us, and for OpenSSL")
      const bad = yield* serving({ leaf: { begins: -20, ends: -10 } })
      yield* bad.probe.check
      assert.strictEqual(bad.server.accepted(), 1, "what is bad needs no second look")
    })
  )

  it.live("a chain that is whole and that clients refuse: OpenSSL says why", () =>
    Effect.gen(function* () {
      const cases: ReadonlyArray<readonly [ChainOptions, string, string]> = [
        [clientsOnly, "INVALID_PURPOSE", "unsuitable certificate purpose"],
        [
          { root: { extensions: { basicConstraints: "critical, CA:TRUE, pathlen:0" } } },
          "PATH_LENGTH_EXCEEDED",
          "path length constraint exceeded"
        ],
        [
          { intermediate: { extensions: { nameConstraints: "critical, permitted;DNS:example.com" } } },
          "UNSPECIFIED",
          "permitted subtree violation"
        ],
        [
          { leaf: { extensions: { "1.2.3.4.5": "critical, DER:0500" } } },
          "UNSPECIFIED",
          "unhandled critical extension"
        ],
        [shortKey, "UNSPECIFIED", "EE certificate key too weak"],
        [weakDigest, "UNSPECIFIED", "CA signature digest algorithm too weak"]
      ]
      for (const [options, code, why] of cases) {
        const { probe } = yield* serving(options, undefined, { ciphers: "DEFAULT:@SECLEVEL=0" })
        assert.deepInclude(yield* findingOf(probe), { _tag: "Tls/Refused", code, why })
      }
    })
  )

  it.live("an intermediate that two roots have signed leads to the one that is trusted, whichever lasts longer", () =>
    Effect.gen(function* () {
      const chain = yield* chainOf()
      const other = yield* TestCertificates.make({ subject: "Other Root", authority: true })
      for (const ends of [500, 2000]) {
        const crossed = yield* TestCertificates.make({
          subject: "Test Intermediate",
          authority: true,
          issuer: other,
          keyOf: chain.intermediate,
          ends
        })
        const both = chain.sent + crossed.pem
        const file = yield* written(both)
        for (const ca of [chain.root.pem, other.pem]) {
          assert.strictEqual((yield* reading(file, { ca }).check)._tag, "Healthy")
        }
        // None is trusted: the first one counts.
        assert.deepInclude(yield* findingOf(reading(file)), {
          _tag: "Tls/IncompleteChain",
          missing: ends === 500 ? "CN=Test Root" : "CN=Other Root"
        })
        const { port } = yield* tlsServer({ cert: both, key: chain.leaf.key })
        assert.strictEqual((yield* probing(port, { ca: chain.root.pem }).check)._tag, "Healthy")
        // OpenSSL takes the first one that was sent, and does not come back.
        assert.deepInclude(yield* findingOf(probing(port, { ca: other.pem })), {
          _tag: "Tls/Refused",
          code: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY"
        })
      }
    })
  )

  it.live("however many ways lead on, the search ends", () =>
    Effect.gen(function* () {
      // Each of them could have issued each: they have one name and one key.
      const chain = yield* chainOf({ root: { subject: "Test Intermediate" } })
      const { intermediate, leaf } = chain
      let sent = leaf.pem
      for (let count = 0; count < 12; count++) {
        const again = { subject: "Test Intermediate", authority: true, keyOf: intermediate, issuer: intermediate }
        sent += (yield* TestCertificates.make({ ...again, ends: 200 + count })).pem
      }
      const file = yield* written(sent)
      const began = performance.now()
      assert.match((yield* findingOf(reading(file)))._tag, /UntrustedRoot|IncompleteChain/)
      assert.isBelow(performance.now() - began, 10_000)
    })
  )

  it.live("an issuer without a name is missing like any other", () =>
    Effect.gen(function* () {
      const { server } = yield* serving({ root: { subject: "" } })
      assert.deepInclude(yield* findingOf(probing(server.port)), {
        _tag: "Tls/IncompleteChain",
        missing: "an issuer without a name"
      })
    })
  )

  it.live("a server that breaks off or freezes after the first look is found, too", () =>
    Effect.gen(function* () {
      const { chain } = yield* serving()
      const inner = Tls.createServer({ cert: chain.sent, key: chain.leaf.key })
      const second = Effect.fnUntraced(function* (then: (socket: Net.Socket) => void, timeout: Duration.Input) {
        let count = 0
        const { abandoned, port } = yield* tcpServer((socket) => {
          count += 1
          if (count === 1) inner.emit("connection", socket)
          else then(socket)
        })
        const found = yield* findingOf(probing(port, { ca: chain.root.pem, timeout }))
        yield* abandoned
        return found
      })
      assert.deepInclude(yield* second((socket) => socket.resetAndDestroy(), "10 seconds"), {
        _tag: "Tls/Unreachable",
        code: "ECONNRESET"
      })
      assert.deepInclude(yield* second(() => {}, "500 millis"), { _tag: "Tls/Timeout", connected: true })
    })
  )

  it.live("with its root, in any order and with others in between, too", () =>
    Effect.gen(function* () {
      const stranger = yield* TestCertificates.make({ subject: "stranger" })
      const orders: ReadonlyArray<(chain: Chain) => string> = [
        (chain) => chain.sent + chain.root.pem,
        (chain) => chain.leaf.pem + stranger.pem + chain.root.pem + chain.intermediate.pem
      ]
      for (const sent of orders) {
        const { probe } = yield* serving({}, sent)
        assert.strictEqual((yield* probe.check)._tag, "Healthy")
      }
    })
  )

  it.live(
    "acceptance(core-and-probes 13): leaf 51 days, intermediate 21, threshold 30: the intermediate is named",
    () =>
      Effect.gen(function* () {
        const { chain, server } = yield* serving({ leaf: { ends: 51.5 }, intermediate: { ends: 21.5 } })
        const probe = probing(server.port, { ca: chain.root.pem, failBefore: "30 days" })
        const verdict = yield* probe.check
        assert.strictEqual(verdict._tag, "Unhealthy")
        assert.deepInclude(signatureOf(verdict), {
          _tag: "Tls/Expiring",
          subject: "Test Intermediate",
          link: "intermediate",
          days: 21
        })
        const warned = yield* probing(server.port, { ca: chain.root.pem, warnBefore: "30 days" }).check
        assert.strictEqual(warned._tag, "Degraded")
        assert.deepInclude(signatureOf(warned), { _tag: "Tls/Expiring", link: "intermediate", days: 21 })
      })
  )

  it.live("acceptance(core-and-probes 13): an expired certificate still yields its expiry", () =>
    Effect.gen(function* () {
      const { probe } = yield* serving({ leaf: { begins: -20, ends: -10 } })
      const found = yield* findingOf(probe)
      assert.deepInclude(found, { _tag: "Tls/Expired", subject: "localhost", link: "leaf" })
      const ended = found._tag === "Tls/Expired" ? Date.parse(found.notAfter) : 0
      assert.closeTo(Date.now() - ended, 10 * 86_400_000, 3_600_000)
    })
  )

  it.live("an expired intermediate, and an expired root", () =>
    Effect.gen(function* () {
      for (const link of ["intermediate", "root"] as const) {
        const { probe } = yield* serving({ [link]: { begins: -20, ends: -10 } })
        assert.deepInclude(yield* findingOf(probe), { _tag: "Tls/Expired", link })
      }
    })
  )

  it.live("warnBefore and failBefore: Degraded, then Unhealthy, by the clock of Effect", () =>
    Effect.gen(function* () {
      const { chain, server } = yield* serving({ leaf: { ends: 100.5 } })
      const at = Effect.fnUntraced(function* (days: number, options: Partial<TlsProbe.TlsServerOptions> = {}) {
        const verdict = yield* later(days)(probing(server.port, { ca: chain.root.pem, ...options }).check)
        const left = "signature" in verdict && verdict.signature._tag === "Tls/Expiring" ? verdict.signature.days : ""
        return `${verdict._tag} ${left}`.trim()
      })
      assert.strictEqual(yield* at(79), "Healthy")
      assert.strictEqual(yield* at(80), "Degraded 20")
      assert.strictEqual(yield* at(93), "Degraded 7")
      assert.strictEqual(yield* at(94), "Unhealthy 6")
      assert.strictEqual(yield* at(100), "Unhealthy 0")
      assert.strictEqual(yield* at(101), "Unhealthy")
      assert.strictEqual(yield* at(94, { warnBefore: "5 days" }), "Healthy")
      assert.strictEqual(yield* at(96, { warnBefore: "5 days" }), "Unhealthy 4")
      assert.strictEqual(yield* at(60, { failBefore: "40 days" }), "Healthy")
      assert.strictEqual(yield* at(61, { failBefore: "40 days" }), "Unhealthy 39")
      assert.strictEqual(yield* at(98, { failBefore: 0 }), "Degraded 2")
      assert.strictEqual(yield* at(-3), "Unhealthy", "not begun")
    })
  )

  it.live("a link that has not begun", () =>
    Effect.gen(function* () {
      const { probe } = yield* serving({ leaf: { begins: 2 } })
      const found = yield* findingOf(probe)
      assert.deepInclude(found, { _tag: "Tls/NotYetValid", subject: "localhost", link: "leaf" })
    })
  )

  it.live("a certificate for others: all of its names are told, and the common name does not count", () =>
    Effect.gen(function* () {
      const names = ["DNS:a.test", "DNS:*.b.test", "IP:127.0.0.9"]
      const { chain, server } = yield* serving({ leaf: { subject: "c.test", names } })
      const at = (servername: string) => probing(server.port, { ca: chain.root.pem, servername })
      for (const good of ["a.test", "a.test.", "x.b.test", "127.0.0.9"]) {
        assert.strictEqual((yield* at(good).check)._tag, "Healthy", good)
      }
      for (const host of ["b.test", "x.y.b.test", "c.test", "127.0.0.1"]) {
        assert.deepInclude(
          yield* findingOf(at(host)),
          { _tag: "Tls/WrongHost", host, names: ["a.test", "*.b.test", "127.0.0.9"] },
          host
        )
      }
      // Without a servername, the host counts.
      assert.deepInclude(yield* findingOf(probing(server.port, { ca: chain.root.pem })), { host: "127.0.0.1" })
    })
  )

  it.live("servername: a server with several certificates is asked for the right one", () =>
    Effect.gen(function* () {
      const { chain, server } = yield* serving({}, undefined, {
        SNICallback: (name, done) => {
          const { key, pem } = name === "b.test" ? b : a
          done(null, Tls.createSecureContext({ key, cert: pem + chain.intermediate.pem }))
        }
      })
      const issue = (names: ReadonlyArray<string>, ends: number) =>
        TestCertificates.make({ subject: "sni", names, ends, issuer: chain.intermediate })
      const a = yield* issue(["DNS:a.test"], 100)
      const b = yield* issue(["DNS:b.test"], 3)
      const at = (servername: string) => probing(server.port, { ca: chain.root.pem, servername })
      assert.strictEqual((yield* at("a.test").check)._tag, "Healthy")
      assert.deepInclude(yield* findingOf(at("b.test")), { _tag: "Tls/Expiring", subject: "sni" })
      assert.deepInclude(yield* findingOf(at("c.test")), { _tag: "Tls/WrongHost", names: ["a.test"] })
    })
  )

  it.live("self-signed, an unknown root and a missing intermediate are three things", () =>
    Effect.gen(function* () {
      const alone = yield* TestCertificates.make({ subject: "alone", names: ["IP:127.0.0.1"] })
      const { port } = yield* tlsServer({ cert: alone.pem, key: alone.key })
      assert.deepInclude(yield* findingOf(probing(port)), { _tag: "Tls/SelfSigned", subject: "alone" })
      assert.strictEqual((yield* probing(port, { ca: alone.pem }).check)._tag, "Healthy", "it is trusted itself")

      const whole = yield* serving({}, (chain) => chain.sent + chain.root.pem)
      assert.deepInclude(yield* findingOf(probing(whole.server.port)), {
        _tag: "Tls/UntrustedRoot",
        subject: "Test Root"
      })
      const missing = yield* serving({}, onlyLeaf)
      assert.deepInclude(yield* findingOf(missing.probe), {
        _tag: "Tls/IncompleteChain",
        subject: "localhost",
        missing: "CN=Test Intermediate"
      })
      // Without its root, a chain of which nobody knows the root looks the same, one link later.
      assert.deepInclude(yield* findingOf(probing((yield* serving()).server.port)), {
        _tag: "Tls/IncompleteChain",
        subject: "Test Intermediate",
        missing: "CN=Test Root"
      })
    })
  )

  it.live("one that has the issuer's name and not its key has not issued it; nor has one that may not", () =>
    Effect.gen(function* () {
      // The identifier of its key is what it says, too.
      const extensions = { subjectKeyIdentifier: "01020304" }
      const impostor = yield* TestCertificates.make({ subject: "Test Intermediate", authority: true, extensions })
      const { chain, probe } = yield* serving({ intermediate: { extensions } }, ({ leaf }) => leaf.pem + impostor.pem)
      assert.isTrue(new X509Certificate(chain.leaf.pem).checkIssued(new X509Certificate(impostor.pem)))
      assert.deepInclude(yield* findingOf(probe), { _tag: "Tls/IncompleteChain", subject: "localhost" })
      const unauthorised = yield* serving({ intermediate: { authority: false } })
      assert.deepInclude(yield* findingOf(unauthorised.probe), { _tag: "Tls/IncompleteChain", subject: "localhost" })
    })
  )

  it.live("a root that is trusted ends the chain, though an expired one has signed it as well", () =>
    Effect.gen(function* () {
      const { chain, server } = yield* serving()
      const old = yield* TestCertificates.make({ subject: "Old Root", authority: true, begins: -20, ends: -10 })
      assert.strictEqual((yield* probing(server.port, { ca: [old.pem, chain.root.pem] }).check)._tag, "Healthy")
    })
  )

  it.live("ca: without it, Node's roots and those of NODE_EXTRA_CA_CERTS are trusted; with it, they are not", () =>
    Effect.gen(function* () {
      const { chain, server } = yield* serving()
      const other = yield* TestCertificates.make({ subject: "Other Root", authority: true })
      const code = `
        import * as Effect from "effect/Effect"
        import * as TlsProbe from "./src/TlsProbe.ts"
        const options = { name: "tls", host: "127.0.0.1", port: ${server.port} }
        const other = TlsProbe.make({ ...options, ca: process.env.OTHER })
        const verdicts = [TlsProbe.make(options), other].map(({ check }) => Effect.runPromise(check))
        console.log((await Promise.all(verdicts)).map(({ _tag }) => _tag).join())`
      const said = yield* Effect.callback<string>((resume) => {
        ChildProcess.execFile(
          process.execPath,
          ["--input-type=module", "-e", code],
          {
            cwd: Path.join(import.meta.dirname, ".."),
            env: { ...process.env, NODE_EXTRA_CA_CERTS: chain.root.file, OTHER: other.pem },
            timeout: 30_000
          },
          (_, stdout, stderr) => resume(Effect.succeed(stdout === "" ? stderr : stdout.trim()))
        )
      })
      assert.strictEqual(said, "Healthy,Unhealthy")
    })
  )

  it.live("minVersion: the newest version that the server speaks must be as new", () =>
    Effect.gen(function* () {
      const { chain, server } = yield* serving({}, undefined, { maxVersion: "TLSv1.2" })
      const at = (minVersion?: "TLSv1.3") =>
        probing(server.port, { ca: chain.root.pem, ...(minVersion === undefined ? {} : { minVersion }) })
      assert.strictEqual((yield* at().check)._tag, "Healthy")
      assert.deepInclude(yield* findingOf(at("TLSv1.3")), {
        _tag: "Tls/ProtocolTooOld",
        protocol: "TLSv1.2",
        minVersion: "TLSv1.3"
      })
    })
  )

  it.live("OpenSSL's own server that speaks TLS 1.0 or 1.1 only, or shows no certificate", () =>
    Effect.gen(function* () {
      const chain = yield* chainOf()
      const serverWith = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
        const port = yield* TestPort.free(20_000, 32_000)
        yield* start(Binary.find("openssl") ?? "openssl", "s_server", "-accept", `127.0.0.1:${port}`, "-quiet", ...args)
        const answers = Effect.callback<true | undefined>((resume) => {
          let answer: true | undefined
          const socket = Net.connect(port, "127.0.0.1", () => {
            answer = true
            // It serves one after the other.
            socket.destroy()
          })
          socket.once("error", () => undefined)
          socket.once("close", () => resume(Effect.succeed(answer)))
          return Effect.sync(() => socket.destroy())
        })
        yield* eventually("s_server listens", answers)
        return (minVersion: "TLSv1" | "TLSv1.2" = "TLSv1.2") => probing(port, { ca: chain.root.pem, minVersion })
      })
      const shown = ["-cert", chain.leaf.file, "-key", chain.leaf.keyFile, "-cert_chain", chain.intermediate.file]
      for (const [flag, protocol] of [
        ["-tls1", "TLSv1"],
        ["-tls1_1", "TLSv1.1"]
      ] as const) {
        const at = yield* serverWith(...shown, flag, "-cipher", "ALL:@SECLEVEL=0")
        assert.deepInclude(yield* findingOf(at()), { _tag: "Tls/ProtocolTooOld", protocol })
        assert.strictEqual((yield* at("TLSv1").check)._tag, "Healthy", "it is allowed")
      }
      assert.strictEqual((yield* (yield* serverWith(...shown))().check)._tag, "Healthy")
      const none = yield* findingOf((yield* serverWith("-nocert"))())
      assert.match(none._tag === "Tls/NoCertificate" ? none.why : none._tag, /^ERR_SSL_.*HANDSHAKE_FAILURE/)
    })
  )

  it.live("a server that wants to see a certificate has shown its own", () =>
    Effect.gen(function* () {
      for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
        const { probe } = yield* serving({ leaf: { ends: 2.5 } }, undefined, { requestCert: true, maxVersion })
        assert.deepInclude(yield* findingOf(probe), { _tag: "Tls/Expiring", days: 2 })
        const lasting = yield* serving({}, undefined, { requestCert: true, maxVersion })
        assert.strictEqual((yield* lasting.probe.check)._tag, "Healthy")
        const refused = yield* serving(clientsOnly, undefined, { requestCert: true, maxVersion })
        assert.deepInclude(yield* findingOf(refused.probe), { _tag: "Tls/Refused", code: "INVALID_PURPOSE" })
      }
    })
  )

  it.live("whoever does not speak TLS shows no certificate; who breaks off or is not there is Unreachable", () =>
    Effect.gen(function* () {
      const http = yield* tcpServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"))
      assert.deepInclude(yield* findingOf(probing(http.port)), {
        _tag: "Tls/NoCertificate",
        why: "ERR_SSL_WRONG_VERSION_NUMBER"
      })
      const flood = yield* tcpServer((socket) => {
        const more = (): void => {
          while (!socket.destroyed && socket.write(Buffer.alloc(100_000, 0x16)));
        }
        socket.on("drain", more)
        more()
      })
      assert.deepInclude(yield* findingOf(probing(flood.port)), { _tag: "Tls/NoCertificate" })
      yield* flood.abandoned
      const closing = yield* tcpServer((socket) => socket.once("data", () => socket.end()))
      const resetting = yield* tcpServer((socket) => socket.once("data", () => socket.resetAndDestroy()))
      for (const { port } of [closing, resetting]) {
        assert.deepInclude(yield* findingOf(probing(port)), { _tag: "Tls/Unreachable", code: "ECONNRESET" })
      }
      const port = yield* freePort
      assert.deepInclude(yield* findingOf(probing(port)), {
        _tag: "Tls/Unreachable",
        target: `127.0.0.1:${port}`,
        code: "ECONNREFUSED"
      })
    })
  )

  it.live("a server that accepts and never speaks: Timeout, and the connection is closed", () =>
    Effect.gen(function* () {
      const silent = yield* tcpServer(() => {})
      const verdict = yield* probing(silent.port, { timeout: "200 millis" }).check
      assert.deepInclude(signatureOf(verdict), { _tag: "Tls/Timeout", connected: true })
      yield* silent.abandoned
    })
  )

  it.live("an interruption closes the connection", () =>
    Effect.gen(function* () {
      const silent = yield* tcpServer(() => {})
      const fiber = yield* Effect.forkChild(probing(silent.port).check)
      yield* eventually(
        "it is connected",
        Effect.sync(() => (silent.accepted() === 1 ? true : undefined))
      )
      yield* Fiber.interrupt(fiber)
      yield* silent.abandoned
    })
  )

  it.live.skipIf(TestDnsmasq.isMissing())(
    "dnsServers: a name is asked there, and the address that answered is told",
    () =>
      Effect.gen(function* () {
        const { server: dns } = yield* TestDnsmasq.make({ hosts: { "a.test": "127.0.0.1" } })
        const { chain, server } = yield* serving({ leaf: { names: ["DNS:a.test"] } })
        const at = (host: string) => probing(server.port, { ca: chain.root.pem, host, dnsServers: [dns] })
        const verdict = yield* at("a.test").check
        assert.strictEqual(verdict._tag, "Healthy")
        assert.include(JSON.stringify(verdict), `connected 127.0.0.1:${server.port}`)
        assert.deepInclude(yield* findingOf(at("b.test")), { _tag: "Tls/Unreachable", code: "ENOTFOUND" })
      })
  )

  it.live("a DNS server that is down is not taken for the target", () =>
    Effect.gen(function* () {
      const options = { host: "a.test", dnsServers: [`127.0.0.1:${yield* freePort}`] }
      const verdict = yield* probing(443, options).check
      assert.deepInclude(signatureOf(verdict), { _tag: "Tls/Unreachable", code: "ECONNREFUSED" })
      assert.deepInclude(verdict, { evidence: ["a.test:443: ECONNREFUSED", "its name was not resolved"] })
    })
  )

  it.live("names in a certificate are cut and redacted, however many there are", () =>
    Effect.gen(function* () {
      const names = Array.from({ length: 500 }, (_, i) => `DNS:${"a".repeat(60)}.hunter2.n${i}.test`)
      const { probe } = yield* serving({ leaf: { subject: "hunter2", names, ends: 300 } })
      const verdict = yield* Effect.provideService(probe.check, Redaction.Redactor, Redaction.make(["hunter2"]))
      const found = signatureOf(verdict)
      assert.strictEqual(found._tag === "Tls/WrongHost" ? found.names.length : 0, 20)
      assert.notInclude(JSON.stringify(verdict), "hunter2")
      assert.isBelow(JSON.stringify(verdict).length, 10_000)
    })
  )
})

describe.skipIf(isMissing)("TlsProbe of a file", () => {
  it.live("judges a chain as if it were sent; names count with a servername only", () =>
    Effect.gen(function* () {
      const chain = yield* chainOf({ intermediate: { ends: 2.5 } })
      const ca = chain.root.pem
      const file = yield* written(chain.sent)
      assert.deepInclude(yield* findingOf(reading(file, { ca })), {
        _tag: "Tls/Expiring",
        target: file,
        link: "intermediate",
        days: 2
      })
      const good = yield* written((yield* chainOf()).sent + chain.root.pem)
      assert.deepInclude(yield* findingOf(reading(good, { ca })), { _tag: "Tls/IncompleteChain" })
      const whole = yield* chainOf()
      const fine = yield* written(`${whole.leaf.key}\n# a comment\n${whole.sent}`)
      assert.strictEqual((yield* reading(fine, { ca: whole.root.pem }).check)._tag, "Healthy")
      assert.deepInclude(yield* findingOf(reading(fine, { ca: whole.root.pem, servername: "a.test" })), {
        _tag: "Tls/WrongHost"
      })
      assert.deepInclude(yield* findingOf(reading(chain.leaf.file, { ca })), { _tag: "Tls/IncompleteChain" })
    })
  )

  it.live("what a certificate is for, short keys and weak digests are seen in files, too", () =>
    Effect.gen(function* () {
      const cases: ReadonlyArray<readonly [ChainOptions, string, string]> = [
        [clientsOnly, "INVALID_PURPOSE", "leaf: not for servers"],
        [
          { intermediate: { extensions: { extendedKeyUsage: "clientAuth" } } },
          "INVALID_PURPOSE",
          "intermediate: not for servers"
        ],
        [shortKey, "KEY_TOO_SMALL", "leaf: RSA of 1024 bits"]
      ]
      for (const [options, code, why] of cases) {
        const { root, sent } = yield* chainOf(options)
        assert.deepInclude(yield* findingOf(reading(yield* written(sent), { ca: root.pem })), {
          _tag: "Tls/Refused",
          code,
          why
        })
      }
      const { root, sent } = yield* chainOf(weakDigest)
      // Node says it since 24.9.
      const isSaid = new X509Certificate(sent).signatureAlgorithm !== undefined
      const verdict = yield* reading(yield* written(sent), { ca: root.pem }).check
      assert.strictEqual(verdict._tag, isSaid ? "Unhealthy" : "Healthy")
      for (const use of ["serverAuth, clientAuth", "anyExtendedKeyUsage"]) {
        const good = yield* chainOf({ leaf: { extensions: { extendedKeyUsage: use } } })
        const file = yield* written(good.sent)
        assert.strictEqual((yield* reading(file, { ca: good.root.pem }).check)._tag, "Healthy", use)
      }
    })
  )

  it.live("the wrong order is found, and the rest is judged all the same", () =>
    Effect.gen(function* () {
      const { intermediate, leaf, root } = yield* chainOf({ leaf: { begins: -20, ends: -10 } })
      for (const [first, text] of [
        ["Test Intermediate", intermediate.pem + leaf.pem],
        ["Test Root", root.pem + intermediate.pem + leaf.pem]
      ] as const) {
        const verdict = yield* reading(yield* written(text), { ca: root.pem }).check
        assert.deepInclude(signatureOf(verdict), { _tag: "Tls/WrongOrder", subject: first })
        assert.include(JSON.stringify(verdict), "expired: leaf")
      }
    })
  )

  it.live("whatever bytes are changed in a chain, there is a verdict", () =>
    Effect.gen(function* () {
      const { root, sent } = yield* chainOf()
      const file = yield* written(sent)
      const probe = reading(file, { ca: root.pem, servername: "localhost" })
      let seed = 42
      const below = (max: number): number => {
        seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
        return seed % max
      }
      for (let round = 0; round < 150; round++) {
        const bytes = Buffer.from(sent)
        for (let change = 0; change <= below(3); change++) bytes[below(bytes.length)] = below(256)
        Fs.writeFileSync(file, below(5) === 0 ? bytes.subarray(below(bytes.length)) : bytes)
        const verdict = yield* probe.check
        assert.match(verdict._tag, /^(Healthy|Degraded|Unhealthy)$/, `round ${round}`)
      }
    })
  )

  it.live("missing, a folder, a pipe, garbage, a key alone, half a certificate, too much: NoCertificate", () =>
    Effect.gen(function* () {
      const { leaf } = yield* chainOf()
      const folder = yield* TestFolder.make
      const pipe = Path.join(folder, "pipe")
      ChildProcess.spawnSync("mkfifo", [pipe])
      const half = leaf.pem.slice(0, leaf.pem.length / 2)
      const cases: ReadonlyArray<readonly [string, string]> = [
        [Path.join(folder, "nothing"), "ENOENT"],
        [folder, "EISDIR"],
        [pipe, "ENOTFILE"],
        [yield* written(""), "none in it"],
        [yield* written(Buffer.from([0xff, 0xfe, 0, 1, 2])), "none in it"],
        [leaf.keyFile, "none in it"],
        [yield* written(half), "a certificate in it cannot be read"],
        [yield* written(leaf.pem.replace(/\n.{30}/, "\n")), "a certificate in it cannot be read"],
        [yield* written("-----BEGIN CERTIFICATE-----\n".repeat(30_000)), "a certificate in it cannot be read"],
        [yield* written("a".repeat(1_100_000)), "EFBIG"]
      ]
      for (const [file, why] of cases) {
        assert.deepInclude(yield* findingOf(reading(file)), { _tag: "Tls/NoCertificate", target: file, why })
      }
    })
  )
})

describe.skipIf(isMissing)("TlsProbe and what renews", () => {
  const good = Effect.map(chainOf(), ({ root, sent }) => ({ ca: root.pem, sent }))

  /** Stands in for systemctl, which needs a machine that systemd has started; it says what the real one of 252 does. */
  const systemctl = Effect.fnUntraced(function* (script: string) {
    const folder = yield* TestFolder.make
    Fs.writeFileSync(Path.join(folder, "systemctl"), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
    const before = process.env["PATH"] ?? ""
    yield* Effect.acquireRelease(
      Effect.sync(() => (process.env["PATH"] = `${folder}:${before}`)),
      () => Effect.sync(() => (process.env["PATH"] = before))
    )
  })

  it.live("cron: a file with a job in it", () =>
    Effect.gen(function* () {
      const { ca, sent } = yield* good
      const file = yield* written(sent)
      const at = (cron: string) => TlsProbe.make({ name: "tls", file, ca, renewal: { cron } })
      const job = "0 */12 * * * root certbot -q renew\n"
      assert.strictEqual((yield* at(yield* written(`SHELL=/bin/sh\n${job}`)).check)._tag, "Healthy")
      for (const empty of ["", `# ${job}`, "SHELL=/bin/sh\nPATH = /bin\n"]) {
        const path = yield* written(empty)
        const verdict = yield* at(path).check
        assert.strictEqual(verdict._tag, "Degraded")
        assert.deepInclude(signatureOf(verdict), {
          _tag: "Tls/RenewalTimerInactive",
          renewal: path,
          state: "no job in it"
        })
      }
      assert.deepInclude(yield* findingOf(at(`${file}.nothing`)), { state: "not-found" })
      assert.strictEqual((yield* at(Path.dirname(file)).check)._tag, "Inconclusive")
    })
  )

  it.live("no renewal is the cause of a certificate that expires soon, and less than one that has", () =>
    Effect.gen(function* () {
      const at = Effect.fnUntraced(function* (ends: number) {
        const { root, sent } = yield* chainOf({ leaf: { begins: -200, ends } })
        const file = yield* written(sent)
        const renewal = { cron: `${file}.nothing` }
        return yield* findingOf(TlsProbe.make({ name: "tls", file, ca: root.pem, renewal }))
      })
      assert.deepInclude(yield* at(10), { _tag: "Tls/RenewalTimerInactive" })
      assert.deepInclude(yield* at(3), { _tag: "Tls/Expiring" })
      assert.deepInclude(yield* at(-3), { _tag: "Tls/Expired" })
    })
  )

  it.live("timer: active, stopped, not there, and not run for too long, as systemctl says", () =>
    Effect.gen(function* () {
      const { ca, sent } = yield* good
      const file = yield* written(sent)
      const hourAgo = Math.floor(Date.now() / 1000) - 3700
      yield* systemctl(`
        case "$*" in
          "--user show --timestamp=unix --property="*" -- renew.timer") active=active; load=loaded ;;
          "show --timestamp=unix --property="*" -- renew.timer") active=inactive; load=loaded ;;
          *" -- nothing.timer") active=inactive; load=not-found ;;
          *"SubState"*" -- elapsed.timer") active=active; load=loaded; sub=elapsed ;;
          *" -- broken.timer") echo "Failed to connect to bus: No medium found hunter2" >&2; exit 1 ;;
          *" -- flood.timer") exec yes ;;
          *" -- mute.timer") exit 3 ;;
          *) exec sleep 600 ;;
        esac
        printf 'LastTriggerUSec=@%s\nLoadState=%s\nActiveState=%s\nSubState=%s\nActiveEnterTimestamp=\n' \\
          ${hourAgo} $load $active $sub`)
      type Timer = Extract<TlsProbe.Renewal, { readonly timer: string }>
      const at = (timer: string, more: Partial<Timer> = {}, timeout = "20 seconds" as Duration.Input) =>
        TlsProbe.make({ name: "tls", file, ca, timeout, renewal: { timer, ...more } })
      assert.deepInclude(yield* findingOf(at("renew.timer")), { renewal: "renew.timer", state: "inactive" })
      assert.strictEqual((yield* at("renew.timer", { user: true }).check)._tag, "Healthy")
      assert.strictEqual((yield* at("renew.timer", { user: true, within: "2 hours" }).check)._tag, "Healthy")
      assert.deepInclude(yield* findingOf(at("renew.timer", { user: true, within: "1 hour" })), {
        state: "not run for 1 hours"
      })
      assert.deepInclude(yield* findingOf(at("nothing.timer")), { state: "not-found" })
      assert.deepInclude(yield* findingOf(at("elapsed.timer")), { state: "elapsed" })
      // The certificate is good, and nobody knows for how long.
      const reasons: ReadonlyArray<readonly [Probe.Probe<Verdict.Signature>, RegExp]> = [
        [at("broken.timer"), /broken\.timer renews it: systemctl: Failed to connect to bus/],
        [at("flood.timer"), /systemctl: it says too much$/],
        [at("mute.timer"), /systemctl: it ended with 3$/],
        [at("silent.timer", {}, "300 millis"), /no answer in time$/]
      ]
      for (const [probe, pattern] of reasons) {
        const verdict = yield* Effect.provideService(probe.check, Redaction.Redactor, Redaction.make(["hunter2"]))
        assert.match("reason" in verdict ? verdict.reason : verdict._tag, pattern)
        assert.notInclude(JSON.stringify(verdict), "hunter2")
      }
      process.env["PATH"] = Path.dirname(file)
      const none = yield* at("renew.timer").check
      assert.match("reason" in none ? none.reason : none._tag, /this machine has no systemctl$/)
    })
  )

  it("a timer of which systemd does not say when it ran is not taken for a fault; nor is a clock that was set", () => {
    const hour = { within: 3_600_000, now: 1_700_000_000_000 }
    const judge = (text: string) => judgeTimer(text, hour.now, Duration.millis(hour.within))
    assert.isUndefined(judge(activeTimer("LastTriggerUSec=@1699999000\n")))
    assert.strictEqual(judge(activeTimer("LastTriggerUSec=@1699992800\n")), "not run for 2 hours")
    assert.strictEqual(
      judge(activeTimer("LastTriggerUSec=\nActiveEnterTimestamp=@1699992800\n")),
      "not run for 2 hours"
    )
    assert.isUndefined(judge(activeTimer("LastTriggerUSec=n/a\nActiveEnterTimestamp=\n")))
    assert.isUndefined(judge(activeTimer("LastTriggerUSec=@1700009999\n")), "a clock was set")
    assert.isUndefined(judge(activeTimer("LastTriggerUSec=@1699999000\n", "running")))
    assert.strictEqual(judge(activeTimer("LastTriggerUSec=@1699999000\n", "elapsed")), "elapsed")
    assert.strictEqual(judge("LoadState=masked\nActiveState=inactive\n"), "masked")
    assert.strictEqual(judge("LoadState=loaded\nActiveState=failed\n"), "failed")
    assert.strictEqual(judge(""), "unknown")
  })
})

describe("TlsProbe", () => {
  it("its type has what its options look for, and nothing else", () => {
    type Always =
      | TlsProbe.Expired
      | TlsProbe.Expiring
      | TlsProbe.NotYetValid
      | TlsProbe.SelfSigned
      | TlsProbe.UntrustedRoot
      | TlsProbe.IncompleteChain
      | TlsProbe.Refused
      | TlsProbe.NoCertificate
    const always = [
      "Expired",
      "Expiring",
      "NotYetValid",
      "SelfSigned",
      "UntrustedRoot",
      "IncompleteChain",
      "Refused",
      "NoCertificate"
    ]
    const file = TlsProbe.make({ name: "tls", file: "/a.pem" })
    expectTypeOf(file).toEqualTypeOf<Probe.Probe<Always | TlsProbe.WrongOrder>>()
    assert.deepStrictEqual(tagsOf(file), [...always, "WrongOrder"].toSorted())

    const named = TlsProbe.make({ name: "tls", file: "/a.pem", servername: "a.test", renewal: { cron: "/a" } })
    expectTypeOf(named).toEqualTypeOf<
      Probe.Probe<Always | TlsProbe.WrongOrder | TlsProbe.WrongHost | TlsProbe.RenewalTimerInactive>
    >()
    assert.deepStrictEqual(tagsOf(named), [...always, "WrongOrder", "WrongHost", "RenewalTimerInactive"].toSorted())

    const server = TlsProbe.make({ name: "tls", host: "a.test" })
    expectTypeOf(server).toEqualTypeOf<
      Probe.Probe<Always | TlsProbe.Unreachable | TlsProbe.Timeout | TlsProbe.ProtocolTooOld | TlsProbe.WrongHost>
    >()
    assert.deepStrictEqual(
      tagsOf(server),
      [...always, "Unreachable", "Timeout", "ProtocolTooOld", "WrongHost"].toSorted()
    )
    assert.throws(() => {
      // @ts-expect-error a misspelt option
      TlsProbe.make({ name: "tls", host: "a.test", serverName: "b.test" })
    })
    assert.throws(() => {
      // @ts-expect-error both
      TlsProbe.make({ name: "tls", host: "a.test", file: "/a.pem" })
    })
    assert.throws(() => {
      // @ts-expect-error neither
      TlsProbe.make({ name: "tls" })
    })
    assert.throws(() => {
      // @ts-expect-error what only a server has
      TlsProbe.make({ name: "tls", file: "/a.pem", minVersion: "TLSv1.3" })
    })
  })

  it("says what it examines and how far that is", () => {
    assert.deepStrictEqual(about({ name: "a", file: "/a.pem" }), ["file:///a.pem", "host"])
    assert.deepStrictEqual(about({ name: "a", host: "a.test" }), ["tls://a.test:443", "network"])
    assert.deepStrictEqual(about({ name: "a", host: "::1", port: 8443 }), ["tls://[::1]:8443", "host"])
    assert.isTrue(Equal.equals(asks({}), asks({ name: "b" })))
    assert.isFalse(Equal.equals(asks({}), asks({ servername: "b.test" })))
  })

  it.skipIf(isMissing)("refuses options that cannot work, and names them", () => {
    const key = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----"
    const refused: ReadonlyArray<readonly [object, string]> = [
      [{ host: "https://a.test" }, "host"],
      [{ port: 0 }, "port"],
      [{ servername: "" }, "servername"],
      [{ minVersion: "SSLv3" }, "minVersion"],
      [{ dnsServers: [] }, "dnsServers"],
      [{ warnBefore: -1 }, "warnBefore"],
      [{ failBefore: "soon" }, "failBefore"],
      [{ warnBefore: "3 days", failBefore: "4 days" }, "failBefore"],
      [{ ca: "/etc/ca.pem" }, "ca"],
      [{ ca: key }, "ca"],
      [{ ca: [""] }, "ca"],
      [{ timeout: 0 }, "timeout"],
      [{ renewal: "certbot.timer" }, "renewal"],
      [{ renewal: {} }, "renewal.timer"],
      [{ renewal: { timer: "certbot" } }, "renewal.timer"],
      [{ renewal: { timer: "--help.timer" } }, "renewal.timer"],
      [{ renewal: { timer: "a b.timer" } }, "renewal.timer"],
      [{ renewal: { timer: "a.timer", user: 1 } }, "renewal.user"],
      [{ renewal: { timer: "a.timer", within: 0 } }, "renewal.within"],
      [{ renewal: { cron: "" } }, "renewal.cron"],
      [{ renewal: { cron: "/a", timer: "a.timer" } }, "renewal.timer"],
      [{ file: "/a.pem" }, "host"],
      [{ retries: 3 }, "retries"]
    ]
    for (const [options, option] of refused) {
      const error = refusal(() => TlsProbe.make({ name: "tls", host: "a.test", ...options }))
      assert.deepStrictEqual([error.module, error.option], ["TlsProbe", option], error.message)
      assert.notInclude(error.message, "hunter2")
    }
    assert.strictEqual(refusal(() => TlsProbe.make({ name: "tls", file: "" })).option, "file")
  })

  it.live.skipIf(isMissing)("ca: an intermediate is no root", () =>
    Effect.gen(function* () {
      const { intermediate, root } = yield* chainOf()
      for (const ca of [intermediate.pem, root.pem + intermediate.pem]) {
        assert.strictEqual(refusal(() => probing(443, { ca })).option, "ca")
      }
    })
  )
})

if (!isMissing) {
  const cron = "/nothing/cron.d/certbot"
  const chained = (options: ChainOptions, sent?: (chain: Chain) => string, tls?: Tls.TlsOptions) =>
    Effect.map(serving(options, sent, tls), ({ probe }) => probe)

  probeContract<TlsProbe.Found<TlsProbe.TlsServerOptions & { host: string }>>("TlsProbe of a server", {
    situations: {
      Healthy: chained({}),
      "Tls/Expired": chained({ leaf: { begins: -20, ends: -10 } }),
      "Tls/Expiring": chained({ leaf: { ends: 2 } }),
      "Tls/NotYetValid": chained({ leaf: { begins: 2 } }),
      "Tls/SelfSigned": Effect.map(
        Effect.flatMap(TestCertificates.make({ subject: "alone", names: ["IP:127.0.0.1"] }), ({ key, pem }) =>
          tlsServer({ cert: pem, key })
        ),
        ({ port }) => probing(port)
      ),
      "Tls/UntrustedRoot": Effect.map(
        serving({}, (chain) => chain.sent + chain.root.pem),
        ({ server }) => probing(server.port)
      ),
      "Tls/IncompleteChain": chained({}, onlyLeaf),
      "Tls/Refused": chained(clientsOnly),
      "Tls/NoCertificate": Effect.map(
        tcpServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")),
        ({ port }) => probing(port)
      ),
      "Tls/WrongHost": chained({ leaf: { names: ["DNS:a.test"] } }),
      "Tls/ProtocolTooOld": Effect.map(serving({}, undefined, { maxVersion: "TLSv1.2" }), ({ chain, server }) =>
        probing(server.port, { ca: chain.root.pem, minVersion: "TLSv1.3" })
      ),
      "Tls/Unreachable": Effect.map(freePort, (port) => probing(port)),
      "Tls/Timeout": Effect.map(
        tcpServer(() => {}),
        ({ port }) => probing(port, { timeout: "20 millis" })
      ),
      "Tls/RenewalTimerInactive": Effect.map(serving(), ({ chain, server }) =>
        TlsProbe.make({ name: "tls", host: "127.0.0.1", port: server.port, ca: chain.root.pem, renewal: { cron } })
      )
    },
    waiting: Effect.map(
      tcpServer(() => {}),
      ({ port }) => probing(port)
    )
  })

  const inFile = (options: ChainOptions, text = (chain: Chain) => chain.sent) =>
    Effect.gen(function* () {
      const chain = yield* chainOf(options)
      return TlsProbe.make({ name: "tls", file: yield* written(text(chain)), ca: chain.root.pem })
    })

  probeContract<TlsProbe.Found<{ readonly file: string }>>("TlsProbe of a file", {
    situations: {
      Healthy: inFile({}),
      Inconclusive: Effect.map(TestFolder.make, (folder) =>
        TlsProbe.make({ name: "tls", file: Path.join(folder, "a".repeat(300)) })
      ),
      "Tls/Expired": inFile({ leaf: { begins: -20, ends: -10 } }),
      "Tls/Expiring": inFile({ leaf: { ends: 2 } }),
      "Tls/NotYetValid": inFile({ leaf: { begins: 2 } }),
      "Tls/SelfSigned": Effect.map(TestCertificates.make({ subject: "alone" }), ({ file }) =>
        TlsProbe.make({ name: "tls", file })
      ),
      "Tls/UntrustedRoot": Effect.gen(function* () {
        const { root, sent } = yield* chainOf()
        return TlsProbe.make({ name: "tls", file: yield* written(sent + root.pem) })
      }),
      "Tls/IncompleteChain": inFile({}, onlyLeaf),
      "Tls/Refused": inFile(clientsOnly),
      "Tls/NoCertificate": inFile({}, ({ leaf }) => leaf.key),
      "Tls/WrongOrder": inFile({}, ({ intermediate, leaf }) => intermediate.pem + leaf.pem)
    }
  })
}
