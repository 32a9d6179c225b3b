/**
 * When an app is started again, is ready, is stopped, and how much it may take.
 */
import * as Cron from "effect/Cron"
import * as Result from "effect/Result"

import type { Draft } from "./draft.ts"

const units: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  K: 1024,
  M: 1024 ** 2,
  G: 1024 ** 3
}

/** PM2's numbers with a unit: milliseconds for times, bytes for sizes. */
const amount = (value: string | number): number =>
  typeof value === "number" ? value : Number.parseInt(value, 10) * (units[value.slice(-1)] ?? 1)

const seconds = (millis: number): string => `${millis / 1000} s`

/** PM2's own: it grows by half up to 15 s, and begins anew after a run of 30 s. */
const growth = { factor: 1.5, max: 15_000, resetAfter: 30_000 }

/** Of PM2, where the file says nothing. */
const pm2 = { restarts: 16, uptime: 1000, delay: 0 }

/** Of a supervisor: so many restarts, and what its delays grow to. */
const usual = { restarts: 10, delay: 2000 }

const delays = ({ differ, tell, values }: Draft) => {
  const { exp_backoff_restart_delay: growing, restart_delay: fixed } = values
  const to = "restartPolicy.backoff"
  tell("exp_backoff_restart_delay", "mapped", to)
  if (growing !== undefined && growing > 0) {
    tell("restart_delay", "refused", undefined, "exp_backoff_restart_delay has the last word, as in PM2")
    const max = Math.max(growing, growth.max)
    return { backoff: { initial: growing, factor: growth.factor, max, jitter: "none" }, longest: max } as const
  }
  tell("restart_delay", "mapped", to)
  if (fixed !== undefined) {
    return { backoff: { initial: fixed, factor: 1, max: fixed, jitter: "none" }, longest: fixed } as const
  }
  differ("restart_delay", `${pm2.delay} ms`, to, "the first restart comes at once, later ones wait longer, up to 2 s")
  return { backoff: undefined, longest: usual.delay }
}

export const restarts = (draft: Draft): void => {
  const { differ, options, tell, values } = draft
  const { autorestart, max_restarts: most, min_uptime: uptime, stop_exit_codes: codes } = values
  const { backoff, longest } = delays(draft)
  const isGrowing = (values.exp_backoff_restart_delay ?? 0) > 0
  const normal = codes === undefined ? undefined : typeof codes === "number" ? [codes] : [...codes]
  if (normal?.some((code) => !Number.isInteger(code) || code < 0 || code > 255) === true) {
    draft.fail("stop_exit_codes", "exit codes from 0 to 255")
  }
  const type =
    autorestart === false ? "temporary" : normal === undefined || normal.length === 0 ? "permanent" : "transient"
  tell("autorestart", "mapped", `restartPolicy.type: ${autorestart === false ? "temporary" : type}`)
  tell("stop_exit_codes", "mapped", "restartPolicy.type: transient, restartPolicy.normalCodes")

  const isLimited = most !== undefined || uptime !== undefined
  const limit = most ?? (isLimited ? pm2.restarts : usual.restarts)
  const stable = amount(uptime ?? pm2.uptime)
  const window = Math.max(60_000, 2 * limit * (stable + longest))
  const bound = `${limit} restarts in a row, or within ${seconds(window)}`
  tell(
    "max_restarts",
    "changed",
    "restartPolicy.attempts, restartPolicy.intensity",
    `given up after ${bound}, so that a loop of runs just longer than min_uptime ends, too; PM2 counts the first start, and nothing that comes later than max_restarts × min_uptime`
  )
  tell(
    "min_uptime",
    "changed",
    "minUptime, restartPolicy.stableAfter",
    `ready no sooner than after ${seconds(stable)}, and a run so long begins the count of restarts in a row anew; PM2 calls it online at once`
  )
  const always = `given up after ${limit} restarts within ${seconds(window)}, however long the runs between them were`
  if (!isLimited) differ("max_restarts", `${pm2.restarts} exits under 1 s`, "restartPolicy.intensity", always)
  if (uptime !== undefined) options.minUptime = stable
  options.restartPolicy = {
    type,
    ...(backoff === undefined ? {} : { backoff }),
    ...(type === "transient" && normal !== undefined ? { normalCodes: normal } : {}),
    ...(isLimited ? { attempts: limit } : {}),
    // Long delays do not make an endless loop of a short one.
    intensity: { limit, window },
    ...(uptime !== undefined ? { stableAfter: stable } : isGrowing ? { stableAfter: growth.resetAfter } : {})
  }
}

const cron = (draft: Draft): void => {
  const { options, tell, values } = draft
  const given = values.cron_restart
  if (given === undefined) return
  const expression = String(given).trim()
  if (expression === "0") return tell("cron_restart", "mapped", undefined, "0 means none")
  if (Result.isFailure(Cron.parse(expression))) {
    return draft.fail("cron_restart", "a cron expression of five or six fields, such as 0 4 * * *")
  }
  options.cron = expression
  tell("cron_restart", "mapped", "cron")
}

export const lifecycle = (draft: Draft): void => {
  const { differ, options, tell, values } = draft
  const { kill_timeout: kill, listen_timeout: listen, max_memory_restart: memory, wait_ready: waits } = values

  if (waits === true) {
    options.ready = "message"
    if (listen !== undefined) options.startGrace = listen
    const bound = listen === undefined ? "10 s (startGrace)" : "listen_timeout"
    tell(
      "wait_ready",
      "changed",
      'ready: "message"',
      `without process.send("ready") within ${bound} the start has failed; PM2 calls it online then`
    )
    tell(
      "listen_timeout",
      "changed",
      "startGrace",
      "without a message by then the start has failed; PM2 calls it online then"
    )
  }
  tell("wait_ready", "mapped", 'ready: "spawned"')
  tell("listen_timeout", "refused", undefined, "without wait_ready nothing is waited for")

  // PM2's apps are written for this signal.
  options.stopSignal = "SIGINT"
  if (kill !== undefined) options.stopGrace = kill
  tell("kill_timeout", "mapped", "stopGrace")
  differ("kill_timeout", "1600 ms", "stopGrace", "5 s from SIGINT to SIGKILL")
  const asked = values.shutdown_with_message === true
  const shutdown = asked ? "there is no message to end by: handle SIGINT" : undefined
  tell("shutdown_with_message", asked ? "refused" : "mapped", asked ? undefined : "stopSignal: SIGINT", shutdown)
  const whole = "a stop always ends the whole tree, also who left its process group"
  tell("treekill", values.treekill === false ? "refused" : "mapped", undefined, whole)
  tell("kill_retry_time", "refused", undefined, "nothing is polled for: the kernel says when a process has ended")

  if (memory !== undefined) options.memory = { limit: amount(memory), sustain: "5 seconds" }
  tell(
    "max_memory_restart",
    "changed",
    "memory.limit",
    "of the whole tree, and only who is above it for 5 s is restarted (memory.sustain); PM2 looks at one process every 30 s"
  )
  cron(draft)
}
