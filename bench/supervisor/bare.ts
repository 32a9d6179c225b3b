/** The least that a supervisor written in Node could do, as a peer: `node:child_process`, and nothing else. */
import { inBench } from "../paths.ts"
import * as Peer from "./peer.ts"

export const name = "bare node:child_process"

export const start: Peer.Start = async (programs) =>
  Peer.foreground({
    name,
    command: process.execPath,
    args: [inBench("fixtures/bare-supervisor.mjs"), JSON.stringify(programs)]
  }).peer
