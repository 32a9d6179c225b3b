/**
 * Records of the DNS as text, one line each, as zone files have them, but for quotes.
 *
 * @since 0.1.0
 */
import type * as Dns from "node:dns"
import * as Net from "node:net"

import * as Effect from "effect/Effect"

import { answerOf, asking, type Done } from "./resolve.ts"

export const types = ["A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SRV", "TXT"] as const
export type Type = (typeof types)[number]

/** Records are there only without an error. */
const texts =
  <A>(done: Done, textOf: (record: A) => string) =>
  (error: Error | null, records: ReadonlyArray<A>) =>
    done(error, error === null ? records.map(textOf) : [])

/** Nobody: c-ares leaves the root's name empty. */
const orRoot = (name: string): string => (name === "" ? "." : name)

const caa = ({ critical, ...properties }: Dns.CaaRecord): string => {
  const [tag, value] = Object.entries(properties).find(([name]) => name !== "type") ?? ["", ""]
  return `${critical} ${tag} ${String(value)}`
}

const queries: Readonly<Record<Type, (resolver: Dns.Resolver, name: string, done: Done) => void>> = {
  A: (resolver, name, done) => resolver.resolve4(name, done),
  AAAA: (resolver, name, done) => resolver.resolve6(name, done),
  CAA: (resolver, name, done) => resolver.resolveCaa(name, texts(done, caa)),
  CNAME: (resolver, name, done) => resolver.resolveCname(name, done),
  MX: (resolver, name, done) =>
    resolver.resolveMx(
      name,
      texts(done, ({ exchange, priority }) => `${priority} ${orRoot(exchange)}`)
    ),
  NS: (resolver, name, done) => resolver.resolveNs(name, done),
  PTR: (resolver, name, done) => resolver.resolvePtr(name, done),
  SRV: (resolver, name, done) =>
    resolver.resolveSrv(
      name,
      texts(done, (record) => `${record.priority} ${record.weight} ${record.port} ${orRoot(record.name)}`)
    ),
  // A long text comes in pieces that belong together.
  TXT: (resolver, name, done) =>
    resolver.resolveTxt(
      name,
      texts(done, (pieces) => pieces.join(""))
    )
}

/** One spelling for records that are the same; only texts are told apart by the case of their letters. */
export const normalised = (type: Type, text: string): string => {
  if (type === "TXT" || type === "CAA") return text
  const plain = text
    .trim()
    .replace(/\s+/g, " ")
    .replace(/(?<=\S)\.$/, "")
    .toLowerCase()
  return type === "AAAA" && Net.isIPv6(plain)
    ? new Net.SocketAddress({ address: plain, family: "ipv6" }).address
    : plain
}

/** What servers answer; fails with their code. An interruption cancels the query. */
export const ask = (
  name: string,
  type: Type,
  servers: ReadonlyArray<string> | undefined
): Effect.Effect<ReadonlyArray<string>, string> =>
  Effect.map(
    asking(servers, (resolver) => answerOf((done) => queries[type](resolver, name, done))),
    (found) => [...new Set(found.map((text) => normalised(type, text)))].toSorted()
  )
