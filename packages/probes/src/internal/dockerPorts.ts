/**
 * Ports that containers publish, as Docker says.
 *
 * @since 0.1.0
 */
import * as Net from "node:net"

import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import { exchange, unseen } from "./httpExchange.ts"

/** What Docker can publish. */
export const protocols = ["tcp", "udp", "sctp"] as const

export interface PublishedPort {
  readonly protocol: (typeof protocols)[number]
  readonly address: string
  readonly port: number
  /** The name of the container, as it is. */
  readonly container: string
}

/** It goes into the signature as it is, so no zone, which may be any text. Some versions leave every address empty. */
const Address = Schema.String.check(
  Schema.makeFilter((text) => text === "" || (Net.isIP(text) !== 0 && !text.includes("%")))
)

/** A container of which something else is told is still a container. */
const Containers = Schema.fromJsonString(
  Schema.Array(
    Schema.Struct({
      Id: Schema.String,
      Names: Schema.optionalKey(Schema.NullOr(Schema.Array(Schema.String))),
      Ports: Schema.optionalKey(
        Schema.NullOr(
          Schema.Array(
            Schema.Struct({
              IP: Schema.optionalKey(Address),
              PublicPort: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 65_535 }))),
              Type: Schema.Literals(protocols)
            })
          )
        )
      )
    })
  )
)

/** About a thousand containers with all their labels. */
const largestAnswer = 8_388_608

/** Of the containers that run. Fails with the system's code, or with a few words. */
export const publishedPorts = (
  socketPath: string,
  timeout: Duration.Duration
): Effect.Effect<ReadonlyArray<PublishedPort>, string> =>
  Effect.gen(function* () {
    const to = { host: "docker", port: 80, tls: undefined, socketPath, dnsServers: undefined, timeout }
    const { body, status } = yield* exchange(
      new URL("http://docker/containers/json"),
      {
        method: "GET",
        headersFor: () => ({}),
        connectionFor: () => to,
        maxBody: largestAnswer,
        isExpected: (code) => code === 200,
        follow: 0
      },
      unseen()
    )
    if (status !== 200 || body === undefined) return yield* Effect.fail(`status ${status}`)
    const containers = yield* Schema.decodeEffect(Containers)(Buffer.from(body).toString("utf8")).pipe(
      Effect.mapError(() => "its answer is no list of containers")
    )
    return containers.flatMap(({ Id, Names, Ports }) =>
      (Ports ?? []).flatMap(({ IP, PublicPort, Type }) =>
        // Without a public port it is open to other containers only.
        PublicPort === undefined
          ? []
          : [
              {
                protocol: Type,
                address: IP === undefined || IP === "" ? "0.0.0.0" : IP,
                port: PublicPort,
                container: (Names?.[0] ?? Id.slice(0, 12)).replace(/^\//, "")
              }
            ]
      )
    )
  }).pipe(Effect.timeoutOrElse({ duration: timeout, orElse: () => Effect.fail("no answer in time") }))
