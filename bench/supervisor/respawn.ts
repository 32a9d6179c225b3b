/**
 * `kill -9` of a supervised process until its replacement executes. Seen from outside, by the same means for everybody:
 * the first thing the program does is to write a line into a FIFO.
 */
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"

import type { Peer, Program, Start } from "./peer.ts"
import * as Peers from "./peer.ts"

interface Line {
  readonly pid: number
  readonly at: number
}

/** Lines of a FIFO, each with the time when it came. */
class Fifo implements Disposable {
  readonly path: string
  private readonly socket: Net.Socket
  private readonly lines: Array<Line> = []
  private wake: (() => void) | undefined

  constructor(folder: string) {
    this.path = Path.join(folder, "started")
    execFileSync("mkfifo", [this.path])
    // Also for writing: it has no end then.
    const fd = Fs.openSync(this.path, Fs.constants.O_RDWR | Fs.constants.O_NONBLOCK)
    this.socket = new Net.Socket({ fd, readable: true, writable: false })
    this.socket.setEncoding("latin1").on("data", (text: string) => {
      const at = performance.now()
      for (const line of text.trim().split("\n")) this.lines.push({ pid: Number(line), at })
      this.wake?.()
    })
  }

  async next(): Promise<Line> {
    const end = performance.now() + 30_000
    while (this.lines.length === 0) {
      if (performance.now() > end) throw new Error("no replacement was started")
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1000)
        this.wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    return this.lines.shift() ?? this.next()
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }
}

export interface Case {
  readonly what: string
  readonly command: string
  readonly args: ReadonlyArray<string>
  /** Until it has come to rest after its start. */
  readonly settled: () => Promise<unknown>
}

/** Says that it is there, then becomes the program. */
const announced = (fifo: string, { args, command }: Case): Program => ({
  name: "it",
  command: "/bin/sh",
  args: ["-c", 'echo $$ >"$0"; exec "$@"', fifo, command, ...args]
})

/** Milliseconds of each kill; the first two only warm up. */
export const measure = async (start: Start, what: Case, kills: number): Promise<ReadonlyArray<number>> => {
  const folder = await Peers.folder()
  using fifo = new Fifo(folder)
  const samples: Array<number> = []
  const supervisor: Peer | undefined = await start([announced(fifo.path, what)])
  if (supervisor === undefined) return samples
  await using _ = supervisor
  let current = await fifo.next()
  while (samples.length < kills + 2) {
    await what.settled()
    await sleep(40)
    const killedAt = performance.now()
    process.kill(current.pid, "SIGKILL")
    current = await fifo.next()
    samples.push(current.at - killedAt)
  }
  Fs.rmSync(folder, { recursive: true, force: true })
  return samples.slice(2)
}
