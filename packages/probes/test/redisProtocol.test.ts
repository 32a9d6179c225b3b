import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"

import { parse } from "../src/internal/redisInfo.ts"
import { decoder, type Reply } from "../src/internal/redisReply.ts"

const encoded = (reply: Reply, asBulk: boolean): string =>
  reply._tag === "Error"
    ? `-${reply.text}\r\n`
    : asBulk
      ? `$${Buffer.byteLength(reply.text)}\r\n${reply.text}\r\n`
      : `+${reply.text}\r\n`

const text = (value: string): Reply => ({ _tag: "Text", text: value })

describe("replies of Redis", () => {
  const Said = Schema.Struct({ kind: Schema.Literals(["line", "bulk", "error"]), text: Schema.String })

  it.prop(
    "come out as they went in, wherever they are cut",
    [Schema.Array(Said), Schema.Literals([1, 2, 3, 7, 100])],
    ([said, size]) => {
      const replies = said.map(({ kind, text: any }): readonly [Reply, boolean] => {
        // A string may be no Unicode.
        const whole = any.toWellFormed()
        const line = whole.replaceAll(/[\r\n]/g, " ")
        if (kind === "error") return [{ _tag: "Error", code: "OOM", text: `OOM ${line}` }, false]
        return kind === "bulk" ? [text(whole), true] : [text(line), false]
      })
      const bytes = Buffer.from(replies.map(([one, asBulk]) => encoded(one, asBulk)).join(""))
      const decode = decoder(Infinity)
      const found: Array<Reply> = []
      for (let start = 0; start < bytes.length; start += size) {
        found.push(...(decode(bytes.subarray(start, start + size)) ?? []))
      }
      assert.deepStrictEqual(
        found,
        replies.map(([one]) => one)
      )
    }
  )

  it("the code of an error is its first word, if that is one", () => {
    const codes = ["WRONGPASS invalid", "ERR unknown", "NOAUTH", "secret", "Secret stuff", "A".repeat(65)].map(
      (said) => {
        const [found] = decoder(Infinity)(Buffer.from(`-${said}\r\n`)) ?? []
        return found?._tag === "Error" ? found.code : undefined
      }
    )
    assert.deepStrictEqual(codes, ["WRONGPASS", "ERR", "NOAUTH", "ERR", "ERR", "ERR"])
  })

  it("nothing and numbers are texts", () => {
    assert.deepStrictEqual(decoder(Infinity)(Buffer.from("$-1\r\n:42\r\n")), [text(""), text("42")])
  })

  it("what Redis would not say is found at once, also what would fill the memory", () => {
    const strange = [
      "HTTP/1.1 400 Bad Request\r\n",
      ">1\r\n_\r\n",
      "*1\r\n$1\r\na\r\n",
      "$9999999\r\n",
      "$1e3\r\n",
      "\0"
    ]
    for (const said of [...strange, `+${"a".repeat(5000)}`]) {
      assert.isUndefined(decoder(Infinity)(Buffer.from(said)), said.slice(0, 20))
    }
  })

  it.prop("anything else does not throw", [Schema.Array(Schema.String)], ([chunks]) => {
    for (const kind of ["", "+", "-", ":", "$", "$1"]) {
      const decode = decoder(Infinity)
      for (const chunk of [kind, ...chunks]) decode(Buffer.from(chunk))
    }
  })

  it("of more replies than were asked for only these are read, and many in one piece are not copied again and again", () => {
    const many = Buffer.from("+\r\n".repeat(400_000))
    assert.strictEqual(decoder(2)(many)?.length, 2)
    const decode = decoder(3)
    assert.strictEqual(decode(Buffer.from("+a\r\n+b\r\n+"))?.length, 2)
    assert.deepStrictEqual(decode(Buffer.from("c\r\n+d\r\n")), [text("c")])
    assert.deepStrictEqual(decode(Buffer.from("\0")), [])
    // 480 GB would have to be copied.
    assert.strictEqual(decoder(Infinity)(many)?.length, 400_000)
  })

  it("a large text in many pieces is put together once", () => {
    const decode = decoder(Infinity)
    const size = 1024 * 1024
    assert.deepStrictEqual(decode(Buffer.from(`$${size}\r\n`)), [])
    const piece = Buffer.alloc(64, "a")
    for (let sent = 0; sent < size; sent += piece.length) assert.deepStrictEqual(decode(piece), [])
    assert.strictEqual(decode(Buffer.from("\r\n"))?.length, 1)
  })
})

const info = (fields: Record<string, string | number>): string =>
  Object.entries(fields)
    .map(([name, value]) => `${name}:${value}\r\n`)
    .join("")

describe("INFO", () => {
  it("of a primary", () => {
    const said = `# Server\r\nredis_version:7.0.15\r\n\r\n${info({
      role: "master",
      loading: 0,
      used_memory: 1000,
      mem_not_counted_for_evict: 100,
      maxmemory: 2000,
      maxmemory_policy: "allkeys-lru",
      connected_clients: 3,
      connected_slaves: 2,
      cluster_connections: 1,
      maxclients: 100,
      rdb_last_bgsave_status: "err",
      aof_last_write_status: "ok",
      slave0: "ip=127.0.0.1,port=6380,state=online,offset=14,lag=1",
      slave1: "ip=::1,port=6381,state=wait_bgsave,offset=0,lag=x"
    })}`
    assert.deepStrictEqual(parse(said), {
      role: "primary",
      loading: false,
      loaded: undefined,
      loadingEta: undefined,
      memory: 900,
      maxMemory: 2000,
      evicts: true,
      clients: 6,
      maxClients: 100,
      unsaved: ["snapshot"],
      replicas: [
        { address: "127.0.0.1:6380", lag: 1 },
        { address: "::1:6381", lag: undefined }
      ],
      link: undefined
    })
  })

  it("of a replica, and of one that loads", () => {
    const link = { role: "slave", master_host: "10.0.0.1", master_port: 6379, master_link_status: "down" }
    const down = parse(info({ ...link, master_link_down_since_seconds: 7, master_last_io_seconds_ago: -1 }))
    assert.deepStrictEqual(down?.link, {
      primary: "10.0.0.1:6379",
      up: false,
      syncing: false,
      downFor: 7,
      silentFor: undefined
    })
    const loading = parse(info({ role: "master", loading: 1, loading_loaded_perc: "12.50", loading_eta_seconds: 9 }))
    assert.deepInclude(loading, { loading: true, loaded: 0.125, loadingEta: 9 })
  })

  it("what is none, and a sentinel's, is nothing", () => {
    for (const said of ["", "OK", "role:admin\r\n", "redis_mode:sentinel\r\n", "\0\0\0"])
      assert.isUndefined(parse(said))
  })

  const names = ["used_memory", "maxmemory", "maxclients", "slave0", "loading_eta_seconds", "x"] as const

  it.prop(
    "fields with values that make no sense count for nothing",
    [Schema.Array(Schema.Tuple([Schema.Literals(names), Schema.String]))],
    ([fields]) => {
      const found = parse(`role:master\r\n${fields.map(([key, value]) => `${key}:${value}\r\n`).join("")}`)
      for (const value of [found?.memory, found?.maxMemory, found?.maxClients ?? 0]) {
        assert.isTrue(Number.isFinite(value) && Number(value) >= 0)
      }
    }
  )
})
