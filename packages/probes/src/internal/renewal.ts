/**
 * Whether that which renews certificates is there and at work.
 *
 * @since 0.1.0
 */
import type { Checks } from "@nexobot/core/Options"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import * as Command from "./command.ts"
import { readSmallFile } from "./smallFile.ts"
import { ownFault } from "./systemError.ts"

/** See `TlsProbe.Renewal`. */
export type Renewal =
  | { readonly timer: string; readonly user?: boolean; readonly within?: Duration.Input }
  | { readonly cron: string }

/** Why it does not renew, `undefined` if it does; fails with the reason why that cannot be said. */
type Answer = Effect.Effect<string | undefined, string>

const properties = ["LoadState", "ActiveState", "SubState", "ActiveEnterTimestamp", "LastTriggerUSec"]

/** Seconds of the epoch, as in `@1700000000`. */
const secondsOf = (text: string | undefined): number | undefined => {
  const seconds = Number(/^@(\d+)$/.exec(text ?? "")?.[1])
  return Number.isNaN(seconds) ? undefined : seconds
}

/** What systemd says about a timer, judged. */
export const judgeTimer = (shown: string, now: number, within: Duration.Duration | undefined): string | undefined => {
  const lines = shown.split("\n").map((line) => line.split(/=(.*)/s))
  const said = new Map(lines.map(([key = "", value = ""]) => [key, value]))
  const load = said.get("LoadState") ?? "unknown"
  if (load !== "loaded") return load
  const active = said.get("ActiveState") ?? "unknown"
  if (active !== "active") return active
  // It has gone off for the last time, though it counts as active.
  if (said.get("SubState") === "elapsed") return "elapsed"
  // One that has never run is given as much time from its start.
  const last = secondsOf(said.get("LastTriggerUSec")) ?? secondsOf(said.get("ActiveEnterTimestamp"))
  if (within === undefined || last === undefined) return undefined
  const age = Duration.millis(Math.max(0, now - last * 1000))
  return Duration.isGreaterThan(age, within) ? `not run for ${Math.floor(Duration.toHours(age))} hours` : undefined
}

const timerAnswer = (timer: string, user: boolean, within: Duration.Duration | undefined): Answer =>
  Effect.gen(function* () {
    const { exitCode, flooded, signal, stderr, stdout } = yield* Command.run({
      file: "systemctl",
      // prettier-ignore
      args: [...(user ? ["--user"] : []), "show", "--timestamp=unix", `--property=${properties.join()}`, "--", timer],
      maxOutput: 65_536
    }).pipe(Effect.mapError((code) => (code === "ENOENT" ? "this machine has no systemctl" : (ownFault(code) ?? code))))
    if (flooded) return yield* Effect.fail("it says too much")
    if (exitCode !== 0) return yield* Effect.fail(stderr.trim() || `it ended with ${exitCode ?? signal}`)
    return judgeTimer(stdout, yield* Clock.currentTimeMillis, within)
  }).pipe(Effect.mapError((why) => `systemctl: ${why}`))

/** A line that is neither empty, nor a comment, nor a variable's. */
const isJob = (line: string): boolean => /^\s*[^\s#]/.test(line) && !/^\s*\w+\s*=/.test(line)

const cronAnswer = (path: string): Answer =>
  readSmallFile(path, 65_536).pipe(
    Effect.map((text) => (text.split("\n").some(isJob) ? undefined : "no job in it")),
    Effect.catch((code) => (code === "ENOENT" ? Effect.succeed("not-found") : Effect.fail(`${path}: ${code}`)))
  )

/** The check that an option asks for, and what it is about. */
export const checkedRenewal = (
  checks: Checks,
  value: Renewal | undefined
): { readonly by: string; readonly answer: Answer } | undefined => {
  if (value === undefined) return undefined
  checks.known(value, ["cron", "timer", "user", "within"], "renewal.")
  if ("cron" in value) {
    checks.known(value, ["cron"], "renewal.")
    const path = checks.nonEmptyString("renewal.cron", value.cron)
    return { by: path, answer: cronAnswer(path) }
  }
  const timer = checks.nonEmptyString("renewal.timer", value.timer)
  if (!/^[\w:.\\@][\w:.\\@-]*\.timer$/.test(timer)) {
    checks.fail("renewal.timer", timer, "the name of a timer, such as certbot.timer")
  }
  const user = checks.boolean("renewal.user", value.user ?? false)
  const within = value.within === undefined ? undefined : checks.duration("renewal.within", value.within, "1 minute")
  return { by: timer, answer: timerAnswer(timer, user, within) }
}
