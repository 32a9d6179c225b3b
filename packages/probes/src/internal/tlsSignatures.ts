/**
 * What `TlsProbe` can find. `target` is always the server, as `host:port`, or the file.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/** A link of the chain: the certificate itself, one between, or the root that it rests on. */
const link = Schema.Literals(["leaf", "intermediate", "root"])

/**
 * A link of the chain has ended.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Expired extends Schema.TaggedClass<Expired>("@nexobot/probes/Tls/Expired")("Tls/Expired", {
  target: Schema.String,
  /** Its common name, or another name of it, at most 200 characters. */
  subject: Schema.String,
  link,
  /** When it ended, in ISO 8601. */
  notAfter: Schema.String
}) {}

/**
 * A link of the chain ends soon: the one that ends first.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Expiring extends Schema.TaggedClass<Expiring>("@nexobot/probes/Tls/Expiring")("Tls/Expiring", {
  target: Schema.String,
  /** Its common name, or another name of it, at most 200 characters. */
  subject: Schema.String,
  link,
  /** When it ends, in ISO 8601. */
  notAfter: Schema.String,
  /** Whole days until then. */
  days: Schema.Int
}) {}

/**
 * A link of the chain has not begun, or a clock is wrong.
 *
 * @category signatures
 * @since 0.1.0
 */
export class NotYetValid extends Schema.TaggedClass<NotYetValid>("@nexobot/probes/Tls/NotYetValid")("Tls/NotYetValid", {
  target: Schema.String,
  /** Its common name, or another name of it, at most 200 characters. */
  subject: Schema.String,
  link,
  /** When it begins, in ISO 8601. */
  notBefore: Schema.String
}) {}

/**
 * The certificate is for others.
 *
 * @category signatures
 * @since 0.1.0
 */
export class WrongHost extends Schema.TaggedClass<WrongHost>("@nexobot/probes/Tls/WrongHost")("Tls/WrongHost", {
  target: Schema.String,
  /** For whom it should be. */
  host: Schema.String,
  /** For whom it is: twenty names and addresses at most. */
  names: Schema.Array(Schema.String)
}) {}

/**
 * The certificate vouches for itself, and is none that is trusted.
 *
 * @category signatures
 * @since 0.1.0
 */
export class SelfSigned extends Schema.TaggedClass<SelfSigned>("@nexobot/probes/Tls/SelfSigned")("Tls/SelfSigned", {
  target: Schema.String,
  subject: Schema.String
}) {}

/**
 * The chain is whole, and nobody trusts its root.
 *
 * @category signatures
 * @since 0.1.0
 */
export class UntrustedRoot extends Schema.TaggedClass<UntrustedRoot>("@nexobot/probes/Tls/UntrustedRoot")(
  "Tls/UntrustedRoot",
  {
    target: Schema.String,
    /** The root. */
    subject: Schema.String
  }
) {}

/**
 * The issuer of the last link is neither sent nor trusted: an intermediate is missing, or a private root is not known
 * here. Which of the two it is, the chain does not tell.
 *
 * @category signatures
 * @since 0.1.0
 */
export class IncompleteChain extends Schema.TaggedClass<IncompleteChain>("@nexobot/probes/Tls/IncompleteChain")(
  "Tls/IncompleteChain",
  {
    target: Schema.String,
    /** The last link that is there. */
    subject: Schema.String,
    /** Who issued it, at most 200 characters. */
    missing: Schema.String
  }
) {}

/**
 * The chain is whole and lasts, and clients refuse it all the same: a certificate that is not for servers, an issuer that
 * may not issue it, a key or a signature that is too weak.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Refused extends Schema.TaggedClass<Refused>("@nexobot/probes/Tls/Refused")("Tls/Refused", {
  target: Schema.String,
  /** For example `INVALID_PURPOSE`; `UNSPECIFIED` where Node has no name for it. */
  code: Schema.String,
  /** The same in words, at most 200 characters. */
  why: Schema.String
}) {}

/**
 * The first certificate in the file is not the server's own: servers take it for that, and do not start.
 *
 * @category signatures
 * @since 0.1.0
 */
export class WrongOrder extends Schema.TaggedClass<WrongOrder>("@nexobot/probes/Tls/WrongOrder")("Tls/WrongOrder", {
  target: Schema.String,
  /** The one that stands first. */
  subject: Schema.String
}) {}

/**
 * The newest version that the server speaks is too old.
 *
 * @category signatures
 * @since 0.1.0
 */
export class ProtocolTooOld extends Schema.TaggedClass<ProtocolTooOld>("@nexobot/probes/Tls/ProtocolTooOld")(
  "Tls/ProtocolTooOld",
  {
    target: Schema.String,
    /** For example `TLSv1.1`. */
    protocol: Schema.String,
    minVersion: Schema.String
  }
) {}

/**
 * No certificate is there: the file is missing or holds something else, or whatever answers on the port does not speak
 * TLS, or shows none for this name.
 *
 * @category signatures
 * @since 0.1.0
 */
export class NoCertificate extends Schema.TaggedClass<NoCertificate>("@nexobot/probes/Tls/NoCertificate")(
  "Tls/NoCertificate",
  {
    target: Schema.String,
    /** A code such as `ENOENT` or `ERR_SSL_WRONG_VERSION_NUMBER`, or a few words. */
    why: Schema.String
  }
) {}

/**
 * No connection, or it broke before a certificate was shown.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Unreachable extends Schema.TaggedClass<Unreachable>("@nexobot/probes/Tls/Unreachable")("Tls/Unreachable", {
  target: Schema.String,
  /** The system's code, for example `ECONNREFUSED`, or that of a name that was not resolved, such as `ENOTFOUND`. */
  code: Schema.String
}) {}

/**
 * No connection, or no certificate, within the time allowed.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Timeout extends Schema.TaggedClass<Timeout>("@nexobot/probes/Tls/Timeout")("Tls/Timeout", {
  target: Schema.String,
  after: Schema.DurationFromMillis,
  /** Whether the connection stood: then something is there and does not speak. */
  connected: Schema.Boolean
}) {}

/**
 * Nothing renews the certificate: it is good today, and will not be.
 *
 * @category signatures
 * @since 0.1.0
 */
export class RenewalTimerInactive extends Schema.TaggedClass<RenewalTimerInactive>(
  "@nexobot/probes/Tls/RenewalTimerInactive"
)("Tls/RenewalTimerInactive", {
  target: Schema.String,
  /** The timer, or the file of cron. */
  renewal: Schema.String,
  /** For example `not-found`, `inactive`, `masked`, or `not run for 60 hours`. */
  state: Schema.String
}) {}
