/** Ten thousand things to connect to, in a process of their own. */
import { spawn } from "node:child_process"
import { once } from "node:events"

import { inBench } from "../paths.ts"

export interface Listener extends AsyncDisposable {
  readonly port: number
}

export const addressOf = (index: number): string => `127.1.${Math.floor(index / 250)}.${(index % 250) + 1}`

export const start = async (count: number): Promise<Listener> => {
  const child = spawn(process.execPath, [inBench("probes/listener.mjs"), String(count)], {
    stdio: ["pipe", "pipe", "inherit"]
  })
  const exited = once(child, "exit")
  const [line]: ReadonlyArray<unknown> = await Promise.race([
    once(child.stdout, "data"),
    exited.then(() => Promise.reject(new Error("the listener did not start")))
  ])
  return {
    port: Number(String(line)),
    [Symbol.asyncDispose]: async () => {
      child.stdin.end()
      await exited
    }
  }
}
