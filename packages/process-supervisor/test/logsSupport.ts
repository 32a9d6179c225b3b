import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { PassThrough } from "node:stream"
import * as Zlib from "node:zlib"

import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"

import { eventually } from "../../testing/src/Expect.ts"
import * as AppLog from "../src/internal/logs/appLog.ts"
import * as Rotation from "../src/internal/logs/rotation.ts"
import * as ProcessLog from "../src/ProcessLog.ts"

export const open = (options: ProcessLog.LogOptions) => AppLog.make("app", ProcessLog.make(options))

/** Names of old files, oldest first. */
export const oldsOf = (file: string): ReadonlyArray<string> =>
  Rotation.parse(file, Fs.readdirSync(Path.dirname(file))).olds.map(({ path }) => path)

/** A plain one may be compressed, and gone, since it was listed. */
const readOne = (path: string): Buffer => {
  if (path.endsWith(".gz")) return Zlib.gunzipSync(Fs.readFileSync(path))
  try {
    return Fs.readFileSync(path)
  } catch {
    return readOne(`${path}.gz`)
  }
}

/** All that was written, old files first. One that is there plain and compressed counts once. */
export const readAll = (file: string): Buffer => {
  const byNumber = new Map(oldsOf(file).map((path) => [path.replace(/\.gz$/, ""), path]))
  return Buffer.concat([...byNumber.values(), ...(Fs.existsSync(file) ? [file] : [])].map(readOne))
}

/** Every byte is somewhere. */
export const balance = (log: AppLog.AppLog): ProcessLog.LogStats => {
  const stats = log.stats()
  const { dropped, filtered, received, waiting, written } = stats
  assert.strictEqual(received, written.bytes + dropped.bytes + filtered.bytes + waiting, JSON.stringify(stats))
  return stats
}

/** An output whose pieces are told by hand. */
export const piped = (log: AppLog.AppLog) => {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const attached = log.attach({ stdout, stderr })
  return {
    ...attached,
    stdout,
    stderr,
    /** Ends both, and waits until all of it is in the files. */
    end: Effect.suspend(() => {
      stdout.end()
      stderr.end()
      return Effect.andThen(attached.drained, log.settled)
    })
  }
}

/** A child whose outputs are on pipes; it has ended when the scope closes. */
export const child = (command: string, ...args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => ChildProcess.spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] })),
    (spawned) =>
      Effect.callback<void>((resume) => {
        const runs = spawned.pid !== undefined && spawned.exitCode === null && spawned.signalCode === null
        if (!runs || !spawned.kill("SIGKILL")) resume(Effect.void)
        else spawned.once("exit", () => resume(Effect.void))
      })
  )

export const node = (script: string) => child(process.execPath, "-e", script)

export const until = (what: string, holds: () => boolean) =>
  eventually(
    what,
    Effect.sync(() => holds() || undefined)
  )
