/**
 * What Redis tells about itself (`INFO`), as far as a probe judges it. Fields that are missing, as older versions lack
 * some, or that make no sense, count for nothing.
 *
 * @since 0.1.0
 */

export interface Replica {
  readonly address: string
  /** Seconds since it last said how far it is. */
  readonly lag: number | undefined
}

export interface Info {
  readonly role: "primary" | "replica"
  readonly loading: boolean
  /** From 0 to 1. */
  readonly loaded: number | undefined
  readonly loadingEta: number | undefined
  /** Bytes that count against `maxMemory`. */
  readonly memory: number
  /** 0 for no limit. */
  readonly maxMemory: number
  readonly evicts: boolean
  /** All that count against `maxClients`. */
  readonly clients: number
  readonly maxClients: number | undefined
  /** What it could not write to its disk. */
  readonly unsaved: ReadonlyArray<"snapshot" | "append only file" | "rewrite of the append only file">
  readonly replicas: ReadonlyArray<Replica>
  /** Of a replica. */
  readonly link:
    | {
        readonly primary: string
        readonly up: boolean
        readonly syncing: boolean
        /** Seconds. */
        readonly downFor: number | undefined
        /** Seconds since the primary last said something. */
        readonly silentFor: number | undefined
      }
    | undefined
}

/** More lines than that no Redis has. */
const mostLines = 20_000

/** `undefined` for what is no INFO of a Redis that keeps data. Addresses may be any text. */
export const parse = (text: string): Info | undefined => {
  const fields = new Map<string, string>()
  for (const line of text.split("\r\n", mostLines)) {
    const colon = line.indexOf(":")
    if (colon > 0 && !line.startsWith("#")) fields.set(line.slice(0, colon), line.slice(colon + 1))
  }
  const number = (name: string, from: ReadonlyMap<string, string> = fields): number | undefined => {
    const value = from.get(name) ?? ""
    return /^\d{1,15}(\.\d+)?$/.test(value) ? Number(value) : undefined
  }
  const role = fields.get("role")
  if (role !== "master" && role !== "slave") return undefined
  const percent = number("loading_loaded_perc")
  const failed = (name: string) => fields.get(name) === "err"
  const replicas = [...fields].flatMap(([name, value]): ReadonlyArray<Replica> => {
    if (!/^slave\d+$/.test(name)) return []
    const parts = new Map(value.split(",").map((part) => [part.replace(/=.*/s, ""), part.replace(/^[^=]*=/s, "")]))
    const address = `${parts.get("ip") ?? "?"}:${parts.get("port") ?? "?"}`
    return [{ address, lag: number("lag", parts) }]
  })
  return {
    role: role === "master" ? "primary" : "replica",
    loading: fields.get("loading") === "1",
    loaded: percent === undefined || percent > 100 ? undefined : percent / 100,
    loadingEta: number("loading_eta_seconds"),
    memory: Math.max(0, (number("used_memory") ?? 0) - (number("mem_not_counted_for_evict") ?? 0)),
    maxMemory: number("maxmemory") ?? 0,
    evicts: (fields.get("maxmemory_policy") ?? "noeviction") !== "noeviction",
    clients:
      (number("connected_clients") ?? 0) + (number("connected_slaves") ?? 0) + (number("cluster_connections") ?? 0),
    maxClients: number("maxclients"),
    unsaved: [
      ...(failed("rdb_last_bgsave_status") ? (["snapshot"] as const) : []),
      ...(failed("aof_last_write_status") ? (["append only file"] as const) : []),
      ...(failed("aof_last_bgrewrite_status") ? (["rewrite of the append only file"] as const) : [])
    ],
    replicas,
    link:
      role === "master"
        ? undefined
        : {
            primary: `${fields.get("master_host") ?? "?"}:${fields.get("master_port") ?? "?"}`,
            up: fields.get("master_link_status") === "up",
            syncing: fields.get("master_sync_in_progress") === "1",
            downFor: number("master_link_down_since_seconds"),
            silentFor: number("master_last_io_seconds_ago")
          }
  }
}
