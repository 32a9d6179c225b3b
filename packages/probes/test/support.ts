import * as ChildProcess from "node:child_process"
import * as Http from "node:http"
import * as Https from "node:https"
import * as Net from "node:net"
import * as Path from "node:path"
import * as Tls from "node:tls"

import { assert } from "@effect/vitest"
import type * as Probe from "@nexobot/core/Probe"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import * as Verdict from "@nexobot/core/Verdict"
import { eventually } from "@nexobot/testing/Expect"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"

/** The signature of a verdict that has one. */
export const signatureOf = <S extends Verdict.Signature>(verdict: Verdict.Verdict<S>): S => {
  if ("signature" in verdict) return verdict.signature
  throw new Error(`no signature: ${JSON.stringify(verdict)}`)
}

/** What a probe says that it can find. */
export const tagsOf = <S extends Verdict.Signature, R>(probe: Probe.Probe<S, R>): ReadonlyArray<S["_tag"]> =>
  probe.reports.map(Verdict.tagOf)

/** The probe, with what it needs. */
export const provided = <S extends Verdict.Signature, R>(
  probe: Probe.Probe<S, R>,
  layer: Layer.Layer<R>
): Probe.Probe<S> => ({ ...probe, check: Effect.provide(probe.check, layer) })

// Servers

export interface TestServer {
  readonly port: number
  /** Connections accepted so far. */
  readonly accepted: () => number
  /** Waits until nobody is connected any more. */
  readonly abandoned: Effect.Effect<void>
}

const anyPort: Net.ListenOptions = { port: 0, host: "127.0.0.1" }

/** Has the server listen, on a free port of 127.0.0.1 unless told. */
export const serving = (server: Net.Server, at = anyPort): Effect.Effect<TestServer, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<TestServer>((resume) => {
      const sockets = new Set<Net.Socket>()
      let accepted = 0
      server.on("connection", (socket: Net.Socket) => {
        accepted += 1
        sockets.add(socket)
        socket.on("error", () => {})
        socket.on("close", () => sockets.delete(socket))
      })
      server.listen(at, () => {
        const address = server.address()
        // A unix socket has none.
        const port = typeof address === "string" ? 0 : address?.port
        if (port === undefined) throw new Error("no port")
        const abandoned = eventually(
          "every connection is closed",
          Effect.sync(() => (sockets.size === 0 ? true : undefined))
        )
        resume(Effect.succeed({ port, accepted: () => accepted, abandoned: Effect.asVoid(abandoned) }))
      })
      server.on("close", () => {
        for (const socket of sockets) socket.destroy()
      })
    }),
    () =>
      Effect.sync(() => {
        server.close()
        server.emit("close")
      })
  )

/** On a free port of 127.0.0.1 unless told. */
export const tcpServer = (onConnection: (socket: Net.Socket) => void, at?: Net.ListenOptions) =>
  serving(
    Net.createServer((socket) => {
      onConnection(socket)
      // Who does not read does not learn that the other side closed.
      socket.resume()
    }),
    at
  )

export const tlsServer = (options: Tls.TlsOptions) => serving(Tls.createServer(options).on("tlsClientError", () => {}))

export const httpServer = (listener: Http.RequestListener, at?: Net.ListenOptions) =>
  serving(Http.createServer(listener), at)

export const httpsServer = (options: Https.ServerOptions, listener: Http.RequestListener) =>
  serving(Https.createServer(options, listener).on("tlsClientError", () => {}))

/** A port on which nobody listens. */
export const freePort = Effect.map(Effect.scoped(tcpServer(() => {})), (server) => server.port)

/** Sends a signal, and makes sure that it was sent. */
export const signal = (identity: ProcessIdentity.ProcessIdentity, name: NodeJS.Signals) =>
  Effect.map(ProcessIdentity.signal(identity, name), (sent) => assert.isTrue(sent))

/** The bytes with a few of them changed, put in or left out; the same each time for the same seed. */
export const mutated = (bytes: Buffer, seed: number): Buffer => {
  let state = seed
  // A linear congruential generator, as in Numerical Recipes.
  const below = (limit: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
  let result = bytes
  for (let count = below(4) + 1; count > 0; count -= 1) {
    const at = below(result.length)
    const put = Buffer.from(Array.from({ length: below(4) }, () => below(256)))
    result = Buffer.concat([result.subarray(0, at), put, result.subarray(at + below(4))])
  }
  return result
}

/**
 * What a module prints that runs in namespaces of its own, made by `unshare`, after these lines of a shell. Nothing,
 * and a line about it, where that is not allowed. All that was started there has ended then.
 */
export const inNamespaces = (flags: string, lines: ReadonlyArray<string>, code: string) =>
  Effect.callback<string | undefined>((resume) => {
    const script = ["set -e", ...lines, '"$@"'].join("\n")
    const run = [process.execPath, "--input-type=module-typescript", "--eval", code]
    const args = [flags, "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh", ...run]
    const options = { cwd: Path.join(import.meta.dirname, ".."), timeout: 20_000 }
    const child = ChildProcess.execFile("unshare", args, options, (error, stdout, stderr) => {
      if (error === null) return resume(Effect.succeed(stdout))
      const isForbidden = error.code === "ENOENT" || /not permitted|permission denied|read-only/i.test(stderr)
      if (!isForbidden) return resume(Effect.die(new Error(stderr, { cause: error })))
      process.stderr.write(`skipped: namespaces: ${stderr}\n`)
      return resume(Effect.undefined)
    })
    return Effect.sync(() => child.pid !== undefined && child.kill())
  })

/**
 * What checks find in a process that has no descriptor left: `prepare` is a module, with its imports, and `checks` an
 * expression for a list of effects.
 */
export const withoutDescriptors = (prepare: string, checks: string) =>
  Effect.callback<ReadonlyArray<unknown>>((resume) => {
    const code = `${prepare}
    import * as FileSystem from "node:fs"
    import * as Effects from "effect/Effect"
    const taken = []
    try { for (;;) taken.push(FileSystem.openSync("/dev/null")) } catch {}
    const found = await Effects.runPromise(Effects.all(${checks}))
    for (const one of taken) FileSystem.closeSync(one)
    console.log(JSON.stringify(found))`
    const run = [process.execPath, "--input-type=module-typescript", "--eval", code]
    const options = { cwd: Path.join(import.meta.dirname, ".."), timeout: 20_000 }
    const args = ["-c", 'ulimit -n 100 && exec "$@"', "sh", ...run]
    const child = ChildProcess.execFile("sh", args, options, (error, stdout, stderr) => {
      if (error !== null) return resume(Effect.die(new Error(stderr, { cause: error })))
      const found: ReadonlyArray<unknown> = JSON.parse(stdout)
      return resume(Effect.succeed(found))
    })
    return Effect.sync(() => child.pid !== undefined && child.kill())
  })
