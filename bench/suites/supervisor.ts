/**
 * `kill -9` of a supervised process: how soon is there a new one, and how soon does its port answer again?
 *
 * The kernel takes its time to take a Node server apart (a dozen threads, 45 MB), and to fork. Both are measured beside,
 * with nothing but `node:child_process`: what the supervisor adds is the difference.
 */
import { spawn } from "node:child_process"
import { setTimeout as sleep } from "node:timers/promises"

import {
  type ProcessOptions,
  startSupervisor,
  type SupervisorHandle
} from "../../packages/process-supervisor/src/promise.ts"
import * as Gateway from "../gateway.ts"
import * as Pm2 from "../pm2.ts"
import { median, percentile, type Row, row } from "../report.ts"

const suite = "supervisor"
const bare = "bare node:child_process"
const kills = 100
const rounds = 15
/** Until a process has come to rest after its start. */
const rest = 100

interface Program {
  readonly what: string
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly ready: () => Promise<boolean>
}

const gateway = (port: number): Program => ({
  what: "Node HTTP server",
  command: process.execPath,
  args: [Gateway.script, String(port)],
  ready: () => Gateway.answering(port).then(() => true)
})

const small: Program = {
  what: "/bin/sleep",
  command: "/bin/sleep",
  args: ["1000000"],
  ready: () => Promise.resolve(true)
}

const supervise = ({ args, command, ready }: Program): Promise<SupervisorHandle> => {
  const options: ProcessOptions = {
    name: "it",
    command,
    args,
    ready,
    // As PM2 is told: again and again, without a delay.
    restartPolicy: { delays: { initial: 0, max: 0 }, intensity: { limit: 10_000, window: "1 minute" } }
  }
  return startSupervisor({ processes: [options] })
}

const now = (): number => Number(process.hrtime.bigint()) / 1e6

/** Milliseconds from each kill to the event that tells of the new child. */
const supervised = async (supervisor: SupervisorHandle): Promise<ReadonlyArray<number>> => {
  const samples: Array<number> = []
  let killedAt = 0
  for await (const event of supervisor.events()) {
    if (event._tag === "Spawned" && event.startedBy === "policy") samples.push(event.monotonic - killedAt)
    if (event._tag === "Ready") {
      if (samples.length === kills) break
      await sleep(rest)
      killedAt = now()
      process.kill(event.identity.pid, "SIGKILL")
    }
  }
  return samples
}

/** The least that any supervisor in this process could take. */
const unsupervised = async ({ args, command, ready }: Program): Promise<ReadonlyArray<number>> => {
  const start = () => spawn(command, args, { detached: true, stdio: "ignore" })
  const samples: Array<number> = []
  let child = start()
  while (samples.length < kills) {
    await ready()
    await sleep(rest)
    const killedAt = now()
    const last = child
    await new Promise<void>((resolve) => {
      last.once("exit", () => {
        child = start()
        samples.push(now() - killedAt)
        resolve()
      })
      last.kill("SIGKILL")
    })
  }
  child.kill("SIGKILL")
  return samples
}

const respawnRows = (what: string, ours: ReadonlyArray<number>, peer: ReadonlyArray<number>): ReadonlyArray<Row> =>
  [
    { share: 0.5, label: "p50", limit: 5 },
    { share: 0.99, label: "p99", limit: 25 }
  ].map(({ label, limit, share }) =>
    row({
      suite,
      name: `kill -9 of ${what} to replacement spawned, ${label}`,
      value: percentile(ours, share),
      unit: "ms",
      peer: bare,
      peerValue: percentile(peer, share),
      target: { text: `${label} ≤ ${limit} ms`, holds: (value) => value <= limit }
    })
  )

const measureSmall = async (): Promise<ReadonlyArray<Row>> => {
  await using supervisor = await supervise(small)
  return respawnRows(small.what, await supervised(supervisor), await unsupervised(small))
}

const measureGateway = async (): Promise<ReadonlyArray<Row>> => {
  const port = await Gateway.freePort()
  await using supervisor = await supervise(gateway(port))
  const { what } = gateway(port)
  const respawns = respawnRows(
    what,
    await supervised(supervisor),
    await unsupervised(gateway(await Gateway.freePort()))
  )

  const pm2Port = await Gateway.freePort()
  await using pm2 = await Pm2.startGateway(pm2Port)
  const answers: Array<number> = []
  const peerAnswers: Array<number> = []
  // Interleaved, so that whatever else the machine does meets both; the first round of each only warms up.
  for (let round = 0; round <= rounds; round++) {
    const answer = await Gateway.killToAnswer(port)
    const peerAnswer = pm2 === undefined ? undefined : await Gateway.killToAnswer(pm2Port)
    if (round === 0) continue
    answers.push(answer)
    if (peerAnswer !== undefined) peerAnswers.push(peerAnswer)
  }
  return [
    ...respawns,
    row({
      suite,
      name: `kill -9 of ${what} to port answering, median`,
      value: median(answers),
      unit: "ms",
      peer: Pm2.name,
      peerValue: peerAnswers.length === 0 ? undefined : median(peerAnswers)
    })
  ]
}

// The small one first: a fork takes longer the more memory this process has, and asking servers takes memory.
export const run = async (): Promise<ReadonlyArray<Row>> => [...(await measureSmall()), ...(await measureGateway())]
