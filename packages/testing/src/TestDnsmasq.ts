/**
 * A real DNS server of the test's own: dnsmasq on a free port of 127.0.0.1, gone with the scope.
 *
 * It knows what the test tells it. Other names below `test` do not exist; all the rest it refuses to answer.
 *
 * @since 0.1.0
 */
import * as ChildProcess from "node:child_process"
import * as Dns from "node:dns"
import * as Fs from "node:fs"
import * as Path from "node:path"

import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

import * as Binary from "./Binary.ts"
import { eventually } from "./Expect.ts"
import * as TestFolder from "./TestFolder.ts"
import * as TestPort from "./TestPort.ts"

/**
 * Names and their addresses, for example `{ "app.test": "127.0.0.2" }`.
 *
 * @category models
 * @since 0.1.0
 */
export type Hosts = Readonly<Record<string, string | ReadonlyArray<string>>>

/**
 * @category models
 * @since 0.1.0
 */
export interface TestDnsmasq {
  readonly port: number
  /** As resolvers take it: `127.0.0.1:port`. */
  readonly server: string
  readonly pid: number
  /** Forgets the hosts that it had and knows these, from when this returns. */
  readonly setHosts: (hosts: Hosts) => Effect.Effect<void>
  /** Its sockets stay open and it answers nothing. */
  readonly freeze: Effect.Effect<void>
  readonly thaw: Effect.Effect<void>
  /** Ends it, and returns when it is gone: queries are refused from then on. */
  readonly kill: Effect.Effect<void>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface TestDnsmasqOptions {
  /** None unless told. */
  readonly hosts?: Hosts
  /** More arguments, for other records: `["--cname=www.test,app.test", "--txt-record=app.test,hello"]`. */
  readonly args?: ReadonlyArray<string>
}

/**
 * Whether there is no dnsmasq here: the tests that need one are skipped then, except on CI, where this throws.
 *
 * @category operations
 * @since 0.1.0
 */
export const isMissing = (): boolean => Binary.skipWithout("dnsmasq", "apt-get install dnsmasq-base")

/** Below the ports that the system gives to clients. */
const ownPort = TestPort.free(22_000, 32_000)

/** Known in the given edition of the hosts only. */
const marker = (edition: number) => `edition-${edition}.test`

const write = (file: string, hosts: Hosts, edition: number) =>
  Effect.sync(() => {
    const lines = Object.entries({ ...hosts, [marker(edition)]: "127.0.0.1" }).flatMap(([name, addresses]) =>
      [addresses].flat().map((address) => `${address} ${name}\n`)
    )
    Fs.writeFileSync(file, lines.join(""))
  })

const knows = (server: string, name: string): Effect.Effect<true | undefined> =>
  Effect.callback((resume) => {
    const resolver = new Dns.Resolver({ timeout: 500, tries: 1 })
    resolver.setServers([server])
    resolver.resolve4(name, (error) => resume(Effect.succeed(error === null ? true : undefined)))
    return Effect.sync(() => resolver.cancel())
  })

const end = (running: ChildProcess.ChildProcess): Effect.Effect<void> =>
  Effect.callback((resume) => {
    // Without a pid nothing was started, and a signal would go to somebody else.
    const ended = running.pid === undefined || running.exitCode !== null || running.signalCode !== null
    if (ended) return resume(Effect.void)
    running.once("exit", () => resume(Effect.void))
    running.kill("SIGKILL")
    return undefined
  })

const start = Effect.fnUntraced(function* (folder: string, hosts: string, args: ReadonlyArray<string>) {
  const port = yield* ownPort
  const server = `127.0.0.1:${port}`
  const own = [
    "--keep-in-foreground",
    "--conf-file=/dev/null",
    "--user=root",
    `--pid-file=${Path.join(folder, "pid")}`,
    "--log-facility=-",
    "--no-resolv",
    "--no-hosts",
    "--local=/test/",
    "--local-ttl=1",
    `--addn-hosts=${hosts}`,
    "--bind-interfaces",
    "--listen-address=127.0.0.1",
    `--port=${port}`
  ]
  const running = ChildProcess.spawn(Binary.find("dnsmasq") ?? "dnsmasq", [...own, ...args], { stdio: "ignore" })
  running.once("error", () => undefined)
  yield* eventually(
    `dnsmasq answers on ${port}`,
    Effect.suspend(() =>
      running.exitCode === null && running.pid !== undefined
        ? knows(server, marker(0))
        : Effect.fail(`dnsmasq ended: ${running.exitCode}`)
    )
  ).pipe(Effect.onError(() => end(running)))
  return { port, server, running }
})

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  options: TestDnsmasqOptions = {}
): Effect.fn.Return<TestDnsmasq, never, Scope.Scope> {
  const folder = yield* TestFolder.make
  const file = Path.join(folder, "hosts")
  let edition = 0
  yield* write(file, options.hosts ?? {}, edition)
  // Somebody else may have been quicker to take the port.
  const { port, running, server } = yield* Effect.acquireRelease(
    start(folder, file, options.args ?? []).pipe(Effect.retry({ times: 4 }), Effect.orDie),
    (started) => end(started.running)
  )
  const signal = (name: NodeJS.Signals) => Effect.sync(() => void running.kill(name))
  const setHosts = Effect.fnUntraced(function* (hosts: Hosts) {
    edition += 1
    yield* write(file, hosts, edition)
    yield* signal("SIGHUP")
    yield* eventually("dnsmasq has read its hosts anew", knows(server, marker(edition)))
  })
  const pid = running.pid ?? 0
  return { port, server, pid, setHosts, freeze: signal("SIGSTOP"), thaw: signal("SIGCONT"), kill: end(running) }
})
