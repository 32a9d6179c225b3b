/**
 * The options of `WebSocketProbe`, checked.
 *
 * @since 0.1.0
 */
import * as Options from "@nexobot/core/Options"
import type * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"

import { checkedContent } from "./httpContent.ts"
import { checkedHeaders, checkedPlace } from "./httpOptions.ts"
import { withoutQuery } from "./httpReport.ts"
import { checkedTimes } from "./times.ts"
import type { Settings } from "./webSocketTalk.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface WebSocketProbeOptions {
  readonly name: string
  /** A `ws:` or `wss:` URL. Without credentials: send them as headers, or in `send`. */
  readonly url: string
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted>>
  /** The page in whose name it asks, such as `https://shop.example`; none unless told. */
  readonly origin?: string
  /** Subprotocols, of which the server must choose one; none unless told. */
  readonly protocols?: readonly [string, ...ReadonlyArray<string>]
  /** What a message must say: a text that is in it, an expression that it matches, or a schema that decodes its JSON. */
  readonly expect?: string | RegExp | Schema.ConstraintDecoder<unknown>
  /** Sent after the handshake, as one message of text. Needs `expect`. */
  readonly send?: string | Redacted.Redacted
  /** Among how many messages, at most, the expected one has to be; 1 unless told, 20 at most. Needs `expect`. */
  readonly messages?: number
  /** What took as long is degraded. Must be shorter than `timeout`. */
  readonly degradedAfter?: Duration.Input
  /** Until the handshake, or the expected message; 5 seconds unless told. */
  readonly timeout?: Duration.Input
  /** The DNS servers that are asked, each as `ip`, `ip:port` or `[ip]:port`; what the system asks unless told. */
  readonly dnsServers?: ReadonlyArray<string>
  /** A unix socket to which it connects in place of the host of the URL; at most 107 bytes. */
  readonly socketPath?: string
  /** `wss:`: certificates in PEM that are trusted instead of the system's. */
  readonly ca?: string
  /** `wss:`: the name for which the certificate must be; the host of the URL unless told. */
  readonly servername?: string
}

const checks = Options.checks("WebSocketProbe")

/** RFC 6455 has subprotocols be tokens of HTTP, each once. */
const checkedProtocols = (protocols: unknown): ReadonlyArray<string> => {
  if (protocols === undefined) return []
  const expected = "at least one subprotocol, each a token and named once"
  if (!(Array.isArray(protocols) && protocols.length > 0)) return checks.fail("protocols", protocols, expected)
  return protocols.map((one: unknown, index) =>
    typeof one === "string" && /^[\w!#$%&'*+.^`|~-]+$/.test(one) && protocols.indexOf(one) === index
      ? one
      : checks.fail("protocols", one, expected)
  )
}

const checkedOrigin = (origin: unknown): string | undefined => {
  if (origin === undefined) return undefined
  const url = checks.httpUrl("origin", origin)
  return url.origin === origin
    ? origin
    : checks.fail("origin", withoutQuery(url.href), "an origin, such as https://shop.example")
}

const checkedSend = (send: unknown): string | undefined => {
  const text = Redacted.isRedacted(send) ? Redacted.value(send) : send
  return text === undefined || (typeof text === "string" && text !== "")
    ? text
    : // The text itself may be a secret.
      checks.fail("send", typeof text, "a non-empty string")
}

/** Headers that the handshake has anyway. */
const isOfHandshake = (key: string): boolean => key === "origin" || key.startsWith("sec-websocket-")

const known: ReadonlyArray<keyof WebSocketProbeOptions> = [
  "name",
  "url",
  "headers",
  "origin",
  "protocols",
  "expect",
  "send",
  "messages",
  "degradedAfter",
  "timeout",
  "dnsServers",
  "socketPath",
  "ca",
  "servername"
]

export const checked = (options: WebSocketProbeOptions) => {
  checks.known(options, known)
  const url = checks.url("url", options.url, ["ws:", "wss:"])
  url.hash = ""
  const expect = options.expect === undefined ? undefined : checkedContent(checks, "expect", options.expect)
  const send = checkedSend(options.send)
  if (expect === undefined && send !== undefined) checks.fail("send", "given", "none without expect")
  if (expect === undefined && options.messages !== undefined) {
    checks.fail("messages", options.messages, "none without expect")
  }
  const headers = checkedHeaders(checks, options.headers, isOfHandshake)
  const settings: Settings = {
    url,
    send,
    protocols: checkedProtocols(options.protocols),
    headers: headers.all,
    origin: checkedOrigin(options.origin),
    messages: checks.integer("messages", options.messages ?? 1, 1, 20)
  }
  const times = checkedTimes(checks, options)
  const place = checkedPlace(checks, url, options, times.timeout)
  return {
    ...times,
    settings,
    expect,
    reach: place.reach,
    where: place.where,
    connection: place.connectionFor(url),
    secrets: [...headers.secrets, ...(Redacted.isRedacted(options.send) && send !== undefined ? [send] : [])],
    /** All that a verdict depends on: copies, as an object of options may be changed later. */
    question: {
      ...times,
      ...settings,
      url: Redacted.make(url.href),
      send: Redacted.make(send),
      headers: headers.question,
      place: place.question,
      expect
    }
  }
}
