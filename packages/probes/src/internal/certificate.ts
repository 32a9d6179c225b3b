/**
 * Chains of certificates, judged without anybody's say-so: OpenSSL stops at the first fault, and this is to see them all.
 *
 * @since 0.1.0
 */
import { X509Certificate } from "node:crypto"
import * as Net from "node:net"
import * as Tls from "node:tls"

export interface Link {
  readonly role: "leaf" | "intermediate" | "root"
  readonly certificate: X509Certificate
}

export interface Chain {
  /** From the leaf towards its root. */
  readonly links: readonly [Link, ...ReadonlyArray<Link>]
  /** What the last one is: a trusted root, the leaf itself, a root that nobody trusts, or issued by who is not there. */
  readonly end: "trusted" | "self-signed" | "untrusted-root" | "incomplete"
}

/** Chains of the field have five links at most. */
const mostLinks = 10

/** A bundle of all public roots has some 150. */
const mostCertificates = 1000

const begin = "-----BEGIN CERTIFICATE-----"
const end = "-----END CERTIFICATE-----"

/** The certificates in a text, in their order; `undefined` if one of them is none. Anything between them is skipped. */
export const parsePem = (text: string): ReadonlyArray<X509Certificate> | undefined => {
  const certificates: Array<X509Certificate> = []
  let from = text.indexOf(begin)
  while (from >= 0 && certificates.length < mostCertificates) {
    const to = text.indexOf(end, from)
    if (to < 0) return undefined
    try {
      certificates.push(new X509Certificate(text.slice(from, to + end.length)))
    } catch {
      return undefined
    }
    from = text.indexOf(begin, to)
  }
  return certificates
}

const isSame = (a: X509Certificate, b: X509Certificate): boolean => a.fingerprint256 === b.fingerprint256

const isIssuedBy = (certificate: X509Certificate, issuer: X509Certificate): boolean => {
  try {
    return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)
  } catch {
    return false // a key of a kind that is not known here, or a broken one
  }
}

export const isSelfSigned = (certificate: X509Certificate): boolean => isIssuedBy(certificate, certificate)

/** Whether it has issued another one of these. */
export const isIssuerAmong = (certificate: X509Certificate, others: ReadonlyArray<X509Certificate>): boolean =>
  others.some((other) => !isSame(other, certificate) && isIssuedBy(other, certificate))

/** Of a certificate that was issued again with the same key, the one that lasts longest. */
const best = (certificates: ReadonlyArray<X509Certificate>): X509Certificate | undefined =>
  certificates.toSorted((a, b) => b.validToDate.getTime() - a.validToDate.getTime())[0]

/**
 * The chain of a leaf. A trusted root ends it as soon as there is one, whatever else was sent: a root that another one
 * has signed, which has expired meanwhile, does no harm.
 */
export const chainOf = (
  leaf: X509Certificate,
  sent: ReadonlyArray<X509Certificate>,
  roots: ReadonlyArray<X509Certificate>
): Chain => {
  const links: [Link, ...Array<Link>] = [{ role: "leaf", certificate: leaf }]
  const isRoot = (certificate: X509Certificate) => roots.some((root) => isSame(root, certificate))
  if (isRoot(leaf)) return { links, end: "trusted" }
  let last = leaf
  while (links.length < mostLinks) {
    const issued = last
    const root = best(roots.filter((one) => isIssuedBy(issued, one)))
    if (root !== undefined) {
      links.push({ role: "root", certificate: root })
      return { links, end: "trusted" }
    }
    if (isSelfSigned(issued)) return { links, end: links.length === 1 ? "self-signed" : "untrusted-root" }
    const next = best(
      sent.filter((one) => one.ca && !links.some((link) => isSame(link.certificate, one)) && isIssuedBy(issued, one))
    )
    if (next === undefined) break
    links.push({ role: isSelfSigned(next) ? "root" : "intermediate", certificate: next })
    last = next
  }
  return { links, end: "incomplete" }
}

const parsed = new WeakMap<ReadonlyArray<string>, ReadonlyArray<X509Certificate>>()

/** The roots that this process trusts, those of `NODE_EXTRA_CA_CERTS` among them. Node has one list until it changes. */
export const trustedRoots = (): ReadonlyArray<X509Certificate> => {
  const texts = Tls.getCACertificates("default")
  const roots = parsed.get(texts) ?? texts.flatMap((text) => parsePem(text) ?? [])
  parsed.set(texts, roots)
  return roots
}

/** Whether it is for a name or an address. The common name does not count: clients have given up looking there. */
export const isFor = (certificate: X509Certificate, host: string): boolean =>
  (Net.isIP(host) === 0
    ? certificate.checkHost(host.replace(/\.$/, ""), { subject: "never" })
    : certificate.checkIP(host)) !== undefined

/** The names and addresses that it is for, as many as are shown. */
export const namesOf = (certificate: X509Certificate, most: number): ReadonlyArray<string> =>
  (certificate.subjectAltName ?? "")
    .slice(0, 8192)
    .split(", ")
    .filter((name) => /^(DNS|IP Address):/.test(name))
    .slice(0, most)
    .map((name) => name.slice(name.indexOf(":") + 1))

/** What people call it: its common name, else its first name, else all of its subject. */
export const nameOf = (certificate: X509Certificate): string =>
  /^CN=(.+)$/m.exec(certificate.subject ?? "")?.[1] ??
  namesOf(certificate, 1)[0] ??
  (certificate.subject || "a certificate without a name")
