/**
 * Addresses of a name, asked anew each time.
 *
 * Not `dns.lookup`: that cannot be cancelled, and while a server is silent each call holds one of the few threads that
 * also read files. It is asked last, when the servers have just said that they do not know the name.
 *
 * @since 0.1.0
 */
import * as Dns from "node:dns"
import * as Fs from "node:fs"
import * as Net from "node:net"

import type { Checks } from "@nexobot/core/Options"
import * as Effect from "effect/Effect"

import { codeOf } from "./systemError.ts"

/** The addresses that a hosts file has for a name. */
export const inHosts = (text: string, host: string): ReadonlyArray<string> => {
  const name = host.toLowerCase().replace(/\.$/, "")
  const addresses = new Set<string>()
  for (const line of text.split("\n")) {
    const [address = "", ...names] = line.replace(/#.*/, "").trim().split(/\s+/)
    if (Net.isIP(address) !== 0 && names.some((one) => one.toLowerCase() === name)) addresses.add(address)
  }
  return [...addresses]
}

const hostsFile =
  process.platform === "win32"
    ? `${process.env["SystemRoot"] ?? "C:\\Windows"}\\System32\\drivers\\etc\\hosts`
    : "/etc/hosts"

/** What this machine knows without asking anybody; `localhost` never means another one (RFC 6761). */
const known = (host: string): ReadonlyArray<string> => {
  let text = ""
  try {
    text = Fs.readFileSync(hostsFile, "utf8")
  } catch {
    // A machine without one knows nothing by itself.
  }
  const addresses = inHosts(text, host)
  return addresses.length === 0 && /(^|\.)localhost\.?$/i.test(host) ? ["127.0.0.1", "::1"] : addresses
}

/**
 * A resolver of one question's own, so that its `cancel` ends nothing else. It reads the system's configuration anew.
 * Packets get lost: it asks again after a second, two more, four more, and so on, for longer than a check takes.
 */
export const makeResolver = (servers: ReadonlyArray<string> | undefined): Dns.Resolver => {
  const resolver = new Dns.Resolver({ timeout: 1000, tries: 6 })
  if (servers !== undefined) resolver.setServers(servers)
  return resolver
}

/** Codes by which a server says that there is nothing of the kind. */
export const isAbsent = (code: string): boolean => code === Dns.NOTFOUND || code === Dns.NODATA

/** An answer has room for thousands; nobody has the time to try them. */
const mostAddresses = 16

const query = (host: string, servers: ReadonlyArray<string> | undefined) =>
  Effect.callback<ReadonlyArray<string>, string>((resume) => {
    const resolver = makeResolver(servers)
    const addresses: Array<string> = []
    const codes: Array<string> = []
    let open = 2
    const answered = (error: unknown, found: ReadonlyArray<string> | undefined) => {
      open -= 1
      if (error === null) addresses.push(...(found ?? []))
      else codes.push(codeOf(error))
      if (open > 0) return
      if (addresses.length === 0) resume(Effect.fail(codes.find((code) => !isAbsent(code)) ?? codes[0] ?? Dns.NODATA))
      // The order of the answers is no order of addresses: IPv4 first, as far as there is any.
      else resume(Effect.succeed(addresses.toSorted((a, b) => Net.isIP(a) - Net.isIP(b)).slice(0, mostAddresses)))
    }
    resolver.resolve4(host, answered)
    resolver.resolve6(host, answered)
    return Effect.sync(() => resolver.cancel())
  })

/** What `getaddrinfo` knows beyond hosts and DNS: search domains, mDNS, odd spellings of addresses. */
const lookup = (host: string, code: string) =>
  Effect.callback<ReadonlyArray<string>, string>((resume) => {
    Dns.lookup(host, { all: true }, (error, found) =>
      resume(error === null ? Effect.succeed(found.map(({ address }) => address)) : Effect.fail(code))
    )
  })

/**
 * The addresses of a host, 1 to 16; an IP address is its own. Fails with a code such as `ENOTFOUND`, `ESERVFAIL` or
 * `ECONNREFUSED`. It asks what the applications of this machine would: its hosts file, then DNS, then the rest; with
 * `servers` (`ip`, `ip:port`, `[ip]:port`) only those. An interruption cancels the queries.
 */
export const resolve = (host: string, servers?: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<string>, string> =>
  Effect.suspend(() => {
    if (Net.isIP(host) !== 0) return Effect.succeed([host])
    if (servers !== undefined) return query(host, servers)
    const local = known(host)
    if (local.length > 0) return Effect.succeed(local)
    const asked = query(host, undefined)
    return host.endsWith(".")
      ? asked
      : Effect.catchIf(
          asked,
          isAbsent,
          (code) => lookup(host, code),
          (code) => Effect.fail(code)
        )
  })

/** For `lookup` of sockets and requests: connects to these addresses while names in protocols stay as they are. */
export const lookupOf =
  (addresses: ReadonlyArray<string>): Net.LookupFunction =>
  (host, options, done) => {
    const found = addresses.map((address) => ({ address, family: Net.isIP(address) }))
    const fits = found.filter(
      ({ family }) => options.family === undefined || [0, family].includes(Number(options.family))
    )
    const [first] = fits
    if (first === undefined) return done(Object.assign(new Error(`no address for ${host}`), { code: Dns.NOTFOUND }), "")
    return options.all === true ? done(null, fits) : done(null, first.address, first.family)
  }

/** As it stands in a URL: IPv6 in brackets. */
export const endpoint = (host: string, port: number): string =>
  Net.isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`

const serverParts = (server: string): { readonly address: string; readonly isValid: boolean } => {
  if (Net.isIP(server) !== 0) return { address: server, isValid: true }
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(server) ?? []
  const address = bracketed ?? plain ?? ""
  const isAddress = bracketed === undefined ? Net.isIPv4(address) : Net.isIPv6(address)
  return { address, isValid: isAddress && (port === undefined || (Number(port) >= 1 && Number(port) <= 65535)) }
}

/** The address of a server that was checked, without its port. */
export const addressOf = (server: string): string => serverParts(server).address

/** Checks an option that names DNS servers; `undefined` stays the system's. */
export const checkedServers = (checks: Checks, option: string, value: unknown): ReadonlyArray<string> | undefined => {
  if (value === undefined) return undefined
  const expected = "at least one DNS server, each as ip, ip:port or [ip]:port"
  if (!Array.isArray(value) || value.length === 0) return checks.fail(option, value, expected)
  return value.map((server: unknown) =>
    typeof server === "string" && serverParts(server).isValid ? server : checks.fail(option, server, expected)
  )
}
