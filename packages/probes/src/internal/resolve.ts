/**
 * Addresses of a name, asked anew each time.
 *
 * Not `dns.lookup`: that cannot be cancelled, and while a server is silent each call holds one of the few threads that
 * also read files. It is asked last, when the servers have just said that they do not know the name.
 *
 * @since 0.1.0
 */
import * as Dgram from "node:dgram"
import * as Dns from "node:dns"
import * as Fs from "node:fs"
import * as Net from "node:net"

import type { Checks } from "@nexobot/core/Options"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import { codeOf, ownFault } from "./systemError.ts"

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
 * Packets get lost: it asks again after about a second, two more, four more, and so on, for longer than a check takes.
 */
const makeResolver = (servers: ReadonlyArray<string> | undefined): Dns.Resolver => {
  const resolver = new Dns.Resolver({ timeout: 1000, tries: 6 })
  if (servers !== undefined) resolver.setServers(servers)
  return resolver
}

/** Codes by which a server says that there is nothing of the kind. */
export const isAbsent = (code: string): boolean => code === Dns.NOTFOUND || code === Dns.NODATA

/** An answer has room for thousands; nobody has the time to try them. */
const mostAddresses = 16

interface ServerParts {
  readonly address: string
  readonly port: number
  readonly isValid: boolean
}

const serverParts = (server: string): ServerParts => {
  if (Net.isIP(server) !== 0) return { address: server, port: 53, isValid: true }
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(server) ?? []
  const address = bracketed ?? plain ?? ""
  const port = Number(digits ?? 53)
  const isAddress = bracketed === undefined ? Net.isIPv4(address) : Net.isIPv6(address)
  return { address, port, isValid: isAddress && port >= 1 && port <= 65535 }
}

/** How resolvers tell of an answer. */
export type Done = (error: Error | null, records: ReadonlyArray<string>) => void

/** The answer to one question; fails with a code. */
export const answerOf = (ask: (done: Done) => void): Effect.Effect<ReadonlyArray<string>, string> =>
  Effect.callback((resume) =>
    ask((error, records) => resume(error === null ? Effect.succeed(records) : Effect.fail(codeOf(error))))
  )

/** Why nothing can be sent to a server of DNS, if the fault is ours. */
const faultTo = (server: string): Effect.Effect<string | undefined> => {
  const { address, port } = serverParts(server)
  return Effect.acquireUseRelease(
    Effect.sync(() => Dgram.createSocket(Net.isIPv6(address) ? "udp6" : "udp4")),
    (socket) =>
      Effect.callback((resume) => {
        const done = (error?: Error) => resume(Effect.succeed(error === undefined ? undefined : codeOf(error)))
        socket.on("error", done)
        socket.connect(port, address, done)
      }),
    (socket) => Effect.sync(() => socket.close())
  )
}

/** What refused: one of the servers, each of which was tried, or this machine all along. */
const refusedBy = (servers: ReadonlyArray<string>): Effect.Effect<never, string> =>
  Effect.flatMap(Effect.forEach(servers, faultTo), (codes) => {
    const [own = Dns.CONNREFUSED] = codes
    const isOurs = codes.every((code) => code !== undefined && ownFault(code) !== undefined)
    return Effect.fail(isOurs ? own : Dns.CONNREFUSED)
  })

/**
 * Asks with a resolver of its own, which is cancelled at the end. The resolver says `ECONNREFUSED` as well where it could
 * not even open or connect a socket: then it fails with the code of that.
 */
export const asking = <A>(
  servers: ReadonlyArray<string> | undefined,
  ask: (resolver: Dns.Resolver) => Effect.Effect<A, string>
): Effect.Effect<A, string> =>
  Effect.acquireUseRelease(
    Effect.sync(() => makeResolver(servers)),
    (resolver) =>
      Effect.catchIf(
        ask(resolver),
        (code) => code === Dns.CONNREFUSED,
        () => refusedBy(resolver.getServers()),
        (code) => Effect.fail(code)
      ),
    (resolver) => Effect.sync(() => resolver.cancel())
  )

/** Once there are addresses of one family, the other has little time left (RFC 8305). */
const grace = Duration.millis(50)

const query = (host: string, servers: ReadonlyArray<string> | undefined) =>
  asking(
    servers,
    Effect.fnUntraced(function* (resolver): Effect.fn.Return<ReadonlyArray<string>, string> {
      const addresses: Array<string> = []
      const codes: Array<string> = []
      const some = Deferred.makeUnsafe<void>()
      const family = (ask: (done: Done) => void) =>
        Effect.match(answerOf(ask), {
          onFailure: (code) => void codes.push(code),
          onSuccess: (found) => {
            addresses.push(...found)
            Deferred.doneUnsafe(some, Effect.void)
          }
        })
      const both = Effect.all(
        [family((done) => resolver.resolve4(host, done)), family((done) => resolver.resolve6(host, done))],
        { concurrency: "unbounded", discard: true }
      )
      yield* Effect.raceFirst(both, Effect.andThen(Deferred.await(some), Effect.sleep(grace)))
      if (addresses.length === 0) {
        return yield* Effect.fail(codes.find((code) => !isAbsent(code)) ?? codes[0] ?? Dns.NODATA)
      }
      // The order of the answers is no order of addresses: IPv4 first, as far as there is any.
      return addresses.toSorted((a, b) => Net.isIP(a) - Net.isIP(b)).slice(0, mostAddresses)
    })
  )

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
