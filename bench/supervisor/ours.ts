/** Our supervisor, in a process of its own, as its users run it: bundled JavaScript. */
import { execFile } from "node:child_process"
import { promisify } from "node:util"

import { inBench } from "../paths.ts"
import * as Peer from "./peer.ts"

const bundles = new Map<string, Promise<string>>()

/** By another process: this one is a bundle itself and has no bundler. */
const bundled = (entry: string): Promise<string> => {
  const known = bundles.get(entry)
  if (known !== undefined) return known
  const bundle = promisify(execFile)(process.execPath, [inBench("bundled.mjs"), entry]).then(({ stdout }) => stdout)
  bundles.set(entry, bundle)
  return bundle
}

export const name = "process-supervisor"

const startBy =
  (what: string, entry: string): Peer.Start =>
  async (programs) => {
    const args = [await bundled(entry), JSON.stringify(programs)]
    return Peer.foreground({ name: what, command: process.execPath, args }).peer
  }

export const start = startBy(name, "fixtures/supervisor-promise.ts")
export const startEffect = startBy(`${name}, Effect face`, "fixtures/supervisor-effect.ts")
