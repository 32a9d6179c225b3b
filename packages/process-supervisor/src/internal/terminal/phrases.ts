/** Processes and what happens to them, in few words. */
import type { ProcessState } from "@nexobot/core/ProcessControl"
import * as ProcessExit from "@nexobot/core/ProcessExit"
import { Receipt } from "@nexobot/core/ProcessIdentity"
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"

import type { SupervisorEvent } from "../../SupervisorEvent.ts"
import { plain } from "./text.ts"

const units = ["B", "kB", "MB", "GB", "TB"] as const

/** At most 6 columns: three digits, or one and a decimal. Units are 1024 of one another. */
export const bytes = (count: number): string => {
  let amount = count
  let unit = 0
  while (amount >= 999.5 && unit < units.length - 1) {
    amount /= 1024
    unit += 1
  }
  const digits = unit > 0 && amount < 9.95 ? amount.toFixed(1).replace(/\.0$/, "") : Math.round(amount).toString()
  return `${digits} ${units[unit] ?? ""}`
}

/** The two largest units, at most 7 columns: `20ms`, `59s`, `12m 3s`, `5h 12m`, `31d 4h`. */
export const duration = (of: Duration.Duration): string => {
  const seconds = Math.floor(Duration.toSeconds(of))
  if (seconds < 1) return `${Math.floor(Duration.toMillis(of))}ms`
  const [days, hours, minutes] = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3600) % 24,
    Math.floor(seconds / 60) % 60
  ]
  if (days >= 1000) return `${days}d`
  if (days > 0) return `${days}d ${hours}h`
  if (hours > 0) return `${hours}h ${minutes}m`
  if (minutes > 0) return `${minutes}m ${seconds % 60}s`
  return `${seconds}s`
}

/** How it ended, in a word or two. */
export const exit = (of: ProcessExit.ProcessExit): string => {
  switch (of._tag) {
    case "Exited":
      return `code ${of.code}`
    case "Signaled":
      return plain(of.signal)
    case "SpawnFailed":
      return plain(of.code)
    case "OomKilled":
      return "out of memory"
    case "MemoryLimit":
      return `memory ${bytes(of.used)}`
    case "CpuLimit":
      return `cpu ${Math.round(of.used)} %`
    case "LivenessFailed":
      return "not alive"
    case "ReadinessTimeout":
      return "not ready"
    case "PortHeld":
      return `port ${of.port} held`
    case "StopRequested":
      return "stopped"
    case "Recycled":
      return "replaced"
    case "AdoptedUnknown":
      return "unknown"
  }
}

/** The colour of a state; grey for what is at rest. */
export const colour: Record<ProcessState, "green" | "yellow" | "red" | "gray"> = {
  Running: "green",
  Starting: "yellow",
  Waiting: "yellow",
  Blocked: "yellow",
  Stopping: "yellow",
  Stopped: "gray",
  Ended: "gray",
  Failed: "red",
  Skipped: "red"
}

const isExit = Schema.is(ProcessExit.ProcessExit)
const isReceipt = Schema.is(Receipt)

/** `RestartDecided` as `restart decided`; what is no such name stays as it is. */
const words = (name: string): string =>
  /^([A-Z][a-z]+)+$/.test(name) ? name.replace(/(?<!^)(?=[A-Z])/g, " ").toLowerCase() : name

const received = ({ escalated, survivors }: Receipt): string | undefined => {
  const killed = escalated.length === 0 ? [] : [`${escalated.length} by SIGKILL`]
  const left = survivors.length === 0 ? [] : [`left alive: ${survivors.map(({ pid }) => pid).join(", ")}`]
  return killed.length + left.length === 0 ? undefined : [...killed, ...left].join(", ")
}

/** One field of an event; nothing, of those that say nothing new. */
const part = (key: string, value: unknown): string | undefined => {
  if (isExit(value)) return ProcessExit.describe(value)
  if (isReceipt(value)) return received(value)
  if (Duration.isDuration(value)) return `${key === "ranFor" ? "after" : key} ${duration(value)}`
  if (key === "restarts") return typeof value === "number" && value > 0 ? `restarts ${value}` : undefined
  if (key === "identity") return Predicate.hasProperty(value, "pid") ? `pid ${String(value.pid)}` : undefined
  if (typeof value === "string") return ["startedBy", "by"].includes(key) ? `by ${value}` : words(value)
  return Array.isArray(value) ? `${key} ${value.join(", ")}` : undefined
}

/** Of every event. */
const common = new Set(["_tag", "sequence", "name", "at", "monotonic"])

/** What happened, without to whom and when. */
export const event = (of: SupervisorEvent): string => {
  const parts = Object.entries(of).flatMap(([key, value]) => {
    const said = common.has(key) ? undefined : part(key, value)
    return said === undefined ? [] : [said]
  })
  // How it ended says that it did.
  const tag = of._tag === "Exited" ? [] : [words(of._tag)]
  return plain([...tag, ...(parts.length === 0 ? [] : [parts.join(", ")])].join(": "))
}

/** The time of day, where this machine is. */
export const clock = (at: number): string => {
  const time = new Date(at)
  return [time.getHours(), time.getMinutes(), time.getSeconds()].map((one) => String(one).padStart(2, "0")).join(":")
}
