/** The options of a console, checked and complete. */
import * as Options from "@nexobot/core/Options"
import * as Redacted from "effect/Redacted"

const check = Options.checks("Console")

/** A token that can be guessed is none: 16 characters of base64 are 96 bits. */
const minTokenLength = 16

const checkedToken = (value: Redacted.Redacted | undefined): Redacted.Redacted | undefined => {
  if (value === undefined) return undefined
  const text: unknown = Redacted.isRedacted(value) ? Redacted.value(value) : undefined
  return typeof text === "string" && text.length >= minTokenLength
    ? value
    : check.fail("token", value, `a Redacted string of at least ${minTokenLength} characters`)
}

/** As `new URL` writes it, which is how requests are compared: lower case, IPv6 in brackets. */
const hostname = (option: string, value: string): string => {
  const name = check.nonEmptyString(option, value)
  const url = `http://${name.includes(":") && !name.startsWith("[") ? `[${name}]` : name}/`
  return URL.canParse(url) && new URL(url).pathname === "/" && new URL(url).port === ""
    ? new URL(url).hostname
    : check.fail(option, value, "a host name or address without a scheme, port or path")
}

export interface Access {
  /** Absent: each console makes one of its own. */
  readonly token: Redacted.Redacted | undefined
  readonly allowedHosts: ReadonlyArray<string>
}

export const access = (options: {
  readonly token?: Redacted.Redacted | undefined
  readonly allowedHosts?: ReadonlyArray<string> | undefined
}): Access => {
  const hosts = options.allowedHosts ?? []
  if (!Array.isArray(hosts)) return check.fail("allowedHosts", hosts, "an array of host names")
  return {
    token: checkedToken(options.token),
    allowedHosts: hosts.map((host, index) => hostname(`allowedHosts[${index}]`, host))
  }
}

export interface Listen extends Access {
  readonly host: string
  readonly port: number
}

export const listen = (options: {
  readonly token?: Redacted.Redacted | undefined
  readonly allowedHosts?: ReadonlyArray<string> | undefined
  readonly host?: string | undefined
  readonly port?: number | undefined
}): Listen => {
  check.known(options, ["token", "allowedHosts", "host", "port"])
  const { token, allowedHosts } = access(options)
  const host = check.nonEmptyString("host", options.host ?? "127.0.0.1")
  return {
    token,
    // Whoever binds an address means it to be used.
    allowedHosts: [...allowedHosts, hostname("host", host)],
    host,
    port: check.integer("port", options.port ?? 18999, 0, 65535)
  }
}

export const mount = (options: Parameters<typeof access>[0]): Access => {
  check.known(options, ["token", "allowedHosts"])
  return access(options)
}
