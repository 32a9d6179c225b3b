import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"

import * as TestDocker from "../src/TestDocker.ts"
import * as TestFolder from "../src/TestFolder.ts"

/** A folder for PATH in which stand a daemon that does this, then is ready and stays, and a client that waits for it. */
const pretenders = Effect.fnUntraced(function* (does: string) {
  const folder = yield* TestFolder.make
  const write = (name: string, script: string) =>
    Fs.writeFileSync(Path.join(folder, name), `#!/bin/bash\n${script}\n`, { mode: 0o755 })
  write(
    "dockerd",
    `${does}\necho $$ >${folder}/new; mv ${folder}/new ${folder}/pid\nwhile :; do read -rt 1 <> <(:); done`
  )
  write("docker", `until [ -e ${folder}/pid ]; do sleep 0.01; done`)
  return { path: `${folder}:${process.env["PATH"]}`, pid: () => Fs.readFileSync(`${folder}/pid`, "utf8").trim() }
})

describe.skipIf(TestDocker.isMissing())("TestDocker", () => {
  it.live("runs containers, and ends with them", () =>
    Effect.gen(function* () {
      const { pid, socket } = yield* Effect.scoped(
        Effect.gen(function* () {
          const daemon = yield* TestDocker.make
          yield* daemon.docker("run", "--detach", "--name", "web", TestDocker.image, "/bin/busybox", "sleep", "600")
          assert.strictEqual((yield* daemon.docker("ps", "--format", "{{.Names}}")).trim(), "web")
          const found = Number(yield* daemon.docker("inspect", "--format", "{{.State.Pid}}", "web"))
          assert.isTrue(Fs.existsSync(`/proc/${found}`))
          return { socket: daemon.socket, pid: found }
        })
      )
      assert.isFalse(Fs.existsSync(socket))
      assert.isFalse(Fs.existsSync(`/proc/${pid}`))
    })
  )

  it.effect("a daemon that does not end when it is asked to is killed", () =>
    Effect.gen(function* () {
      const { path, pid } = yield* pretenders("trap '' TERM")
      const before = process.env["PATH"]
      yield* Effect.acquireRelease(
        Effect.sync(() => (process.env["PATH"] = path)),
        () => Effect.sync(() => (process.env["PATH"] = before))
      )
      const scope = yield* Scope.make()
      yield* Scope.provide(TestDocker.make, scope)
      assert.isTrue(Fs.existsSync(`/proc/${pid()}`))
      const ending = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      while (ending.pollUnsafe() === undefined) yield* TestClock.adjust("1 second")
      yield* Fiber.join(ending)
      assert.isFalse(Fs.existsSync(`/proc/${pid()}`))
    })
  )

  it.live("makes no folder in /etc, though its daemon writes there", () =>
    Effect.gen(function* () {
      const { path } = yield* pretenders("echo >/etc/docker/key.json")
      const code = `
        import * as Fs from "node:fs"
        import * as Effect from "effect/Effect"
        import * as TestDocker from "./src/TestDocker.ts"
        const look = () => Fs.existsSync("/etc/docker")
        const before = look()
        await Effect.runPromise(Effect.scoped(TestDocker.make))
        console.log(JSON.stringify([before, look()]))`
      // An /etc without the folder, which this machine may have.
      const lines = ["mount -t tmpfs tmpfs /mnt", "cp -a /etc/. /mnt", "rm -rf /mnt/docker", "mount --bind /mnt /etc"]
      const script = `${lines.join(" && ")} && exec "$@"`
      const run = [process.execPath, "--input-type=module", "-e", code]
      const { stderr, stdout } = ChildProcess.spawnSync("unshare", ["--mount", "bash", "-c", script, "bash", ...run], {
        cwd: Path.join(import.meta.dirname, ".."),
        env: { ...process.env, PATH: path },
        encoding: "utf8",
        timeout: 60_000
      })
      assert.strictEqual(stdout.trim(), "[false,false]", stderr)
    })
  )
})
