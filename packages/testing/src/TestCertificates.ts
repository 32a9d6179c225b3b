/**
 * Certificates made on the spot with the program `openssl`: authorities, chains, and every fault that one can have.
 *
 * @since 0.1.0
 */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

import * as Binary from "./Binary.ts"
import * as TestFolder from "./TestFolder.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface TestCertificate {
  /** In PEM, without those that it rests on. */
  readonly pem: string
  /** Its private key, in PEM. */
  readonly key: string
  /** Where the two are, as long as the scope is open. */
  readonly file: string
  readonly keyFile: string
}

/**
 * @category models
 * @since 0.1.0
 */
export interface TestCertificateOptions {
  /** Its common name; empty for a certificate without a name. */
  readonly subject: string
  /** For whom it is, as `DNS:a.test` or `IP:127.0.0.1`. Nobody unless told. */
  readonly names?: ReadonlyArray<string>
  /** Whether it may issue others; `false` unless told. */
  readonly authority?: boolean
  /** Who issues it; itself unless told. */
  readonly issuer?: TestCertificate
  /** Days from now, to the second; -1 unless told. */
  readonly begins?: number
  /** Days from now, to the second; 100 unless told. Less than 0 has expired. */
  readonly ends?: number
  /**
   * Extensions by their names, as in x509v3_config(5), for example `{ extendedKeyUsage: "clientAuth" }`. One that it would
   * have anyway is replaced.
   */
  readonly extensions?: Readonly<Record<string, string>>
  /** Whose key it has; a new one of P-256 unless told. */
  readonly keyOf?: Pick<TestCertificate, "keyFile">
  /** Bits of a new RSA key in place of that. */
  readonly rsa?: number
  /** Of its signature; `sha256` unless told. */
  readonly digest?: "sha1" | "sha256"
}

/**
 * Whether there is no openssl here: the tests that need it are skipped then, except on CI, where this throws.
 *
 * @category operations
 * @since 0.1.0
 */
export const isMissing = (): boolean => Binary.skipWithout("openssl", "apt-get install openssl")

const extensionsOf = ({ authority = false, extensions, names = [] }: TestCertificateOptions): string =>
  Object.entries({
    subjectKeyIdentifier: "hash",
    basicConstraints: `critical, CA:${authority ? "TRUE" : "FALSE"}`,
    ...(authority ? { keyUsage: "critical, keyCertSign, cRLSign" } : {}),
    ...(names.length === 0 ? {} : { subjectAltName: names.join(", ") }),
    ...extensions
  })
    .map(([name, value]) => `${name} = ${value}`)
    .join("\n")

const configuration = (options: TestCertificateOptions): string => `
[req]
distinguished_name = nothing
[nothing]
[ca]
default_ca = own
[own]
database = database
new_certs_dir = .
rand_serial = yes
default_md = ${options.digest ?? "sha256"}
policy = any
unique_subject = no
[any]
commonName = optional
[extensions]
${extensionsOf(options)}
`

/** As in `20270131235959Z`. */
const inDays = (now: number, days: number): string =>
  `${new Date(now + days * 86_400_000).toISOString().replaceAll(/[-:T]|\..*/g, "")}Z`

const openssl = (cwd: string, ...args: ReadonlyArray<string>) =>
  Effect.suspend(() => {
    const { error, status, stderr } = ChildProcess.spawnSync(Binary.find("openssl") ?? "openssl", args, {
      cwd,
      encoding: "utf8",
      stdio: ["ignore", "ignore", "pipe"]
    })
    return status === 0 ? Effect.void : Effect.die(new Error(`openssl ${args.join(" ")}: ${error?.message ?? stderr}`))
  })

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  options: TestCertificateOptions
): Effect.fn.Return<TestCertificate, never, Scope.Scope> {
  const { begins = -1, ends = 100, issuer, keyOf, rsa, subject } = options
  const folder = yield* TestFolder.make
  // The real time, whatever clock the test has: servers and clients look at theirs.
  const now = yield* Effect.provideService(Clock.currentTimeMillis, Clock.Clock, Clock.Clock.defaultValue())
  Fs.writeFileSync(Path.join(folder, "openssl.cnf"), configuration(options))
  Fs.writeFileSync(Path.join(folder, "database"), "")
  const [file, keyFile] = [Path.join(folder, "certificate.pem"), Path.join(folder, "key.pem")]
  if (keyOf !== undefined) Fs.copyFileSync(keyOf.keyFile, keyFile)
  const newKey =
    rsa === undefined ? ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"] : ["-newkey", `rsa:${rsa}`]
  const key = keyOf === undefined ? [...newKey, "-nodes", "-keyout", "key.pem"] : ["-key", "key.pem"]
  // prettier-ignore
  yield* openssl(
    folder,
    "req", "-new", "-config", "openssl.cnf", "-subj", subject === "" ? "/" : `/CN=${subject}`, ...key, "-out", "request.pem"
  )
  const signedBy =
    issuer === undefined ? ["-selfsign", "-keyfile", "key.pem"] : ["-cert", issuer.file, "-keyfile", issuer.keyFile]
  // prettier-ignore
  yield* openssl(
    folder,
    "ca", "-batch", "-notext", "-config", "openssl.cnf", "-extensions", "extensions", ...signedBy,
    "-startdate", inDays(now, begins), "-enddate", inDays(now, ends), "-in", "request.pem", "-out", "certificate.pem"
  )
  return { pem: Fs.readFileSync(file, "utf8"), key: Fs.readFileSync(keyFile, "utf8"), file, keyFile }
})

/**
 * @category models
 * @since 0.1.0
 */
export interface TestChain {
  readonly root: TestCertificate
  readonly intermediate: TestCertificate
  readonly leaf: TestCertificate
  /** What a server sends: leaf and intermediate, in PEM. */
  readonly sent: string
}

/**
 * A root, an intermediate and a leaf for `localhost` and 127.0.0.1, each of which may be told otherwise.
 *
 * @category constructors
 * @since 0.1.0
 */
export const chain = Effect.fnUntraced(function* (
  options: {
    readonly root?: Partial<TestCertificateOptions>
    readonly intermediate?: Partial<TestCertificateOptions>
    readonly leaf?: Partial<TestCertificateOptions>
    /** A chain whose root and intermediate it has, in place of new ones. */
    readonly on?: Pick<TestChain, "intermediate" | "root">
  } = {}
): Effect.fn.Return<TestChain, never, Scope.Scope> {
  const root = options.on?.root ?? (yield* make({ subject: "Test Root", authority: true, ends: 3650, ...options.root }))
  const below = { subject: "Test Intermediate", authority: true, ends: 1000, issuer: root }
  const intermediate = options.on?.intermediate ?? (yield* make({ ...below, ...options.intermediate }))
  const names = ["DNS:localhost", "IP:127.0.0.1"]
  const leaf = yield* make({ subject: "localhost", names, issuer: intermediate, ...options.leaf })
  return { root, intermediate, leaf, sent: leaf.pem + intermediate.pem }
})
