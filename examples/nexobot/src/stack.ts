import * as Path from "node:path"
import { fileURLToPath } from "node:url"

/**
 * The NexoBot stack: its processes, and its components with their probes and runbooks.
 *
 * A runbook that forgets a signature of its probes does not compile.
 */
import * as Component from "@nexobot/core/Component"
import * as ProcessControl from "@nexobot/core/ProcessControl"
import * as Remediator from "@nexobot/core/Remediator"
import { HttpProbe, LockProbe, PortProbe, ProcessProbe, RedisProbe } from "@nexobot/probes"
import { ProcessSpec, RestartPolicy } from "@nexobot/process-supervisor"
import { ClearStaleLock, FreePort, RestartProcess, StartProcess } from "@nexobot/remediators"
import type * as Redacted from "effect/Redacted"

import { restoreRoute } from "./restoreRoute.ts"
import type { Settings } from "./settings.ts"

export interface StackOptions {
  readonly settings: Settings
  readonly stateDirectory: string
  readonly gatewayToken: Redacted.Redacted
  /** Path of `redis-server`; without it the stack has no Redis. */
  readonly redisServer: string | undefined
  /** `false`: nothing that ends is put back. To see what the faults do when nobody heals them. */
  readonly recovery: boolean
}

export const homeRoute = { route: "/", page: "home" }

const script = (name: string): string => fileURLToPath(new URL(`processes/${name}`, import.meta.url))

const portOwner = (process: string, port: number) => PortProbe.make({ name: "port owner", port, process })
const liveness = (process: string) => ProcessProbe.make({ name: "process", process })

/** The answers that are the same for everything that is supervised and has a port. */
const supervisedRunbook = (name: string) =>
  ({
    "Port/HeldByOrphan": [Remediator.sequence(FreePort.make(), StartProcess.make(name)), RestartProcess.make(name)],
    "Port/HeldByForeigner": Component.escalate(`another program has the port of ${name}; stop it, or move one of them`),
    "Process/Gone": [RestartProcess.make(name)],
    "Process/Zombie": [RestartProcess.make(name)],
    "Process/Stopped": [RestartProcess.make(name)],
    "Process/Restarted": Component.observe("its supervisor put it back")
  }) as const

export const make = (options: StackOptions) => {
  const { ports } = options.settings
  const inState = (name: string) => Path.join(options.stateDirectory, name)
  const files = { lock: inState("gateway.lock"), webUi: inState("web-ui.json"), redis: inState("redis") }

  const restartPolicy = RestartPolicy.make({ type: options.recovery ? "permanent" : "temporary" })
  const answers = {
    gateway: HttpProbe.make({
      name: "answers",
      url: `http://127.0.0.1:${ports.gateway}/health`,
      timeout: "1 second"
    }),
    webUi: HttpProbe.make({ name: "home page", url: `http://127.0.0.1:${ports.webUi}/`, timeout: "1 second" }),
    redis: RedisProbe.make({ name: "takes writes", port: ports.redis, timeout: "1 second" })
  }

  const gateway = {
    process: ProcessSpec.make({
      name: "gateway",
      command: process.execPath,
      args: [script("gateway.ts")],
      env: { PORT: String(ports.gateway), GATEWAY_TOKEN: options.gatewayToken, GATEWAY_LOCK: files.lock },
      ready: answers.gateway,
      restartPolicy,
      log: inState("gateway.log")
    }),
    component: Component.make(
      {
        name: "gateway",
        lifecycle: ProcessControl.lifecycle("gateway"),
        probes: [
          LockProbe.make({ name: "lock", path: files.lock }),
          portOwner("gateway", ports.gateway),
          liveness("gateway"),
          answers.gateway
        ]
      },
      {
        "Lock/Stale": [
          Remediator.sequence(ClearStaleLock.make(), StartProcess.make("gateway")),
          RestartProcess.make("gateway")
        ],
        "Lock/Unreadable": Component.escalate("nobody can tell whose lock it is; look at it before removing it"),
        ...supervisedRunbook("gateway"),
        "Http/Unreachable": [RestartProcess.make("gateway")],
        "Http/Timeout": [RestartProcess.make("gateway")],
        "Http/UnexpectedStatus": [RestartProcess.make("gateway")]
      }
    )
  }

  const webUi = {
    process: ProcessSpec.make({
      name: "web-ui",
      command: process.execPath,
      args: [script("web-ui.ts")],
      env: { PORT: String(ports.webUi), WEB_UI_CONFIG: files.webUi },
      ready: answers.webUi,
      restartPolicy,
      log: inState("web-ui.log")
    }),
    component: Component.make(
      {
        name: "web-ui",
        lifecycle: ProcessControl.lifecycle("web-ui"),
        probes: [portOwner("web-ui", ports.webUi), liveness("web-ui"), answers.webUi]
      },
      {
        ...supervisedRunbook("web-ui"),
        "Http/Unreachable": [RestartProcess.make("web-ui")],
        "Http/Timeout": [RestartProcess.make("web-ui")],
        "Http/UnexpectedStatus": [
          restoreRoute({ process: "web-ui", file: files.webUi, ...homeRoute }),
          RestartProcess.make("web-ui")
        ]
      }
    )
  }

  const redis = (redisServer: string) => ({
    process: ProcessSpec.make({
      name: "redis",
      command: redisServer,
      // prettier-ignore
      args: [
        "--port", String(ports.redis), "--bind", "127.0.0.1", "--dir", files.redis,
        "--save", "", "--appendonly", "yes", "--appendfsync", "always",
        // Its process title would overwrite the environment, and with it the proof that the process is ours.
        "--set-proc-title", "no"
      ],
      ready: answers.redis,
      restartPolicy,
      log: inState("redis.log")
    }),
    component: Component.make(
      {
        name: "redis",
        lifecycle: ProcessControl.lifecycle("redis"),
        probes: [portOwner("redis", ports.redis), liveness("redis"), answers.redis]
      },
      {
        ...supervisedRunbook("redis"),
        "Redis/Unreachable": [RestartProcess.make("redis")],
        "Redis/Timeout": [RestartProcess.make("redis")],
        "Redis/Loading": Component.observe("it reads what it had written, and is ready when it has"),
        "Redis/Busy": Component.escalate("a script keeps it busy; end the script, or lose what it was doing"),
        "Redis/AccessDenied": Component.escalate("it asks for a password that the stack does not have"),
        "Redis/TooManyClients": Component.escalate("find who opens connections and does not close them"),
        "Redis/MemoryHigh": Component.escalate(
          "make room, or raise maxmemory; a restart would lose or keep the same data"
        ),
        "Redis/WritesRefused": Component.escalate("free its disk or mend its permissions; do not turn the guard off"),
        "Redis/ReadsRefused": Component.escalate("it has no primary, and gives no old answers"),
        "Redis/SaveFailing": Component.escalate("free its disk or mend its permissions")
      }
    )
  })

  // What others depend on comes first: it is started first and stopped last.
  const parts = [...(options.redisServer === undefined ? [] : [redis(options.redisServer)]), gateway, webUi]
  return {
    files,
    processes: parts.map((part) => part.process),
    components: parts.map((part) => part.component),
    /** Name of each part that listens, and its port. */
    listeners: [
      ...(options.redisServer === undefined ? [] : [{ name: "redis", port: ports.redis }]),
      { name: "gateway", port: ports.gateway },
      { name: "web-ui", port: ports.webUi },
      { name: "console", port: ports.console }
    ]
  }
}
