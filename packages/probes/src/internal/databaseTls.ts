/**
 * How the adapters of databases speak TLS.
 *
 * @since 0.1.0
 */
import type * as Options from "@nexobot/core/Options"

/**
 * `true` verifies the server's certificate and name. `ca` has the certificates in PEM that are trusted instead of the
 * system's; with `verify: false` anybody may pretend to be the server.
 */
export type Tls = boolean | { readonly ca?: string; readonly verify?: boolean }

export interface TlsOptions {
  readonly ca?: string
  readonly rejectUnauthorized: boolean
}

/** `undefined` when nothing was said. */
export const tlsOf = (checks: Options.Checks, tls: Tls | undefined): TlsOptions | false | undefined => {
  if (tls === undefined || tls === false) return tls
  if (tls === true) return { rejectUnauthorized: true }
  checks.known(tls, ["ca", "verify"], "tls.")
  const rejectUnauthorized = tls.verify === undefined || checks.boolean("tls.verify", tls.verify)
  return { rejectUnauthorized, ...(tls.ca === undefined ? {} : { ca: checks.nonEmptyString("tls.ca", tls.ca) }) }
}
