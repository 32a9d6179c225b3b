/** runit as a peer: one service folder per program, below a `runsvdir` of its own. */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"

import * as Peer from "./peer.ts"

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`

export const start: Peer.Start = async (programs) => {
  if (!Peer.isInstalled("runsvdir", "runit")) return undefined
  const folder = await Peer.folder()
  for (const { args, command, name } of programs) {
    await Fs.mkdir(Path.join(folder, name))
    const script = `#!/bin/sh\nexec ${[command, ...args].map(quoted).join(" ")}\n`
    await Fs.writeFile(Path.join(folder, name, "run"), script, { mode: 0o755 })
  }
  return Peer.foreground({ name: "runit", command: "runsvdir", args: ["-P", folder], signal: "SIGHUP", folder }).peer
}
