/**
 * The options of `WebSocketProbe`, checked.
 *
 * @since 0.1.0
 */
import * as Options from "@nexobot/core/Options"
import * as Redacted from "effect/Redacted"

import type { WebSocketProbeOptions } from "../WebSocketProbe.ts"
import { checkedContent } from "./httpContent.ts"
import { checkedHeaders, checkedPlace } from "./httpOptions.ts"
import { withoutQuery } from "./httpReport.ts"
import { checkedTimes } from "./times.ts"
import type { Settings } from "./webSocketTalk.ts"

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
