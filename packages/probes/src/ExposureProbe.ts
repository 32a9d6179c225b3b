/**
 * Looks for sockets of this machine that others can reach and nobody has allowed, those that Docker publishes among them:
 * these go past the firewall's usual rules, and where Docker's proxy is off they have no socket at all.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Net from "node:net"

import * as Options from "@nexobot/core/Options"
import * as Probe from "@nexobot/core/Probe"
import { isDead, type ListeningSocket, ProcessTable } from "@nexobot/core/ProcessTable"
import { Redactor } from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import { protocols, publishedPorts } from "./internal/dockerPorts.ts"
import { excerpt } from "./internal/excerpt.ts"
import { ownFault } from "./internal/systemError.ts"

/**
 * Sockets that others can reach, and that are not allowed.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Exposed extends Schema.TaggedClass<Exposed>("@nexobot/probes/Exposure/Exposed")("Exposure/Exposed", {
  /** How many there are. */
  count: Schema.Int,
  /** The first twenty of them, by port. */
  sockets: Schema.Array(
    Schema.Struct({
      /** `tcp` or `udp`; Docker publishes `sctp`, too. */
      protocol: Schema.String,
      /** `0.0.0.0` and `::` are all addresses of this machine. */
      address: Schema.String,
      port: Schema.Int,
      /** Absent when its process cannot be seen, and for a container. */
      pid: Schema.optionalKey(Schema.Int),
      /** The command line or the container, redacted, at most 200 characters. */
      by: Schema.String
    })
  )
}) {}

/**
 * @category models
 * @since 0.1.0
 */
export interface AllowedPort {
  /** A port, or the first and the last one of a range. */
  readonly port: number | readonly [first: number, last: number]
  /** `tcp` unless told. */
  readonly protocol?: "tcp" | "udp" | "sctp"
}

/**
 * @category models
 * @since 0.1.0
 */
export interface ExposureProbeOptions {
  readonly name: string
  /** What others may reach; a bare number is a port of TCP. Nothing unless told. */
  readonly allow?: ReadonlyArray<number | AllowedPort>
  /**
   * The socket of Docker's API, or `false` to leave Docker out. `/var/run/docker.sock` unless told, where Docker runs; one
   * that is told has to answer.
   */
  readonly docker?: string | false
  /**
   * Whether UDP counts on ports that the system gives to clients (32768 to 60999 on most machines): who asks somebody is
   * open there while he waits. `false` unless told.
   */
  readonly clientPorts?: boolean
  /** Until Docker has answered; 5 seconds unless told. */
  readonly timeout?: Duration.Input
}

type Socket = Exposed["sockets"][number]

const checks = Options.checks("ExposureProbe")

const defaultDocker = "/var/run/docker.sock"

const shownSockets = 20

interface Range {
  readonly protocol: string
  readonly first: number
  readonly last: number
}

const checkedRange = (value: unknown, index: number): Range => {
  const option = `allow[${index}]`
  if (typeof value === "number") {
    const port = checks.port(option, value)
    return { protocol: "tcp", first: port, last: port }
  }
  checks.known(value, ["port", "protocol"], `${option}.`)
  // A plain object, as was just seen.
  const { port, protocol = "tcp" } = value as Partial<AllowedPort> // oxlint-disable-line typescript/no-unsafe-type-assertion
  const ends = Array.isArray(port) ? port : [port, port]
  if (ends.length !== 2) checks.fail(`${option}.port`, port, "a port, or the first and the last one of a range")
  const first = checks.port(`${option}.port`, ends[0])
  const last = checks.port(`${option}.port`, ends[1])
  if (last < first) checks.fail(`${option}.port`, port, "a range whose last port is not below its first one")
  return { protocol: checks.oneOf(`${option}.protocol`, protocol, protocols), first, last }
}

const checked = (options: ExposureProbeOptions) => {
  checks.known(options, ["name", "allow", "docker", "clientPorts", "timeout"])
  const { allow = [], docker } = options
  if (!Array.isArray(allow)) checks.fail("allow", allow, "a list of ports")
  return {
    allow: allow.map(checkedRange),
    docker: docker === undefined || docker === false ? docker : checks.nonEmptyString("docker", docker),
    clientPorts: checks.boolean("clientPorts", options.clientPorts ?? false),
    timeout: checks.duration("timeout", options.timeout ?? "5 seconds", "1 millis")
  }
}

type Settings = ReturnType<typeof checked>

/** The ports that the system gives to clients. */
const clientRange = Effect.sync((): Range => {
  let text = ""
  try {
    text = Fs.readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8")
  } catch {
    // What the kernel has unless told.
  }
  const [first = 32_768, last = 60_999] = (text.match(/\d+/g) ?? []).map(Number)
  return { protocol: "udp", first, last }
})

interface Place {
  readonly protocol: string
  readonly address: string
  readonly port: number
}

const isIn = (ranges: ReadonlyArray<Range>, { port, protocol }: Place): boolean =>
  ranges.some((range) => range.protocol === protocol && range.first <= port && port <= range.last)

/** Where nobody but this machine comes to. All addresses, `0.0.0.0` and `::`, are more than that. */
const loopback = new Net.BlockList()
loopback.addSubnet("127.0.0.0", 8, "ipv4")
loopback.addAddress("::1", "ipv6")

const isOpen = ({ address }: Place): boolean => !loopback.check(address, Net.isIPv4(address) ? "ipv4" : "ipv6")

const keyOf = ({ address, port, protocol }: Place): string => `${protocol} ${address} ${port}`

/** What Docker publishes; nothing where it is left out or does not run. Fails when it should answer and does not. */
const published = ({ docker, timeout }: Settings) => {
  if (docker === false) return Effect.succeed([])
  const path = docker ?? defaultDocker
  return publishedPorts(path, timeout).pipe(
    Effect.catch((code) =>
      docker === undefined && /^(ENOENT|ENOTDIR|ECONNREFUSED)$/.test(code)
        ? Effect.succeed([])
        : Effect.fail(`Docker at ${path}: ${ownFault(code) ?? code}`)
    )
  )
}

/** Who has these sockets open, by inode. It looks through the files of every process, as only something wrong does. */
const holdersOf = Effect.fnUntraced(function* (sockets: ReadonlyArray<ListeningSocket>) {
  const holders = new Map<string, number>()
  if (sockets.length === 0) return holders
  const wanted = new Set(sockets.map(({ inode }) => inode))
  const table = yield* ProcessTable
  for (const stat of yield* table.all) {
    if (isDead(stat)) continue
    for (const inode of yield* table.sockets(stat.pid)) {
      if (wanted.has(inode) && !holders.has(inode)) holders.set(inode, stat.pid)
    }
  }
  return holders
})

/** A socket of the kernel's own, such as a tunnel's, has no file. */
const ofKernel = "0"

const described = Effect.fnUntraced(function* (sockets: ReadonlyArray<ListeningSocket>) {
  const table = yield* ProcessTable
  const redactor = yield* Redactor
  const holders = yield* holdersOf(sockets)
  return yield* Effect.forEach(
    sockets,
    Effect.fnUntraced(function* ({ address, inode, port, protocol }): Effect.fn.Return<Socket> {
      const pid = holders.get(inode)
      if (pid === undefined) {
        return { protocol, address, port, by: inode === ofKernel ? "the kernel" : "a process that cannot be seen" }
      }
      return { protocol, address, port, pid, by: excerpt(yield* table.commandLine(pid), redactor) }
    })
  )
})

const byPort = (a: Place, b: Place): number => a.port - b.port || keyOf(a).localeCompare(keyOf(b))

const unique = <A extends Place>(places: ReadonlyArray<A>): ReadonlyArray<A> =>
  [...new Map(places.toReversed().map((place) => [keyOf(place), place])).values()].toSorted(byPort)

const lineOf = ({ address, by, pid, port, protocol }: Socket): string =>
  `${protocol} ${address}:${port} is open: ${by}${pid === undefined ? "" : ` (${pid})`}`

const looking = (settings: Settings) =>
  Effect.gen(function* () {
    const table = yield* ProcessTable
    const redactor = yield* Redactor
    const clients = settings.clientPorts ? [] : [yield* clientRange]
    const isBad = (place: Place) => isOpen(place) && !isIn(settings.allow, place)
    const docker = yield* Effect.result(published(settings))
    const containers = unique((docker._tag === "Success" ? docker.success : []).filter(isBad))
    // Where Docker's proxy listens for a container, the container counts.
    const known = new Set(containers.map(keyOf))
    const listening = unique(
      (yield* table.listeners).filter((one) => isBad(one) && !isIn(clients, one) && !known.has(keyOf(one)))
    )
    const count = containers.length + listening.length
    const unknown = docker._tag === "Failure" ? [excerpt(docker.failure, redactor)] : []
    if (count === 0) return unknown[0] === undefined ? Verdict.healthy : Verdict.inconclusive(unknown[0])
    const sockets = [
      ...containers.map(({ address, container, port, protocol }): Socket => {
        return { protocol, address, port, by: `container ${excerpt(container, redactor)}`.slice(0, 200) }
      }),
      ...(yield* described(listening.slice(0, shownSockets)))
    ]
    const shown = sockets.toSorted(byPort).slice(0, shownSockets)
    const more = count > shown.length ? [`and ${count - shown.length} more`] : []
    return Verdict.unhealthy(new Exposed({ count, sockets: shown }), [...shown.map(lineOf), ...more, ...unknown])
  }).pipe(Effect.catch((error) => Effect.succeed(Verdict.inconclusive(error.message))))

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: ExposureProbeOptions): Probe.Probe<Exposed> => {
  const settings = checked(options)
  return Probe.make({
    name: options.name,
    reports: [Exposed],
    target: "sockets of this machine",
    timeout: settings.timeout,
    question: ["ExposureProbe", settings],
    // It is open to others whoever starts.
    duringStartup: "judged",
    check: looking(settings)
  })
}
