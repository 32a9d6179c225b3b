/**
 * A real Docker daemon of the test's own, in a network and a mount namespace of its own: what its containers publish is
 * open to nobody. Gone with the scope.
 *
 * @since 0.1.0
 */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

import * as Binary from "./Binary.ts"
import { eventually } from "./Expect.ts"
import { end } from "./internal/server.ts"
import * as TestFolder from "./TestFolder.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface TestDocker {
  /** Where its API answers. */
  readonly socket: string
  /** The program `docker` with these arguments; its output. Dies when it fails. */
  readonly docker: (...args: ReadonlyArray<string>) => Effect.Effect<string>
  /** Its socket stays open and it answers nothing. */
  readonly freeze: Effect.Effect<void>
  readonly thaw: Effect.Effect<void>
}

/**
 * An image with BusyBox as `/bin/busybox` and nothing else.
 *
 * @category constants
 * @since 0.1.0
 */
export const image = "nexobot/busybox:test"

/**
 * Whether none can be started here, which takes root: the tests that need one are skipped then, except that a missing
 * program throws on CI.
 *
 * @category operations
 * @since 0.1.0
 */
export const isMissing = (): boolean => {
  const install = "apt-get install docker.io busybox-static"
  if (["dockerd", "docker", "busybox"].some((name) => Binary.skipWithout(name, install))) return true
  if (ChildProcess.spawnSync("unshare", ["--net", "--mount", "true"]).status === 0) return false
  process.stderr.write("skipped: no Docker daemon can be started here\n")
  return true
}

const program = (name: string): string => Binary.find(name) ?? name

/**
 * Every port is free there, and the settings of this machine's own daemon do not count. The daemon writes into their
 * folder: where this machine has none, it is made in a copy of /etc, as nothing else there is private.
 */
const script = `
set -e
ip link set lo up
if [ ! -d /etc/docker ]; then
  mkdir "$1/etc"
  mount -t tmpfs tmpfs "$1/etc"
  cp -a /etc/. "$1/etc"
  mkdir "$1/etc/docker"
  mount --bind "$1/etc" /etc
fi
mount -t tmpfs tmpfs /etc/docker
exec "$DOCKERD" --data-root "$1/data" --exec-root "$1/exec" -H "unix://$1/docker.sock" --pidfile "$1/pid" \\
  --storage-driver vfs >"$1/log" 2>&1
`

/** How long a daemon may take to end in order. It takes containerd with it, however it ends. */
const longestEnd = "10 seconds"

const endInTime = (running: ChildProcess.ChildProcess): Effect.Effect<void> =>
  Effect.timeoutOrElse(Effect.interruptible(end(running, "SIGTERM")), {
    duration: longestEnd,
    orElse: () => end(running, "SIGKILL")
  })

/** Of its threads, each of which stops for itself. */
const statesOf = (pid: number): ReadonlyArray<string> =>
  Fs.readdirSync(`/proc/${pid}/task`).flatMap((thread) => {
    try {
      const stat = Fs.readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8")
      return [stat.slice(stat.lastIndexOf(")") + 2).slice(0, 1)]
    } catch {
      return [] // it has ended
    }
  })

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<TestDocker, never, Scope.Scope> = Effect.gen(function* () {
  const folder = yield* TestFolder.make
  const socket = Path.join(folder, "docker.sock")
  const env = { ...process.env, DOCKERD: program("dockerd"), DOCKER_HOST: `unix://${socket}` }
  const running = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const started = ChildProcess.spawn("unshare", ["--net", "--mount", "bash", "-c", script, "bash", folder], {
        stdio: "ignore",
        env
      })
      started.once("error", () => undefined)
      return started
    }),
    endInTime
  )
  const run = (args: ReadonlyArray<string>, input?: Buffer) =>
    ChildProcess.spawnSync(program("docker"), args, {
      env,
      encoding: "utf8",
      ...(input === undefined ? {} : { input })
    })
  const docker = (args: ReadonlyArray<string>, input?: Buffer) =>
    Effect.suspend(() => {
      const { status, stderr, stdout } = run(args, input)
      return status === 0 ? Effect.succeed(stdout) : Effect.die(new Error(`docker ${args.join(" ")}: ${stderr}`))
    })
  yield* eventually(
    "Docker answers",
    Effect.suspend(() => {
      if (running.exitCode !== null) {
        return Effect.die(new Error(`dockerd ended: ${Fs.readFileSync(Path.join(folder, "log"), "utf8")}`))
      }
      return Effect.succeed(run(["version"]).status === 0 ? true : undefined)
    })
  )
  // Containers that do not listen to SIGTERM would hold up its end.
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      running.kill("SIGCONT")
      const ids = run(["ps", "--all", "--quiet"]).stdout.split("\n").filter(Boolean)
      if (ids.length > 0) run(["rm", "--force", ...ids])
    })
  )
  const root = Path.join(folder, "root", "bin")
  Fs.mkdirSync(root, { recursive: true })
  Fs.copyFileSync(program("busybox"), Path.join(root, "busybox"))
  const { stdout: tar } = ChildProcess.spawnSync("tar", ["-C", Path.dirname(root), "-c", "."], {
    maxBuffer: 100_000_000
  })
  yield* docker(["import", "-", image], tar)
  const { pid } = running
  return {
    socket,
    docker: (...args) => docker(args),
    freeze: Effect.andThen(
      Effect.sync(() => running.kill("SIGSTOP")),
      eventually(
        "all of its threads have stopped",
        Effect.sync(() => (pid === undefined || statesOf(pid).every((state) => state === "T") ? true : undefined))
      )
    ),
    thaw: Effect.sync(() => void running.kill("SIGCONT"))
  }
})
