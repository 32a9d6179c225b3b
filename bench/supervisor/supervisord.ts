/** supervisord as a peer, told to restart at once whatever happens. */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"

import * as Peer from "./peer.ts"

const quoted = (word: string): string => `"${word.replaceAll(/["\\]/g, String.raw`\$&`).replaceAll("%", "%%")}"`

export const start: Peer.Start = async (programs) => {
  if (!Peer.isInstalled("supervisord", "supervisor")) return undefined
  const folder = await Peer.folder()
  const lines = [
    "[supervisord]",
    "nodaemon=true",
    "silent=true",
    `logfile=${folder}/supervisord.log`,
    `pidfile=${folder}/supervisord.pid`,
    ...programs.flatMap(({ args, command, name }) => [
      `[program:${name}]`,
      `command=${[command, ...args].map(quoted).join(" ")}`,
      "startsecs=0",
      "autorestart=true",
      `stdout_logfile=${folder}/${name}.log`,
      "redirect_stderr=true"
    ])
  ]
  const file = Path.join(folder, "supervisord.conf")
  await Fs.writeFile(file, `${lines.join("\n")}\n`)
  return Peer.foreground({ name: "supervisord", command: "supervisord", args: ["-c", file], folder }).peer
}
