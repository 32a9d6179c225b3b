import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import * as Binary from "../../testing/src/Binary.ts"
import { eventually } from "../../testing/src/Expect.ts"
import * as TestFolder from "../../testing/src/TestFolder.ts"
import * as TestProcess from "../../testing/src/TestProcess.ts"
import { script } from "../src/internal/guardianScript.ts"
import { ended } from "./containment.ts"

type Identity = ProcessIdentity.ProcessIdentity

/** A folder with these programs of busybox and no others. */
const busybox = Effect.fnUntraced(function* (...programs: ReadonlyArray<string>) {
  const folder = yield* TestFolder.make
  for (const program of programs) Fs.symlinkSync(Binary.find("busybox") ?? "", Path.join(folder, program))
  return folder
})

interface System {
  readonly name: string
  readonly needs: string
  readonly shell: readonly [string, ...ReadonlyArray<string>]
  readonly path: ReturnType<typeof busybox>
}

const usual = Effect.sync(() => process.env["PATH"] ?? "")

const systems: ReadonlyArray<System> = [
  { name: "dash", needs: "dash", shell: ["dash"], path: usual },
  { name: "dash without grep", needs: "busybox", shell: ["/bin/dash"], path: busybox("tr", "cat") },
  { name: "busybox", needs: "busybox", shell: ["busybox", "sh"], path: busybox("busybox", "tr", "cat", "grep") },
  { name: "busybox without grep", needs: "busybox", shell: ["busybox", "sh"], path: busybox("busybox", "tr", "cat") },
  { name: "bash", needs: "bash", shell: ["bash"], path: usual }
]

const mark = { id: `shells.${process.pid}`, supervisor: "1234567.89" }

/** Runs the guardian, tells it these lines, and is gone. */
const bereaved = Effect.fnUntraced(function* ({ path, shell }: System, ...lines: ReadonlyArray<string>) {
  const [program, ...options] = shell
  const PATH = yield* path
  const guardian = spawn(
    Binary.find(program) ?? program,
    [...options, "-c", 'eval "$NEXO_GUARDIAN"', "nexo-guardian", mark.id, mark.supervisor],
    { env: { PATH, NEXO_GUARDIAN: script }, stdio: ["pipe", "ignore", "ignore"] }
  )
  guardian.stdin.end(lines.map((line) => `${line}\n`).join(""))
  return yield* ended(guardian)
})

/** A process with a group and session of its own, and this environment. */
const started = Effect.fnUntraced(function* (env: Readonly<Record<string, string>>, command = "/bin/sleep") {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => spawn(command, ["600"], { detached: true, env, stdio: "ignore" })),
    (running) =>
      Effect.andThen(
        Effect.sync(() => running.pid !== undefined && running.kill("SIGKILL")),
        ended(running)
      )
  )
  return yield* TestProcess.identityOf(child.pid)
})

const marked = (name: string, { id, supervisor } = mark) => started({ NEXO_SUPERVISED: `${id}/${name}/${supervisor}` })

const isGone = (identity: Identity) =>
  eventually(
    `${identity.pid} is gone`,
    Effect.map(ProcessIdentity.isAlive(identity), (alive) => (alive ? undefined : true))
  )

const allAlive = (identities: ReadonlyArray<Identity>) =>
  Effect.forEach(identities, (identity) =>
    Effect.map(ProcessIdentity.isAlive(identity), (alive) => assert.isTrue(alive))
  )

for (const system of systems) {
  describe.skipIf(Binary.skipWithout(system.needs, `apt-get install --no-install-recommends ${system.needs}`))(
    `the guardian in ${system.name}`,
    () => {
      it.live("ends what it was told of and what bears the mark, and nobody else", () =>
        Effect.gen(function* () {
          const folder = yield* TestFolder.make
          const killFile = Path.join(folder, "a folder's file")
          Fs.writeFileSync(killFile, "")
          // Its name is as misleading as can be to whoever counts the fields of /proc/<pid>/stat.
          const odd = Path.join(folder, "a) S 1 (\n*) b")
          Fs.symlinkSync("/bin/sleep", odd)
          const told = [yield* started({}), yield* started({}, odd)]
          const bearers = [yield* marked("a"), yield* marked("b.c:d@e-f_g")]
          const removed = yield* started({})
          const others = [
            removed,
            yield* marked("kept"),
            yield* marked("kept-2"),
            yield* marked("a", { ...mark, id: "shellsX1" }),
            yield* marked("a", { ...mark, id: mark.id.replace(".", "x") }),
            yield* marked("a", { ...mark, supervisor: "1234567.890" }),
            yield* marked("a", { ...mark, supervisor: "234567.89" }),
            yield* marked("a/b"),
            yield* started({ OTHER: `\nNEXO_SUPERVISED=${mark.id}/a/${mark.supervisor}` }),
            yield* started({ XNEXO_SUPERVISED: `${mark.id}/a/${mark.supervisor}` })
          ]
          const [plus, minus] = ["+", "-"].map(
            (op) =>
              ({ pid, startTime }: Identity) =>
                `${op} ${pid} ${startTime}`
          )
          assert.isDefined(plus)
          assert.isDefined(minus)
          yield* bereaved(
            system,
            "= another",
            ...told.map((one, index) => (index === 0 ? `${plus(one)} ${killFile}` : plus(one))),
            plus(removed),
            minus({ ...removed, startTime: removed.startTime + 1 }),
            minus(removed),
            "= kept other kept-2 kept-3"
          )
          yield* Effect.forEach([...told, ...bearers], isGone)
          yield* allAlive(others)
          assert.strictEqual(Fs.readFileSync(killFile, "utf8").trim(), "1")
        })
      )

      it.live("ends with nothing done when the supervisor ends in good order", () =>
        Effect.gen(function* () {
          const told = yield* started({})
          const bearer = yield* marked("a")
          assert.strictEqual((yield* bereaved(system, `+ ${told.pid} ${told.startTime}`, "q")).code, 0)
          yield* allAlive([told, bearer])
        })
      )

      it.effect.prop(
        "never signals a stranger that has a number of ours now",
        { off: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100_000 })), later: Schema.Boolean },
        ({ later, off }) =>
          Effect.gen(function* () {
            // It leads a group, as ours do.
            const stranger = yield* started({})
            const startTime = stranger.startTime + (later ? off : -off)
            yield* bereaved(system, `+ ${stranger.pid} ${startTime}`, `+ ${stranger.pid} `, `+ ${stranger.pid} x y`)
            yield* allAlive([stranger])
          }).pipe(Effect.scoped),
        { arbitrary: { runs: 5 } }
      )
    }
  )
}
