import { createPrivateKey, X509Certificate } from "node:crypto"
import * as Fs from "node:fs"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

import * as TestCertificates from "../src/TestCertificates.ts"

/** In whole days. */
const ago = (date: Date): number => Math.round((Date.now() - date.getTime()) / 86_400_000)

describe.skipIf(TestCertificates.isMissing())("TestCertificates", () => {
  it.live("makes a chain, each link issued by the next; its files are gone with the scope", () =>
    Effect.gen(function* () {
      const files = yield* Effect.scoped(
        Effect.gen(function* () {
          const { intermediate, leaf, root, sent } = yield* TestCertificates.chain()
          const [a, b, c] = [leaf, intermediate, root].map(({ pem }) => new X509Certificate(pem))
          assert.isDefined(a)
          assert.isDefined(b)
          assert.isDefined(c)
          assert.isTrue(a.checkIssued(b) && a.verify(b.publicKey))
          assert.isTrue(b.checkIssued(c) && b.verify(c.publicKey))
          assert.isTrue(c.checkIssued(c) && c.verify(c.publicKey))
          assert.deepStrictEqual([a.ca, b.ca, c.ca], [false, true, true])
          assert.deepStrictEqual([a.checkHost("localhost"), a.checkIP("127.0.0.1")], ["localhost", "127.0.0.1"])
          assert.strictEqual(sent, leaf.pem + intermediate.pem)
          assert.strictEqual(Fs.readFileSync(leaf.file, "utf8"), leaf.pem)
          assert.strictEqual(Fs.readFileSync(leaf.keyFile, "utf8"), leaf.key)
          return [leaf.file, root.keyFile]
        })
      )
      for (const file of files) assert.isFalse(Fs.existsSync(file))
    })
  )

  it.live("of any subject, names and dates", () =>
    Effect.gen(function* () {
      const made = yield* TestCertificates.make({ subject: "old", names: ["DNS:*.a.test"], begins: -20, ends: -10 })
      const certificate = new X509Certificate(made.pem)
      assert.strictEqual(certificate.subject, "CN=old")
      assert.strictEqual(certificate.subjectAltName, "DNS:*.a.test")
      assert.isTrue(certificate.checkIssued(certificate), "by itself")
      assert.deepStrictEqual([ago(certificate.validFromDate), ago(certificate.validToDate)], [20, 10])
    })
  )

  it.live("with other extensions, keys and signatures", () =>
    Effect.gen(function* () {
      const root = yield* TestCertificates.make({ subject: "", authority: true })
      const made = yield* TestCertificates.make({
        subject: "odd",
        issuer: root,
        extensions: { extendedKeyUsage: "clientAuth", basicConstraints: "CA:TRUE" },
        rsa: 1024,
        digest: "sha1"
      })
      const [above, below] = [new X509Certificate(root.pem), new X509Certificate(made.pem)]
      assert.isTrue(below.checkIssued(above) && below.verify(above.publicKey))
      assert.deepStrictEqual([above.subject, below.issuer], [undefined, undefined], "Node has it so")
      assert.deepStrictEqual([below.ca, below.keyUsage], [true, ["1.3.6.1.5.5.7.3.2"]])
      assert.strictEqual(below.publicKey.asymmetricKeyDetails?.modulusLength, 1024)
      const again = yield* TestCertificates.make({ subject: "again", keyOf: made })
      assert.isTrue(new X509Certificate(again.pem).checkPrivateKey(createPrivateKey(made.key)))
    })
  )
})
