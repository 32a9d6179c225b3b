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

/** How many links are looked at in all, whichever way leads on: what is sent may have any number of ways. */
const mostLooks = 30

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

/** Of a certificate that was issued again with the same key, those first that last longest. */
const bestFirst = (certificates: ReadonlyArray<X509Certificate>): ReadonlyArray<X509Certificate> =>
  certificates.toSorted((a, b) => b.validToDate.getTime() - a.validToDate.getTime())

/**
 * The chain of a leaf. A trusted root ends it as soon as there is one, whatever else was sent: a root that another one
 * has signed, which has expired meanwhile, does no harm. Where several have issued a link, as with an intermediate that
 * two roots have signed, each is tried until one leads to a trusted root; if none does, the first one counts.
 */
export const chainOf = (
  leaf: X509Certificate,
  sent: ReadonlyArray<X509Certificate>,
  roots: ReadonlyArray<X509Certificate>
): Chain => {
  let looks = 0
  const from = (links: Chain["links"]): Chain => {
    looks += 1
    const last = links.at(-1)?.certificate ?? leaf
    const [root] = bestFirst(roots.filter((one) => isIssuedBy(last, one)))
    if (root !== undefined) return { links: [...links, { role: "root", certificate: root }], end: "trusted" }
    if (isSelfSigned(last)) return { links, end: links.length === 1 ? "self-signed" : "untrusted-root" }
    const next = bestFirst(
      sent.filter((one) => one.ca && !links.some((link) => isSame(link.certificate, one)) && isIssuedBy(last, one))
    )
    let first: Chain | undefined
    for (const certificate of next) {
      if (links.length >= mostLinks || looks >= mostLooks) break
      const chain = from([...links, { role: isSelfSigned(certificate) ? "root" : "intermediate", certificate }])
      if (chain.end === "trusted") return chain
      first ??= chain
    }
    return first ?? { links, end: "incomplete" }
  }
  const links: Chain["links"] = [{ role: "leaf", certificate: leaf }]
  return roots.some((root) => isSame(root, leaf)) ? { links, end: "trusted" } : from(links)
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

/** `serverAuth` and `anyExtendedKeyUsage`. */
const serverAuthentication = new Set(["1.3.6.1.5.5.7.3.1", "2.5.29.37.0"])

const tooFewBits = 2048

const modulusOf = (certificate: X509Certificate): number | undefined => {
  try {
    return certificate.publicKey.asymmetricKeyDetails?.modulusLength
  } catch {
    return undefined // a key of a kind that is not known here, or a broken one
  }
}

/**
 * Why clients refuse a chain though it is whole, as far as certificates show it here: what they are for, short RSA keys
 * and weak digests. OpenSSL sees more, and takes part only where a server speaks.
 */
export const weaknessOf = ({ links }: Chain): { readonly code: string; readonly why: string } | undefined => {
  for (const { certificate, role } of links) {
    // A root is trusted as it is.
    if (role === "root") continue
    // Node has the extended ones under this name; without any it may serve for everything.
    const uses: ReadonlyArray<string> | undefined = certificate.keyUsage
    if (uses !== undefined && !uses.some((use) => serverAuthentication.has(use))) {
      return { code: "INVALID_PURPOSE", why: `${role}: not for servers` }
    }
    const bits = modulusOf(certificate)
    if (bits !== undefined && bits < tooFewBits) return { code: "KEY_TOO_SMALL", why: `${role}: RSA of ${bits} bits` }
    // Since Node 24.9.
    const signature = certificate.signatureAlgorithm ?? ""
    if (/md5|sha1(?!\d)/i.test(signature)) return { code: "MD_TOO_WEAK", why: `${role}: signed by ${signature}` }
  }
  return undefined
}

/** What people call it: its common name, else its first name, else all of its subject. */
export const nameOf = (certificate: X509Certificate): string =>
  /^CN=(.+)$/m.exec(certificate.subject ?? "")?.[1] ??
  namesOf(certificate, 1)[0] ??
  (certificate.subject || "a certificate without a name")
