import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"

import * as OwnerSocket from "../src/internal/ownerSocket.ts"
import * as OwnerLock from "../src/OwnerLock.ts"
import * as ProcessIdentity from "../src/ProcessIdentity.ts"
import { descendants } from "../src/ProcessTable.ts"
import {
  cannotBeNobody,
  child,
  eventually,
  exitOf,
  fixture,
  identityOf,
  lookAsNobody,
  skip,
  stateOf,
  temporaryFolder
} from "./support.ts"

const namesIn = (folder: string) => Fs.readdirSync(folder).toSorted()
const socketsIn = (folder: string) => namesIn(folder).filter((name) => name.startsWith(".owner-"))

/** The path of a lock in a folder of its own. */
const place = Effect.map(temporaryFolder, (folder) => Path.join(folder, "gateway.lock"))

interface Content {
  readonly pidNamespace: string
  readonly socket?: { readonly name: string; readonly inode: string }
}
const contentOf = (path: string): Content => JSON.parse(Fs.readFileSync(path, "utf8"))
const socketOf = (path: string): string =>
  Path.join(Path.dirname(path), contentOf(path).socket?.name ?? assert.fail("there is no socket"))

/** Makes a lock one of another pid namespace, as if it had been taken there, or says more of it that is not so. */
const pretend = (path: string, fields: Readonly<Record<string, unknown>> = {}) =>
  Effect.sync(() => Fs.writeFileSync(path, JSON.stringify({ ...contentOf(path), pidNamespace: "1", ...fields })))

const proofOf = (path: string) =>
  Effect.map(OwnerLock.status(path), (status) => (status._tag === "Stale" ? `Stale: ${status.proof}` : status._tag))

const isStale = Effect.fnUntraced(function* (path: string) {
  assert.match(
    yield* proofOf(path),
    /^Stale: process \d+ in another container \(pid namespace \d+\) has ended: nobody listens on its socket$/
  )
})

/** Held, and not to be had or removed, which changes nothing. */
const isHeld = Effect.fnUntraced(function* (path: string) {
  const before = namesIn(Path.dirname(path))
  const content = Fs.readFileSync(path, "utf8")
  assert.strictEqual(yield* proofOf(path), "Held")
  const error = yield* Effect.flip(Effect.scoped(OwnerLock.take(path)))
  assert.match(error.message, /in another container \(pid namespace \d+\).*: end it there, or remove the file/)
  assert.match((yield* Effect.flip(OwnerLock.clearStale(path))).message, /is not stale: Held/)
  assert.deepStrictEqual(namesIn(Path.dirname(path)), before)
  assert.strictEqual(Fs.readFileSync(path, "utf8"), content)
})

/** Nothing is left once it was taken over and given back. */
const goesToUs = Effect.fnUntraced(function* (path: string) {
  const before = socketsIn(Path.dirname(path))
  const take = Effect.gen(function* () {
    yield* OwnerLock.take(path)
    const status = yield* OwnerLock.status(path)
    assert.strictEqual(status._tag === "Held" ? status.owner.pid : status._tag, process.pid)
    const now = socketsIn(Path.dirname(path))
    assert.lengthOf(now, Math.min(before.length, 1))
    for (const socket of before) assert.notInclude(now, socket)
  })
  yield* Effect.scoped(take)
  assert.deepStrictEqual(namesIn(Path.dirname(path)), [])
})

/** Whether it is gone with all its threads: the first is a zombie while others still have the socket. */
const hasEnded = (pid: number) => {
  const state = stateOf(pid)
  if (state !== "Z") return state === undefined
  try {
    return Fs.readdirSync(`/proc/${pid}/task`).length < 2
  } catch {
    return true
  }
}

/** A process that takes locks, one for each path it is given, and keeps them. */
const taker = Effect.fnUntraced(function* (...command: ReadonlyArray<string>) {
  const [program, ...args] = [...command, process.execPath, fixture("take-lock.mjs")] as const
  const running = yield* Effect.acquireRelease(
    Effect.sync(() => ChildProcess.spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] })),
    (spawned) => Effect.sync(() => spawned.kill("SIGKILL"))
  )
  let text = ""
  running.stdout.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
  const line = (index: number) =>
    eventually(
      `line ${index}`,
      Effect.sync(() => (text.split("\n").length > index + 1 ? text.split("\n")[index] : undefined))
    )
  assert.strictEqual(yield* line(0), "ready")
  let asked = 0
  const ask = (path: string) => {
    running.stdin.write(`${path}\n`)
    asked += 1
    return line(asked)
  }
  const pid = running.pid ?? assert.fail("it has no pid")
  // The Node in there, by the pid that it has here; it ends with who started it.
  const inside = (yield* descendants(pid))[0]?.pid ?? pid
  const kill = Effect.gen(function* () {
    process.kill(pid, "SIGKILL")
    yield* eventually(
      "it ends",
      Effect.sync(() => (hasEnded(inside) ? true : undefined))
    )
  })
  return { ask, kill, pid: inside }
})

const dead = Effect.fnUntraced(function* (path: string) {
  const owner = yield* taker()
  assert.strictEqual(yield* owner.ask(path), "won")
  yield* owner.kill
})

describe("the owner's socket", () => {
  it.live("proves nothing while the owner lives, and its death once it was killed", () =>
    Effect.gen(function* () {
      const path = yield* place
      const owner = yield* taker()
      assert.strictEqual(yield* owner.ask(path), "won")
      yield* pretend(path)
      yield* isHeld(path)
      yield* owner.kill
      yield* isStale(path)
      yield* goesToUs(path)
    })
  )

  it.live("comes before the lock, and goes after it", () =>
    Effect.gen(function* () {
      const path = yield* place
      const folder = Path.dirname(path)
      const seen: Array<string> = []
      const changes = yield* Effect.acquireRelease(
        Effect.sync(() => Fs.watch(folder, (_, name) => void seen.push(name ?? ""))),
        (watcher) => Effect.sync(() => watcher.close())
      )
      const scope = yield* Scope.make()
      yield* Scope.provide(OwnerLock.take(path), scope)
      const [socket = ""] = socketsIn(folder)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(namesIn(folder), [])
      Fs.writeFileSync(Path.join(folder, "end"), "")
      yield* eventually(
        "the end is seen",
        Effect.sync(() => (seen.includes("end") ? true : undefined))
      )
      changes.close()
      assert.isAtLeast(seen.indexOf(socket), 0)
      assert.isBelow(seen.indexOf(socket), seen.indexOf("gateway.lock"))
      assert.isAbove(seen.lastIndexOf(socket), seen.lastIndexOf("gateway.lock"))
    })
  )

  it.live("never proves the death of who takes the lock and gives it back all the time", () =>
    Effect.gen(function* () {
      const path = yield* place
      const busy = yield* child([fixture("keep-lock.mjs"), path, "again and again"])
      let looked = 0
      while (busy.process.exitCode === null) {
        const content = yield* Effect.promise(() => Fs.promises.readFile(path, "utf8").catch(() => ""))
        if (content === "") continue
        looked += 1
        const isProven = yield* OwnerSocket.isDeserted(path, content)
        // As OwnerLock does: an owner that gives it back removes the lock first.
        const now = yield* Effect.promise(() => Fs.promises.readFile(path, "utf8").catch(() => ""))
        assert.isFalse(isProven && now === content)
      }
      assert.strictEqual(busy.process.exitCode, 0)
      assert.isAbove(looked, 10)
      assert.deepStrictEqual(namesIn(Path.dirname(path)), [])
    })
  )

  const unproven: Readonly<Record<string, (path: string) => Effect.Effect<unknown>>> = {
    "a lock without one": (path) => pretend(path, { socket: undefined }),
    "a name that is not ours": (path) =>
      Effect.suspend(() => {
        Fs.renameSync(socketOf(path), Path.join(Path.dirname(path), "x.sock"))
        return pretend(path, { socket: { ...contentOf(path).socket, name: "x.sock" } })
      }),
    "a name in another folder": (path) =>
      Effect.suspend(() =>
        pretend(path, {
          socket: {
            ...contentOf(path).socket,
            name: `../${Path.basename(Path.dirname(path))}/${contentOf(path).socket?.name}`
          }
        })
      ),
    "a socket of another kind of text": (path) => pretend(path, { socket: "/run/x.sock" }),
    "one that was removed": (path) =>
      Effect.andThen(
        Effect.sync(() => Fs.unlinkSync(socketOf(path))),
        pretend(path)
      ),
    "a file in its place": (path) =>
      Effect.suspend(() => {
        Fs.rmSync(socketOf(path))
        Fs.writeFileSync(socketOf(path), "")
        const { dev, ino } = Fs.lstatSync(socketOf(path), { bigint: true })
        return pretend(path, { socket: { ...contentOf(path).socket, inode: `${dev}:${dev}:${ino}` } })
      }),
    "a symbolic link to it in its place": (path) =>
      Effect.suspend(() => {
        Fs.renameSync(socketOf(path), `${path}.aside`)
        Fs.symlinkSync(`${path}.aside`, socketOf(path))
        return pretend(path)
      }),
    "another file system, or a copy": (path) =>
      Effect.suspend(() => {
        const { name, inode = "" } = contentOf(path).socket ?? {}
        return pretend(path, { socket: { name, inode: inode.replace(/^\d+/, "9") } })
      }),
    "another socket in its place": (path) =>
      Effect.callback<void>((resume) => {
        const socket = socketOf(path)
        Fs.renameSync(socket, `${path}.aside`)
        const server = Net.createServer()
        server.listen(`${path}.other`, () => {
          Fs.renameSync(`${path}.other`, socket)
          server.close(() => resume(pretend(path)))
        })
      })
  }
  for (const [what, change] of Object.entries(unproven)) {
    it.live(`proves nothing: ${what}`, () =>
      Effect.gen(function* () {
        const path = yield* place
        yield* dead(path)
        yield* change(path)
        yield* isHeld(path)
      })
    )
  }

  it.live("proves nothing of another boot or where the boot is not known: those are other questions", () =>
    Effect.gen(function* () {
      const path = yield* place
      yield* dead(path)
      yield* pretend(path, { bootId: "00000000-0000-0000-0000-000000000000", host: "x" })
      const status = yield* OwnerLock.status(path)
      assert.deepInclude(status, { _tag: "Held", elsewhere: "on another machine (x)" })
      yield* pretend(path, { bootId: undefined })
      assert.strictEqual((yield* OwnerLock.status(path))._tag, "Held")
    })
  )

  it.live.skipIf(cannotBeNobody())(
    "proves nothing to whom it may not be asked, nor if it is not the lock's owner's",
    () =>
      Effect.gen(function* () {
        const path = yield* place
        yield* dead(path)
        yield* pretend(path)
        Fs.chmodSync(Path.dirname(path), 0o755)
        Fs.chmodSync(path, 0o644)
        const { value } = lookAsNobody("OwnerLock", `module.status(${JSON.stringify(path)})`)
        assert.deepInclude(value, { _tag: "Held" })
        yield* isStale(path)
        Fs.lchownSync(socketOf(path), 65534, 65534)
        yield* isHeld(path)
      })
  )

  it.live("is removed with the stale lock only if nobody listens", () =>
    Effect.gen(function* () {
      const path = yield* place
      const other = `${path}.other`
      yield* dead(path)
      yield* OwnerLock.take(other)
      const theirs = contentOf(other).socket
      // Dead by its pid, and it names the socket of a live owner.
      Fs.writeFileSync(path, JSON.stringify({ ...contentOf(path), socket: theirs }))
      yield* OwnerLock.clearStale(path)
      assert.include(namesIn(Path.dirname(path)), theirs?.name)
    })
  )

  it.live("is done without where its path would be too long", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      for (const [length, sockets] of [
        [83, 1],
        [84, 0]
      ] as const) {
        const path = Path.join(folder, "x".repeat(length - folder.length - 1), "gateway.lock")
        Fs.mkdirSync(Path.dirname(path))
        assert.lengthOf(Path.dirname(path), length)
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* OwnerLock.take(path)
            assert.lengthOf(socketsIn(Path.dirname(path)), sockets)
            assert.strictEqual((yield* Effect.flip(OwnerLock.take(path)))._tag, "OwnerLockError")
            yield* pretend(path)
            yield* isHeld(path)
            Fs.rmSync(path)
          })
        )
        assert.deepStrictEqual(namesIn(Path.dirname(path)), [])
        yield* dead(path)
        assert.match(yield* proofOf(path), /Stale: no process/)
        yield* goesToUs(path)
      }
    })
  )

  it.live("is not there when the lock was not to be had", () =>
    Effect.gen(function* () {
      const path = yield* place
      yield* OwnerLock.take(path)
      const before = namesIn(Path.dirname(path))
      yield* Effect.all(
        Array.from({ length: 10 }, () => Effect.flip(OwnerLock.take(path))),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(namesIn(Path.dirname(path)), before)
    })
  )

  for (const [how, code] of [
    ["has nothing else to do", 0],
    ["says so", 3],
    ["fails", 1]
  ] as const) {
    it.live(`lets a process end that ${how}, and proves its end`, () =>
      Effect.gen(function* () {
        const path = yield* place
        const { status, stderr } = ChildProcess.spawnSync(process.execPath, [fixture("keep-lock.mjs"), path, how], {
          encoding: "utf8",
          timeout: 20_000
        })
        assert.strictEqual(status, code, stderr)
        yield* pretend(path)
        yield* isStale(path)
        yield* goesToUs(path)
      })
    )
  }

  it.live("is the worker's own in a cluster: it does not end with its parent", () =>
    Effect.gen(function* () {
      const path = yield* place
      const parent = yield* child([
        fixture("keep-lock.mjs"),
        path,
        "in a worker that is too busy to see its parent end"
      ])
      const worker = yield* identityOf(Number(parent.line))
      yield* Effect.addFinalizer(() => Effect.ignore(ProcessIdentity.signal(worker, "SIGKILL")))
      parent.process.kill("SIGKILL")
      yield* exitOf(parent)
      yield* pretend(path)
      yield* isHeld(path)
      assert.isTrue(yield* ProcessIdentity.signal(worker, "SIGKILL"))
      yield* eventually(
        "it ends",
        Effect.sync(() => (hasEnded(worker.pid) ? true : undefined))
      )
      yield* isStale(path)
      yield* goesToUs(path)
    })
  )
})

const unshare = ["unshare", "--pid", "--net", "--fork", "--kill-child", "--mount-proc"] as const
const cannotUnshare = skip(
  ChildProcess.spawnSync("unshare", [...unshare.slice(1), "true"]).status !== 0,
  "this machine cannot make pid namespaces: run the tests as root"
)

const cannotMount = (type: string, ...mount: ReadonlyArray<string>) =>
  skip(
    ChildProcess.spawnSync("unshare", ["--mount", "mount", "-t", type, ...mount, "/mnt"]).status !== 0,
    `this machine cannot mount ${type}`
  )

/** What becomes of a connection. */
const connecting = (socket: string) =>
  Effect.callback<string>((resume) => {
    const connection = Net.connect(socket)
    connection.on("connect", () => {
      connection.destroy()
      resume(Effect.succeed("connected"))
    })
    connection.on("error", (error: NodeJS.ErrnoException) => resume(Effect.succeed(`${error.code}`)))
  })

describe.skipIf(cannotUnshare)("containers", () => {
  const container = taker(...unshare)

  it.live("and their host take no lock from each other, both ways", () =>
    Effect.gen(function* () {
      const path = yield* place
      const other = yield* container
      // Ours: in there is no such pid.
      yield* OwnerLock.take(path)
      assert.match((yield* other.ask(path)) ?? "", /^lost Held .* held by process \d+ in another container/)
      // Its: pid 1, which here is somebody else, whose start time is another.
      const its = `${path}.its`
      assert.strictEqual(yield* other.ask(its), "won")
      const status = yield* OwnerLock.status(its)
      assert.strictEqual(status._tag === "Held" ? status.owner.pid : status._tag, 1)
      const error = yield* Effect.flip(OwnerLock.take(its))
      assert.match(error.message, /held by process 1 in another container \(pid namespace \d+\)/)
    })
  )

  it.live("that are alive or frozen keep their lock; what was killed loses it, to its own successor too", () =>
    Effect.gen(function* () {
      const path = yield* place
      let owner = yield* container
      assert.strictEqual(yield* owner.ask(path), "won")
      yield* isHeld(path)
      const second = yield* container
      assert.match((yield* second.ask(path)) ?? "", /^lost Held .* held by process 1 in another container/)

      process.kill(owner.pid, "SIGSTOP")
      yield* eventually(
        "it is frozen",
        Effect.sync(() => (stateOf(owner.pid) === "T" ? true : undefined))
      )
      yield* isHeld(path)
      // More than the kernel lets wait, which then refuses in another way.
      for (let time = 0; time < 600; time += 1) assert.strictEqual(yield* proofOf(path), "Held")
      assert.strictEqual(yield* connecting(socketOf(path)), "EAGAIN")

      for (let restart = 0; restart < 3; restart += 1) {
        yield* owner.kill
        yield* isStale(path)
        owner = yield* container
        assert.strictEqual(yield* owner.ask(path), "won")
        assert.lengthOf(namesIn(Path.dirname(path)), 2)
      }
      yield* owner.kill
      yield* goesToUs(path)
    })
  )

  it.live("that are killed while they clear a stale lock do not keep others from it", () =>
    Effect.gen(function* () {
      const path = yield* place
      const owner = yield* container
      for (const taken of [path, `${path}.clearing`, `${path}.clearing.clearing`]) {
        assert.strictEqual(yield* owner.ask(taken), "won")
      }
      yield* owner.kill
      yield* goesToUs(path)
    })
  )

  /** A container with a file system of its own. */
  const mounting = (...mount: ReadonlyArray<string>) =>
    taker(...unshare, "--mount", "sh", "-c", `${mount.join(" ")} && exec "$@"`, "sh")
  it.live.skipIf(cannotMount("overlay", "overlay", "-o", "lowerdir=/usr:/etc"))(
    "that are alive refuse whom they see through another mount: that proves nothing",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const [lower, upper, work, merged] = ["lower", "upper", "work", "merged"].map((name) => {
          Fs.mkdirSync(Path.join(folder, name))
          return Path.join(folder, name)
        })
        const layers = `lowerdir=${lower},upperdir=${upper},workdir=${work}`
        const owner = yield* mounting("mount -t overlay overlay -o", layers, `${merged}`)
        assert.strictEqual(yield* owner.ask(`${merged}/gateway.lock`), "won")
        const there = `/proc/${owner.pid}/root${merged}/gateway.lock`
        assert.strictEqual(yield* connecting(socketOf(there)), "connected")
        const here = `${upper}/gateway.lock`
        assert.strictEqual(yield* connecting(socketOf(here)), "ECONNREFUSED")
        yield* isHeld(here)
        yield* owner.kill
        yield* isHeld(here)
      })
  )

  it.live.skipIf(cannotMount("ramfs", "ramfs"))("have no socket on a file system that is not known to be local", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const owner = yield* mounting("mount -t ramfs ramfs", folder)
      assert.strictEqual(yield* owner.ask(`${folder}/gateway.lock`), "won")
      assert.deepStrictEqual(namesIn(`/proc/${owner.pid}/root${folder}`), ["gateway.lock"])
    })
  )

  it.live(
    "race for the lock of a dead one: exactly one wins",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const paths = Array.from({ length: 15 }, (_, round) => Path.join(folder, `${round}`, "gateway.lock"))
        const first = yield* container
        for (const path of paths) {
          Fs.mkdirSync(Path.dirname(path))
          assert.strictEqual(yield* first.ask(path), "won")
        }
        yield* first.kill
        const racers = yield* Effect.all([container, container, container, taker()], { concurrency: "unbounded" })
        for (const path of paths) {
          const outcomes = yield* Effect.forEach(racers, ({ ask }) => ask(path), { concurrency: "unbounded" })
          assert.lengthOf(
            outcomes.filter((outcome) => outcome === "won"),
            1,
            outcomes.join("\n")
          )
          for (const outcome of outcomes) if (outcome !== "won") assert.match(outcome, /^lost Held /)
          assert.lengthOf(namesIn(Path.dirname(path)), 2)
        }
      }),
    120_000
  )
})
