/**
 * Everything wrong with a chain of certificates.
 *
 * @since 0.1.0
 */
import type { X509Certificate } from "node:crypto"

import type { Redactor } from "@nexobot/core/Redaction"
import * as Duration from "effect/Duration"

import * as Certificate from "./certificate.ts"
import { excerpt } from "./excerpt.ts"
import * as S from "./tlsSignatures.ts"

export type Signature = S.ProtocolTooOld | S.RenewalTimerInactive | S.WrongOrder | S.Refused | OfChain

type OfChain = S.Expired | S.Expiring | S.NotYetValid | S.WrongHost | S.SelfSigned | S.UntrustedRoot | S.IncompleteChain

export interface Fault<A = Signature> {
  readonly signature: A
  /** Whether it can wait. */
  readonly isDefect: boolean
  readonly says: string
}

export interface Case {
  readonly target: string
  readonly leaf: X509Certificate
  readonly chain: Certificate.Chain
  /** For whom it should be. */
  readonly host: string | undefined
  readonly now: number
  readonly warnBefore: Duration.Duration
  readonly failBefore: Duration.Duration
  readonly redactor: Redactor
}

const day = Duration.toMillis("1 day")

const shownNames = 20

const iso = (date: Date): string => (Number.isNaN(date.getTime()) ? "an unreadable date" : date.toISOString())

/** The link that ends first. */
const weakestOf = ({ links: [leaf, ...others] }: Certificate.Chain): Certificate.Link =>
  others.reduce((a, b) => (b.certificate.validToDate < a.certificate.validToDate ? b : a), leaf)

/** `intermediate "R3" until 2027-03-13T00:00:00.000Z` */
const lineOf = ({ certificate, role }: Certificate.Link, redactor: Redactor): string =>
  `${role} "${excerpt(Certificate.nameOf(certificate), redactor)}" until ${iso(certificate.validToDate)}`

/** What the chain rests on, for people. */
export const weakestLine = ({ chain, redactor }: Case): string => `weakest link: ${lineOf(weakestOf(chain), redactor)}`

const endFault = ({ chain, redactor, target }: Case): Fault<OfChain> | undefined => {
  const last = chain.links.at(-1)?.certificate ?? chain.links[0].certificate
  const subject = excerpt(Certificate.nameOf(last), redactor)
  const isDefect = false
  switch (chain.end) {
    case "trusted":
      return undefined
    case "self-signed":
      return { signature: new S.SelfSigned({ target, subject }), isDefect, says: `"${subject}" is signed by itself` }
    case "untrusted-root":
      return { signature: new S.UntrustedRoot({ target, subject }), isDefect, says: `root "${subject}" is not trusted` }
    case "incomplete": {
      const missing = excerpt(last.issuer || "an issuer without a name", redactor)
      const signature = new S.IncompleteChain({ target, subject, missing })
      return { signature, isDefect, says: `the issuer of "${subject}" is not there: ${missing}` }
    }
  }
}

const endingFault = ({ chain, failBefore, now, redactor, target, warnBefore }: Case): Fault<OfChain> | undefined => {
  const weakest = weakestOf(chain)
  const ends = weakest.certificate.validToDate
  const left = ends.getTime() - now
  const about = {
    target,
    subject: excerpt(Certificate.nameOf(weakest.certificate), redactor),
    link: weakest.role,
    notAfter: iso(ends)
  }
  const says = lineOf(weakest, redactor)
  // Not a number, where the date cannot be read: then it is of no use.
  if (!(left > 0)) return { signature: new S.Expired(about), isDefect: false, says: `expired: ${says}` }
  if (left >= Duration.toMillis(warnBefore)) return undefined
  const days = Math.floor(left / day)
  return {
    signature: new S.Expiring({ ...about, days }),
    isDefect: left >= Duration.toMillis(failBefore),
    says: `${days} days left: ${says}`
  }
}

const beginningFault = ({ chain, now, redactor, target }: Case): Fault<OfChain> | undefined => {
  const early = chain.links.find(({ certificate }) => certificate.validFromDate.getTime() > now)
  if (early === undefined) return undefined
  const subject = excerpt(Certificate.nameOf(early.certificate), redactor)
  const notBefore = iso(early.certificate.validFromDate)
  return {
    signature: new S.NotYetValid({ target, subject, link: early.role, notBefore }),
    isDefect: false,
    says: `${early.role} "${subject}" begins ${notBefore}`
  }
}

const hostFault = ({ host, leaf, redactor, target }: Case): Fault<OfChain> | undefined => {
  if (host === undefined || Certificate.isFor(leaf, host)) return undefined
  const names = Certificate.namesOf(leaf, shownNames).map((name) => excerpt(name, redactor))
  return {
    signature: new S.WrongHost({ target, host, names }),
    isDefect: false,
    says: `not for ${host}, but for ${names.join(", ") || "nobody"}`
  }
}

/** What keeps clients away before what will, each in the order in which a client would stumble over it. */
export const faultsOf = (one: Case): ReadonlyArray<Fault<OfChain>> => {
  const ending = endingFault(one)
  const isOver = ending?.signature._tag === "Tls/Expired"
  const found = [
    isOver ? ending : undefined,
    beginningFault(one),
    hostFault(one),
    endFault(one),
    isOver ? undefined : ending
  ]
  return found.filter((fault) => fault !== undefined)
}
