/** Processes seen from outside, read from `/proc`. */
import * as Fs from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"

export interface Process {
  readonly pid: number
  readonly parent: number
  readonly command: string
  readonly startTime: number
  /** Milliseconds of processor time. */
  readonly cpu: number
  /** Bytes. */
  readonly memory: number
}

const page = 4096
/** Clock ticks are hundredths of a second wherever Node runs. */
const tick = 10

const look = (pid: number, zombies = false): Process | undefined => {
  try {
    const text = Fs.readFileSync(`/proc/${pid}/stat`, "latin1")
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ")
    const number = (index: number): number => Number(fields[index])
    if (!zombies && (fields[0] === "Z" || fields[0] === "X")) return undefined
    const command = text.slice(text.indexOf("(") + 1, text.lastIndexOf(")"))
    const cpu = (number(11) + number(12)) * tick
    return { pid, parent: number(1), command, startTime: number(19), cpu, memory: number(21) * page }
  } catch {
    return undefined
  }
}

/** A process and all that descend from it, itself first; those that ended and were not reaped only if asked for. */
export const family = (pid: number, options: { readonly zombies?: boolean } = {}): ReadonlyArray<Process> => {
  const all = Fs.readdirSync("/proc").flatMap((name) =>
    /^\d+$/.test(name) ? (look(Number(name), options.zombies) ?? []) : []
  )
  const found = new Set(all.filter((one) => one.pid === pid))
  for (const member of found) for (const one of all) if (one.parent === member.pid) found.add(one)
  return [...found]
}

const lives = ({ pid, startTime }: Process): boolean => look(pid)?.startTime === startTime

/** Ends a process by a signal, waits until its whole family is gone, and kills what is left of it after 10 s. */
export const end = async (pid: number, signal: NodeJS.Signals): Promise<void> => {
  const members = family(pid)
  if (members.length === 0) return
  process.kill(pid, signal)
  const until = performance.now() + 10_000
  while (performance.now() < until && members.some(lives)) await sleep(20)
  for (const member of members.filter(lives)) process.kill(member.pid, "SIGKILL")
}

/** Nothing is left of it either when a measurement fails and ends this process; gives what revokes that. */
export const endAtExit = (pid: number, signal: NodeJS.Signals): (() => void) => {
  const self = look(pid)
  const onExit = (): void => {
    if (self !== undefined && lives(self)) process.kill(pid, signal)
  }
  process.once("exit", onExit)
  return () => process.off("exit", onExit)
}
