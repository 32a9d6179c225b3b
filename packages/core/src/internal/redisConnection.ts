/** Connections of `ioredis`, beside the one that everybody shares. */
import * as Effect from "effect/Effect"
import type { Cluster, Redis } from "ioredis"

import type { Checks } from "../Options.ts"

type Client = Redis | Cluster

/** What a caller without types gave for a client. */
export const checkClient = <C extends object>(checks: Checks, client: C, method: keyof C & string): C => {
  const given: unknown = client
  return typeof given === "object" && given !== null && typeof Reflect.get(given, method) === "function"
    ? client
    : // A URL in its place may have a password.
      checks.fail("redis", typeof given === "string" ? "…" : given, "a client of ioredis")
}

export const isCluster = (client: Client): client is Cluster => client.isCluster

const connectionOptions = (client: Client) => (isCluster(client) ? (client.options.redisOptions ?? {}) : client.options)

/** In milliseconds; 1 second for a client that has none, as nothing may wait for ever. */
export const commandTimeout = (client: Client): number => connectionOptions(client).commandTimeout ?? 1000

/** In milliseconds, for the name, the socket and the greeting. */
export const connectTimeout = (client: Client): number => connectionOptions(client).connectTimeout ?? 10_000

/** Gives it up at once, and waits until its sockets are gone: `disconnect` alone lets a dead peer hold them for 2 s. */
export const close = (client: Client): Effect.Effect<void> =>
  Effect.promise(async () => {
    const streams = (isCluster(client) ? client.nodes("all") : [client]).flatMap(
      (node): ReadonlyArray<Redis["stream"]> => {
        // There is none before the first attempt to connect, whatever its type says.
        const stream: unknown = node.stream
        return stream === undefined || node.stream.closed ? [] : [node.stream]
      }
    )
    const gone = streams.map((stream) => new Promise<void>((resolve) => void stream.once("close", () => resolve())))
    client.disconnect()
    for (const stream of streams) stream.destroy()
    await Promise.all(gone)
  })

/** Never sends a command twice, and queues none: what cannot be sent now fails now. */
const strict = {
  lazyConnect: true,
  enableOfflineQueue: false,
  autoResubscribe: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0
}

/** Another connection to the same place, not connected yet, which reconnects after `retry` milliseconds. */
export const duplicate = (
  client: Client,
  options: {
    readonly retry: ((times: number) => number) | null
    /** Whether commands may block, and so wait for as long as the caller does. */
    readonly blocking: boolean
  }
): Client => {
  const patience = options.blocking
    ? { commandTimeout: undefined, socketTimeout: undefined }
    : { commandTimeout: commandTimeout(client) }
  const { replyMapping: _, ...shared } = connectionOptions(client)
  const other = isCluster(client)
    ? client.duplicate([], {
        lazyConnect: true,
        enableOfflineQueue: false,
        clusterRetryStrategy: options.retry,
        redisOptions: { ...shared, ...patience }
      })
    : client.duplicate({ ...strict, ...patience, retryStrategy: options.retry })
  // The shared connection tells about outages; without a listener `ioredis` prints them.
  return other.on("error", () => undefined)
}
