/**
 * The credentials of one console: its token, the one-time codes that were printed, the sessions that were opened.
 * In memory and hashed, so that neither a heap dump nor a log of this state lets anybody in.
 */
import * as Crypto from "node:crypto"

import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"

export const sessionLifetime = Duration.hours(12)
export const codeLifetime = Duration.minutes(10)
/** More than an operator has open; the oldest goes first, so issuing cannot fill the memory. */
const maxSessions = 256
const maxCodes = 64

const digest = (text: string): Buffer => Crypto.createHash("sha256").update(text, "utf8").digest()

export const randomSecret = (bytes = 32): string => Crypto.randomBytes(bytes).toString("base64url")

/** Keys that expire; only their hashes are kept. Looking up by hash leaks nothing that timing could exploit. */
const makeExpiring = (capacity: number, lifetime: Duration.Duration) => {
  const expiries = new Map<string, number>()
  const prune = (now: number) => {
    for (const [key, expiry] of expiries) if (expiry <= now) expiries.delete(key)
  }
  return {
    issue: Effect.map(Clock.currentTimeMillis, (now) => {
      prune(now)
      const oldest = expiries.size >= capacity ? expiries.keys().next().value : undefined
      if (oldest !== undefined) expiries.delete(oldest)
      const secret = randomSecret()
      expiries.set(digest(secret).toString("hex"), now + Duration.toMillis(lifetime))
      return secret
    }),
    isValid: (secret: string) =>
      Effect.map(Clock.currentTimeMillis, (now) => (expiries.get(digest(secret).toString("hex")) ?? 0) > now),
    /** True once: a second use finds nothing. */
    consume: (secret: string) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const key = digest(secret).toString("hex")
        const expiry = expiries.get(key) ?? 0
        expiries.delete(key)
        return expiry > now
      })
  }
}

export interface AccessShape {
  readonly isToken: (candidate: string) => boolean
  readonly isSession: (id: string) => Effect.Effect<boolean>
  readonly issueCode: Effect.Effect<string>
  /** The id of a new session, if the credential is good. */
  readonly open: (
    credential: { readonly code: string } | { readonly token: string }
  ) => Effect.Effect<Option.Option<string>>
}

export class Access extends Context.Service<Access, AccessShape>()("@nexobot/console/internal/Access") {}

export const make = (token: Redacted.Redacted): AccessShape => {
  const expected = digest(Redacted.value(token))
  const codes = makeExpiring(maxCodes, codeLifetime)
  const sessions = makeExpiring(maxSessions, sessionLifetime)
  const isToken = (candidate: string) => Crypto.timingSafeEqual(digest(candidate), expected)
  return {
    isToken,
    isSession: sessions.isValid,
    issueCode: codes.issue,
    open: Effect.fnUntraced(function* (credential) {
      const good = "code" in credential ? yield* codes.consume(credential.code) : isToken(credential.token)
      return good ? Option.some(yield* sessions.issue) : Option.none()
    })
  }
}
