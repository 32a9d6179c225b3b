import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Readline from "node:readline"
import { fileURLToPath } from "node:url"

import { assert, describe, it } from "@effect/vitest"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { ProcessTable } from "@nexobot/core/ProcessTable"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import * as Binary from "../../testing/src/Binary.ts"
import { eventually } from "../../testing/src/Expect.ts"
import * as TestFolder from "../../testing/src/TestFolder.ts"
import * as TestProcess from "../../testing/src/TestProcess.ts"
import { answering } from "../../testing/src/TestProcessTable.ts"
import * as Containment from "../src/Containment.ts"
import { userFor } from "../src/internal/containment/container.ts"
import { folderIn, parseMounts, parseOwn } from "../src/internal/containment/controlGroups.ts"
import * as Containers from "../src/internal/containment/index.ts"
import { type Contained, ended, freshLife, named, run, skipWithoutTier } from "./containment.ts"

const idle = ["sleep", "600"] as const

/** The first line that a program says. */
const line = ({ child }: Contained) =>
  Effect.callback<string>((resume) => {
    const { stdout } = child
    if (stdout === null) return resume(Effect.die(new Error("it has no stdout")))
    Readline.createInterface({ input: stdout }).once("line", (text) => resume(Effect.succeed(text)))
  })

const out = ["ignore", "pipe", "inherit"] as const

const Json = Schema.fromJsonString(Schema.Record(Schema.String, Schema.String))

let markers = 0

/** Seconds that nobody else sleeps. */
const marker = () => `6${process.pid}.${++markers}`

const atLeast = (count: number, words: string) =>
  eventually(
    `${count} have ${words}`,
    Effect.map(named(words, true), (pids) => (pids.length >= count ? pids : undefined))
  )

/** Two hundred processes in a second, each of which leaves group, session, parent and environment. */
const bomb = (words: string) =>
  `i=0; while [ $i -lt 200 ]; do i=$((i+1)); setsid env -i sh -c 'sleep ${words} &'; sleep 0.005; done; wait`

const missing = { cgroup: await skipWithoutTier("cgroup"), "pid-namespace": await skipWithoutTier("pid-namespace") }

describe("what a tier holds", () => {
  for (const tier of ["cgroup", "pid-namespace"] as const) {
    describe.skipIf(missing[tier])(tier, () => {
      it.live(
        "acceptance(process-supervisor 7): nothing is left of a grandchild that left by setsid and a double fork",
        () =>
          Effect.gen(function* () {
            const words = marker()
            const bystander = yield* TestProcess.idle
            const { child, container } = yield* run(tier, [
              "sh",
              "-c",
              `setsid env -i sh -c 'sleep ${words} &'; exec sleep 600`
            ])
            const [escaped = 0] = yield* atLeast(1, `sleep ${words}`)
            const members = yield* container.members
            assert.include(members, escaped)
            assert.notInclude(members, bystander.pid)
            assert.isTrue(yield* container.kill)
            assert.deepStrictEqual(yield* ended(child), { code: null, signal: "SIGKILL" })
            assert.deepStrictEqual(yield* named(words), [])
            assert.deepStrictEqual(yield* container.members, [])
            assert.isUndefined(yield* container.main)
            assert.isTrue(yield* ProcessIdentity.isAlive(bystander))
          })
      )

      it.live("ends a fork bomb, and whatever it has let off, in one step", () =>
        Effect.gen(function* () {
          const words = marker()
          const { container } = yield* run(tier, ["sh", "-c", bomb(words)])
          yield* atLeast(40, `sleep ${words}`)
          assert.isTrue(yield* container.kill)
          assert.deepStrictEqual(yield* named(words), [])
        })
      )

      it.live("lets SIGTERM reach the program, which drains, and its exit code through", () =>
        Effect.gen(function* () {
          const code = 'process.on("SIGTERM", () => process.exit(5)); setInterval(() => {}, 1e6); console.log("ready")'
          const contained = yield* run(tier, [process.execPath, "-e", code], { stdio: [...out] })
          assert.strictEqual(yield* line(contained), "ready")
          const main = yield* contained.container.main
          assert.isDefined(main)
          assert.strictEqual(main.pid === contained.identity.pid, tier === "cgroup")
          assert.isTrue(yield* ProcessIdentity.signal(main, "SIGTERM"))
          const end = yield* ended(contained.child)
          assert.deepStrictEqual(contained.container.endOf(end, new Set(["SIGTERM"])), { code: 5, signal: null })
        })
      )

      it.live("says truly how the program ended", () =>
        Effect.gen(function* () {
          const plain = yield* run(tier, ["sh", "-c", "read word; exit 143"], { stdio: "pipe" })
          plain.child.stdin?.end()
          assert.deepStrictEqual(plain.container.endOf(yield* ended(plain.child)), { code: 143, signal: null })
          const killed = yield* run(tier, [...idle])
          const main = yield* eventually("it runs", killed.container.main)
          yield* ProcessIdentity.signal(main, "SIGKILL")
          const end = killed.container.endOf(yield* ended(killed.child), new Set(["SIGKILL"]))
          assert.deepStrictEqual(end, { code: null, signal: "SIGKILL" })
        })
      )

      it.live("runs it as another user, with its descriptors, and ends it all the same", () =>
        Effect.gen(function* () {
          const words = marker()
          const life = { ...freshLife(), uid: 65534, gid: 65534 }
          const command = `id -u; id -g; id -G; echo ready >&3; sleep ${words}`
          const { child, container } = yield* run(tier, ["sh", "-c", command], {
            life,
            stdio: ["ignore", "pipe", "inherit", "pipe"]
          })
          const texts = yield* Effect.callback<ReadonlyArray<string>>((resume) => {
            const said: Array<string> = []
            child.stdout?.on("data", (chunk: Buffer) => said.push(chunk.toString()))
            child.stdio[3]?.once("data", (chunk: Buffer) => resume(Effect.succeed([said.join(""), chunk.toString()])))
          })
          assert.deepStrictEqual(texts, ["65534\n65534\n65534\n", "ready\n"])
          yield* atLeast(1, `sleep ${words}`)
          assert.isTrue(yield* container.kill)
          assert.deepStrictEqual(yield* named(words), [])
        })
      )

      it.live("hands on every variable, whatever its name", () =>
        Effect.gen(function* () {
          const env = { PATH: process.env["PATH"], "log.level": "debug", "x-y": "1", BASH_ENV: "/dev/full" }
          const code = "console.log(JSON.stringify(process.env))"
          const contained = yield* run(tier, [process.execPath, "-e", code], { env, stdio: [...out] })
          assert.deepInclude(yield* Schema.decodeUnknownEffect(Json)(yield* line(contained)), env)
        })
      )

      it.live.skipIf(Binary.skipWithout("setpriv", "apt-get install --no-install-recommends util-linux"))(
        "gives up the supervisor's further groups also when only the user is told",
        () =>
          Effect.gen(function* () {
            const container = yield* Effect.acquireRelease(
              Containers.make(tier, { ...freshLife(), uid: 65534 }),
              (made) => Effect.andThen(made.kill, made.release)
            )
            const { args, command } = container.wrap("sh", ["-c", "id -u; id -G"])
            const said = yield* Effect.callback<string>((resume) => {
              execFile("setpriv", ["--groups=0,4,27", "--", command, ...args], (_, text) =>
                resume(Effect.succeed(text))
              )
            })
            assert.strictEqual(said, "65534\n0\n")
          })
      )

      it.live("is found again by a later supervisor", () =>
        Effect.gen(function* () {
          const words = marker()
          const life = freshLife()
          const { child, identity } = yield* run(tier, ["sh", "-c", `sleep ${words} & sleep ${words}`], { life })
          const pids = yield* atLeast(2, `sleep ${words}`)
          const adopted = yield* Containers.adopt(tier, identity, life)
          assert.isDefined(adopted)
          assert.includeMembers([...(yield* adopted.members)], pids.slice(0, 2))
          assert.isTrue(yield* adopted.kill)
          yield* ended(child)
          assert.deepStrictEqual(yield* named(words), [])
          yield* adopted.release
        })
      )
    })
  }
})

/** The folder of a life in the control groups of version 2. */
const folderOf = ({ container }: Pick<Contained, "container">) => Path.dirname(container.killFile ?? "")

const entered = ({ container }: Contained) =>
  eventually(
    "it has entered",
    Effect.map(container.members, (pids) => (pids.length > 0 ? true : undefined))
  )

describe.skipIf(missing.cgroup)("cgroup", () => {
  it.live("makes a folder for each life and removes what is empty, with that of the supervisor", () =>
    Effect.gen(function* () {
      const life = { ...freshLife(), id: `folders-${process.pid}` }
      const contained = yield* run("cgroup", idle, { life })
      const folder = folderOf(contained)
      assert.match(folder, new RegExp(`/nexo-${life.id}/app\\.${life.life}$`))
      yield* contained.container.release
      assert.isTrue(Fs.existsSync(folder), "somebody is in it, or on his way")
      yield* entered(contained)
      yield* contained.container.release
      assert.isTrue(Fs.existsSync(folder), "somebody is in it")
      // What an earlier supervisor left is not taken over while somebody is in it …
      const namesake = yield* Containers.make("cgroup", life)
      assert.strictEqual(folderOf({ container: namesake }), `${folder}~1`)
      yield* namesake.release
      Fs.mkdirSync(Path.join(folder, "of-its-own"))
      yield* Containers.removeLeft(life.id)
      assert.isTrue(Fs.existsSync(folder))
      assert.isTrue(yield* contained.container.kill)
      // … and is removed, with what the program made in it, when nobody is.
      Fs.mkdirSync(Path.join(folder, "of-its-own"))
      yield* ended(contained.child)
      const successor = yield* Containers.make("cgroup", life)
      assert.strictEqual(folderOf({ container: successor }), folder)
      assert.isFalse(Fs.existsSync(Path.join(folder, "of-its-own")))
      yield* Containers.removeLeft(life.id)
      assert.isFalse(Fs.existsSync(Path.dirname(folder)))
    })
  )

  it.live("ends one that is on its way into an empty group, and does not remove the group before that", () =>
    Effect.gen(function* () {
      const container = yield* Effect.acquireRelease(Containers.make("cgroup", freshLife()), (made) => made.release)
      const late = yield* TestProcess.idle
      container.started(late)
      yield* container.release
      assert.isTrue(Fs.existsSync(folderOf({ container })))
      assert.isTrue(yield* container.kill)
      assert.isFalse(yield* ProcessIdentity.isAlive(late))
    })
  )

  it.live("does not run a program that cannot enter", () =>
    Effect.gen(function* () {
      const scratch = yield* TestFolder.make
      const file = Path.join(scratch, "ran")
      const container = yield* Containers.make("cgroup", freshLife())
      yield* container.release
      const { args, command } = container.wrap("touch", [file])
      const code = yield* Effect.callback<unknown>((resume) => {
        execFile(command, args, (error) => resume(Effect.succeed(error?.code)))
      })
      assert.strictEqual(code, 125)
      assert.isFalse(Fs.existsSync(file))
    })
  )

  it.live("fails, and says what to do, when the kernel allows no more groups", () =>
    Effect.gen(function* () {
      const life = { ...freshLife(), id: `full-${process.pid}` }
      const first = yield* Effect.acquireRelease(Containers.make("cgroup", life), (made) => made.release)
      Fs.writeFileSync(Path.join(Path.dirname(folderOf({ container: first })), "cgroup.max.descendants"), "1")
      const error = yield* Effect.flip(Containers.make("cgroup", { ...life, life: life.life + 1000 }))
      assert.deepInclude(error.reason, { _tag: "Failed", code: "EAGAIN" })
      assert.include(error.message, "cgroup.max.descendants")
    })
  )

  it.live("counts what the kernel killed for want of memory", () =>
    Effect.gen(function* () {
      const life = { ...freshLife(), memoryLimit: 48 * 1024 * 1024 }
      const greedy = "const all = []; for (;;) all.push(Buffer.alloc(4_000_000, 1))"
      const { child, container } = yield* run("cgroup", [process.execPath, "-e", greedy], { life })
      if ((yield* container.oomKills) === undefined) {
        process.stderr.write("skipped: no memory controller here\n")
        return
      }
      assert.deepStrictEqual(yield* ended(child), { code: null, signal: "SIGKILL" })
      assert.strictEqual(yield* container.oomKills, 1)
    })
  )
})

describe.skipIf(missing["pid-namespace"])("pid-namespace", () => {
  it.live("shows the program a table of processes in which it is the first", () =>
    Effect.gen(function* () {
      const contained = yield* run("pid-namespace", ["sh", "-c", 'echo "$$ $(readlink /proc/self)"; sleep 600'], {
        stdio: [...out]
      })
      assert.match(yield* line(contained), /^1 [2-9]$/)
    })
  )

  it.live("signals nobody who has got a number of it since", () =>
    Effect.gen(function* () {
      const { container, identity } = yield* run("pid-namespace", idle)
      yield* eventually("it runs", container.main)
      const table = yield* ProcessTable
      const killed: Array<number> = []
      const reused = answering({
        stat: (pid) => Effect.map(table.stat(pid), (stat) => stat && { ...stat, startTime: stat.startTime + 1 }),
        kill: (pid) => Effect.sync(() => killed.push(pid) > 0)
      })
      yield* reused(container.kill)
      assert.isUndefined(yield* reused(container.main))
      assert.deepStrictEqual(killed, [])
      assert.isTrue(yield* ProcessIdentity.isAlive(identity))
    })
  )

  it.live("takes no child of whoever has the number of `unshare` for the program", () =>
    Effect.gen(function* () {
      const parent = yield* TestProcess.start("sh", "-c", "sleep 600; exit")
      const child = yield* eventually(
        "it has a child",
        Effect.map((yield* ProcessTable).all, (all) => all.find((stat) => stat.parent === parent.pid))
      )
      const { bootId } = parent
      const identity = { pid: child.pid, startTime: child.startTime, bootId }
      yield* Effect.addFinalizer(() => Effect.orDie(ProcessIdentity.signal(identity, "SIGKILL")))
      const container = yield* Containers.make("pid-namespace", freshLife())
      container.started({ ...parent, startTime: parent.startTime - 1 })
      assert.isUndefined(yield* container.main)
      assert.isFalse(yield* container.kill)
      assert.isTrue(yield* ProcessIdentity.isAlive(parent))
    })
  )
})

describe("group", () => {
  it.live("leaves everything as it is, and the user to who spawns", () =>
    Effect.gen(function* () {
      const container = yield* Containers.make("group", { ...freshLife(), uid: 1, gid: 2 })
      assert.deepStrictEqual(container.wrap("a", ["b"]), { command: "a", args: ["b"], uid: 1, gid: 2 })
      assert.isFalse(yield* container.kill)
      assert.deepStrictEqual(yield* container.members, [])
    })
  )
})

const Capabilities = Schema.fromJsonString(
  Schema.Array(
    Schema.Struct({ tier: Schema.String, available: Schema.Boolean, why: Schema.optionalKey(Schema.String) })
  )
)

/** What another process, in other circumstances, says of the tiers. */
const capabilities = (options: { readonly uid?: number; readonly gid?: number; readonly PATH?: string }) => {
  const fixture = fileURLToPath(new URL("fixtures/capabilities.ts", import.meta.url))
  const { PATH = process.env["PATH"] ?? "", ...user } = options
  return Effect.callback<string>((resume) => {
    execFile(process.execPath, [fixture], { ...user, env: { PATH } }, (error, stdout) => {
      resume(error === null ? Effect.succeed(stdout) : Effect.die(error))
    })
  }).pipe(Effect.flatMap(Schema.decodeEffect(Capabilities)))
}

describe("what is available", () => {
  it.live("is each tier or why it is not", () =>
    Effect.gen(function* () {
      const all = yield* Containment.available
      assert.deepStrictEqual(
        all.map((one) => one.tier),
        [...Containment.tiers]
      )
      assert.isTrue(all[0]?.available)
      for (const one of all) if (!one.available) assert.isNotEmpty(one.why)
    })
  )

  it.live.skipIf(process.getuid?.() !== 0)("takes no rights to stay who one is", () =>
    Effect.gen(function* () {
      const url = new URL("../src/internal/containment/container.ts", import.meta.url).href
      const code = `import { userFor } from "${url}"
        const of = (uid, gid) => userFor({ id: "a", name: "b", life: 1, uid, gid })
        console.log(JSON.stringify([of(65534, 65534), of(1, 65534), of(65534, 1)]))`
      const text = yield* Effect.callback<string>((resume) => {
        const user = { uid: 65534, gid: 65534 }
        execFile(process.execPath, ["--input-type=module", "-e", code], user, (_, stdout) =>
          resume(Effect.succeed(stdout))
        )
      })
      assert.strictEqual(text, '[{},{"uid":1},{"gid":1}]\n')
      // Root has further groups to give up.
      assert.deepStrictEqual(userFor({ ...freshLife(), uid: 0, gid: 0 }), { uid: 0, gid: 0 })
    })
  )

  it.live.skipIf(process.getuid?.() !== 0)("is less for a user who may not, and it says what to do", () =>
    Effect.gen(function* () {
      const [group, cgroup, namespace] = yield* capabilities({ uid: 65534, gid: 65534 })
      assert.deepStrictEqual(group, { tier: "group", available: true })
      assert.include(cgroup?.why, "Delegate=yes")
      assert.include(namespace?.why, "CAP_SYS_ADMIN")
    })
  )
})

const Word = Schema.String.check(Schema.isPattern(/^[a-z0-9 \\.:-]{1,12}$/))
const octal = (text: string) => text.replace(/[ \\]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, "0")}`)

describe("the kernel's tables", () => {
  it.effect.prop("give back every path", [Word, Word, Word], ([root, path, own]) =>
    Effect.sync(() => {
      // That is what is above, and no group's name.
      if (root === "..") return
      const text = `31 23 0:28 / /sys rw - tmpfs tmpfs rw\n41 31 0:38 /${octal(root)} /${octal(path)} rw shared:1 - cgroup2 cgroup2 rw\n`
      const [, mount] = parseMounts(text)
      assert.deepStrictEqual(mount, { root: `/${root}`, path: `/${path}`, type: "cgroup2", options: ["rw"] })
      if (mount === undefined) return
      assert.strictEqual(folderIn(mount, `/${root}/${own}`), `/${path}/${own}`)
      assert.strictEqual(folderIn(mount, `/${root}`), `/${path}`)
      assert.isUndefined(folderIn(mount, `/${root}x/${own}`))
      assert.isUndefined(folderIn(mount, `/../${own}`))
      assert.isUndefined(folderIn({ ...mount, root: "/" }, "/.."))
      assert.strictEqual(folderIn({ ...mount, root: "/" }, `/..${own}/x`), `/${path}/..${own}/x`)
      assert.strictEqual(folderIn({ ...mount, root: "/" }, "/"), `/${path}`)
      assert.deepStrictEqual(
        [...parseOwn(`9:name=systemd:/x\n5:memory,pids:/${own}\n0::/${own}:a\n`)],
        [
          ["name=systemd", "/x"],
          ["memory", `/${own}`],
          ["pids", `/${own}`],
          ["", `/${own}:a`]
        ]
      )
    })
  )

  it.effect.prop("may be any text", [Schema.String], ([text]) =>
    Effect.sync(() => {
      parseMounts(text)
      parseOwn(text)
    })
  )
})
