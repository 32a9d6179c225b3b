/** Where an URL leads: names, addresses, certificates and unix sockets. */
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Verdict from "@nexobot/core/Verdict"
import * as TestBlackhole from "@nexobot/testing/TestBlackhole"
import * as TestCertificates from "@nexobot/testing/TestCertificates"
import * as TestDnsmasq from "@nexobot/testing/TestDnsmasq"
import * as TestFolder from "@nexobot/testing/TestFolder"
import * as TestPort from "@nexobot/testing/TestPort"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import * as HttpProbe from "../src/HttpProbe.ts"
import { httpServer, httpsServer, signatureOf } from "./support.ts"

const ok = (host: string, port: number) => httpServer((_, response) => response.end(), { host, port })

describe.skipIf(TestDnsmasq.isMissing())("HttpProbe and names", () => {
  it.live("acceptance(core-and-probes 12): the address behind a name changes and the old host drops packets", () =>
    Effect.gen(function* () {
      const port = yield* TestPort.free(20_000, 32_000)
      const dns = yield* TestDnsmasq.make({ hosts: { "shop.test": "127.0.0.2" }, args: ["--no-round-robin"] })
      const url = `http://shop.test:${port}/`
      const basis = { name: "shop", url, dnsServers: [dns.server] } as const
      const probe = HttpProbe.make({ ...basis, timeout: "10 seconds" })

      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* ok("127.0.0.2", port)
          const healthy = Verdict.healthyWith([`connected 127.0.0.2:${port}, resolved 127.0.0.2`])
          assert.deepStrictEqual(yield* probe.check, healthy)
        })
      )

      yield* TestBlackhole.make("127.0.0.2", port)
      const after = Duration.seconds(1)
      assert.deepStrictEqual(
        yield* HttpProbe.make({ ...basis, timeout: after }).check,
        Verdict.unhealthy(new HttpProbe.Timeout({ url, after }), [
          `GET ${url}: no answer in time`,
          "not connected, resolved 127.0.0.2"
        ])
      )

      const seen: Array<string | undefined> = []
      yield* httpServer(
        (request, response) => {
          seen.push(request.headers.host)
          response.end()
        },
        { host: "127.0.0.3", port }
      )
      yield* dns.setHosts({ "shop.test": "127.0.0.3" })
      const moved = Verdict.healthyWith([`connected 127.0.0.3:${port}, resolved 127.0.0.3`])
      assert.deepStrictEqual(yield* probe.check, moved)
      assert.deepStrictEqual(seen, [`shop.test:${port}`])

      // While both are known, the one that answers is enough, and the one that does not is named.
      yield* dns.setHosts({ "shop.test": ["127.0.0.2", "127.0.0.3"] })
      assert.deepStrictEqual(
        yield* HttpProbe.make({ ...basis, timeout: "3 seconds" }).check,
        Verdict.healthyWith([
          `connected 127.0.0.3:${port}, resolved 127.0.0.2, 127.0.0.3`,
          `127.0.0.2:${port}: no answer yet`
        ])
      )
    })
  )

  it.live("an address that refuses leaves the others their turn; when all do, they are named", () =>
    Effect.gen(function* () {
      const port = yield* TestPort.free(20_000, 32_000)
      const dns = yield* TestDnsmasq.make({ hosts: { "shop.test": ["127.0.0.2", "127.0.0.3"] } })
      const url = `http://shop.test:${port}/`
      const probe = HttpProbe.make({ name: "shop", url, dnsServers: [dns.server], timeout: "10 seconds" })
      const refused = yield* probe.check
      assert.deepStrictEqual(signatureOf(refused), new HttpProbe.Unreachable({ url, code: "ECONNREFUSED" }))
      const [, way, ...failed] = "evidence" in refused ? (refused.evidence ?? []) : []
      assert.match(way ?? "", /^not connected, resolved 127\.0\.0\.[23], 127\.0\.0\.[23]$/)
      assert.sameMembers(failed, [`127.0.0.2:${port}: ECONNREFUSED`, `127.0.0.3:${port}: ECONNREFUSED`])
      yield* ok("127.0.0.3", port)
      assert.strictEqual((yield* probe.check)._tag, "Healthy")
    })
  )

  it.live("an address that we cannot get to does not undo what another has said", () =>
    Effect.gen(function* () {
      const port = yield* TestPort.free(20_000, 32_000)
      const dns = yield* TestDnsmasq.make({ args: ["--no-round-robin"] })
      const url = `http://shop.test:${port}/`
      const probe = HttpProbe.make({ name: "shop", url, dnsServers: [dns.server], timeout: "10 seconds" })
      for (const addresses of [
        ["127.0.0.2", "255.255.255.255"],
        ["255.255.255.255", "127.0.0.2"]
      ]) {
        yield* dns.setHosts({ "shop.test": addresses })
        const refused = new HttpProbe.Unreachable({ url, code: "ECONNREFUSED" })
        assert.deepStrictEqual(signatureOf(yield* probe.check), refused)
      }
      yield* dns.setHosts({ "shop.test": "255.255.255.255" })
      assert.strictEqual((yield* probe.check)._tag, "Inconclusive")
    })
  )

  it.live("a name that nobody knows is Unreachable, one that nobody tells is a Timeout", () =>
    Effect.gen(function* () {
      const dns = yield* TestDnsmasq.make()
      const probe = { name: "shop", url: "http://nowhere.test/", dnsServers: [dns.server] } as const
      const found = signatureOf(yield* HttpProbe.make({ ...probe, timeout: "10 seconds" }).check)
      assert.deepInclude(found, { _tag: "Http/Unreachable", code: "ENOTFOUND" })
      yield* dns.freeze
      const waited = signatureOf(yield* HttpProbe.make({ ...probe, timeout: "200 millis" }).check)
      assert.strictEqual(waited._tag, "Http/Timeout")
    })
  )

  it.live("a redirect to a name asks the same servers", () =>
    Effect.gen(function* () {
      const port = yield* TestPort.free(20_000, 32_000)
      const dns = yield* TestDnsmasq.make({ hosts: { "shop.test": "127.0.0.2", "www.shop.test": "127.0.0.3" } })
      const location = `http://www.shop.test:${port}/home?session=abc`
      yield* httpServer((_, response) => response.writeHead(301, { location }).end(), { host: "127.0.0.2", port })
      yield* ok("127.0.0.3", port)
      const probe = HttpProbe.make({ name: "shop", url: `http://shop.test:${port}/`, dnsServers: [dns.server] })
      assert.deepStrictEqual(
        yield* probe.check,
        Verdict.healthyWith([
          `redirects to http://www.shop.test:${port}/home`,
          `connected 127.0.0.3:${port}, resolved 127.0.0.3`
        ])
      )
    })
  )
})

describe("HttpProbe and the system's names", () => {
  it.live("DNS that is down is told from a target that is down", () =>
    Effect.gen(function* () {
      const url = "http://shop.test/"
      const probe = HttpProbe.make({ name: "shop", url, dnsServers: ["127.0.0.1:1"], timeout: "10 seconds" })
      assert.deepStrictEqual(
        yield* probe.check,
        Verdict.unhealthy(new HttpProbe.Unreachable({ url, code: "ECONNREFUSED" }), [
          `GET ${url}: ECONNREFUSED`,
          "its name was not resolved"
        ])
      )
    })
  )

  it.live("localhost needs no server, and is told from an address", () =>
    Effect.gen(function* () {
      const { port } = yield* httpServer((_, response) => response.end())
      const verdict = yield* HttpProbe.make({ name: "web", url: `http://localhost:${port}/` }).check
      assert.strictEqual(verdict._tag, "Healthy")
      const [way = ""] = ("evidence" in verdict && verdict.evidence) || []
      assert.match(way, new RegExp(`^connected 127.0.0.1:${port}, resolved .*127.0.0.1`))
    })
  )
})

describe.skipIf(TestCertificates.isMissing())("HttpProbe and certificates", () => {
  it.live("who is not trusted, or has another name, is Unreachable with the code; ca and servername change that", () =>
    Effect.gen(function* () {
      const { leaf, root, sent } = yield* TestCertificates.chain({ leaf: { names: ["DNS:shop.test"] } })
      const names: Array<unknown> = []
      const server = yield* httpsServer(
        { cert: sent, key: leaf.key, SNICallback: (name, done) => (names.push(name), done(null)) },
        (_, response) => response.end()
      )
      const basis = { name: "shop", url: `https://127.0.0.1:${server.port}/`, timeout: "10 seconds" } as const
      const stranger = signatureOf(yield* HttpProbe.make(basis).check)
      assert.deepInclude(stranger, { _tag: "Http/Unreachable", code: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY" })
      const misnamed = signatureOf(yield* HttpProbe.make({ ...basis, ca: root.pem }).check)
      assert.deepInclude(misnamed, { _tag: "Http/Unreachable", code: "ERR_TLS_CERT_ALTNAME_INVALID" })
      assert.deepStrictEqual(names, [])
      const known = HttpProbe.make({ ...basis, ca: root.pem, servername: "shop.test" })
      assert.deepStrictEqual(yield* known.check, Verdict.healthy)
      assert.deepStrictEqual(names, ["shop.test"])
      const named = HttpProbe.make({ ...basis, url: `https://localhost:${server.port}/`, ca: root.pem })
      assert.strictEqual(signatureOf(yield* named.check)._tag, "Http/Unreachable")
      assert.deepStrictEqual(names, ["shop.test", "localhost"])
      yield* server.abandoned
    })
  )

  it.live("another origin is not trusted because the first is", () =>
    Effect.gen(function* () {
      const { leaf, root, sent } = yield* TestCertificates.chain()
      const tls = { cert: sent, key: leaf.key }
      const other = yield* httpsServer(tls, (_, response) => response.end())
      const location = `https://127.0.0.1:${other.port}/`
      const server = yield* httpsServer(tls, (_, response) => response.writeHead(302, { location }).end())
      const url = `https://127.0.0.1:${server.port}/`
      const probe = HttpProbe.make({ name: "shop", ca: root.pem, timeout: "10 seconds", url })
      const found = signatureOf(yield* probe.check)
      assert.deepInclude(found, { _tag: "Http/Unreachable", code: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY" })
    })
  )

  it.live("what is said over TLS is looked at as elsewhere; what is no TLS is Unreachable", () =>
    Effect.gen(function* () {
      const { leaf, root, sent } = yield* TestCertificates.chain()
      const server = yield* httpsServer({ cert: sent, key: leaf.key }, (_, response) => response.end('{"ok":true}'))
      const basis = { name: "shop", ca: root.pem, timeout: "10 seconds" } as const
      const url = `https://127.0.0.1:${server.port}/`
      assert.strictEqual((yield* HttpProbe.make({ ...basis, url, expectBody: '"ok":true' }).check)._tag, "Healthy")
      const plain = yield* httpServer((_, response) => response.end())
      const spoken = HttpProbe.make({ ...basis, url: `https://127.0.0.1:${plain.port}/` })
      assert.strictEqual(signatureOf(yield* spoken.check)._tag, "Http/Unreachable")
    })
  )
})

describe("HttpProbe and unix sockets", () => {
  it.live("socketPath: connects there, and asks for the URL", () =>
    Effect.gen(function* () {
      const socketPath = Path.join(yield* TestFolder.make, "web.sock")
      const probe = HttpProbe.make({ name: "docker", url: "http://docker/_ping", socketPath })
      assert.deepInclude(signatureOf(yield* probe.check), { _tag: "Http/Unreachable", code: "ENOENT" })
      const seen: Array<unknown> = []
      const server = yield* httpServer(
        (request, response) => {
          seen.push([request.url, request.headers.host])
          response.end()
        },
        { path: socketPath }
      )
      assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
      assert.deepStrictEqual(seen, [["/_ping", "docker"]])
      yield* server.abandoned
    })
  )

  it.live("socketPath: another origin is elsewhere", () =>
    Effect.gen(function* () {
      const socketPath = Path.join(yield* TestFolder.make, "web.sock")
      const other = yield* httpServer((_, response) => response.end("over there"))
      const location = `http://127.0.0.1:${other.port}/`
      yield* httpServer((_, response) => response.writeHead(302, { location }).end(), { path: socketPath })
      const probe = HttpProbe.make({ name: "web", url: "http://web/", socketPath, expectBody: "over there" })
      assert.strictEqual((yield* probe.check)._tag, "Healthy")
    })
  )
})
