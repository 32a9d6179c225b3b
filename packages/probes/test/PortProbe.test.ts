import { assert, describe, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import type * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { ProcessTable, Unsupported } from "@nexobot/core/ProcessTable"
import * as Redaction from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"
import { refusal } from "@nexobot/testing/Expect"
import * as ProcessFault from "@nexobot/testing/ProcessFault"
import { idle, listener } from "@nexobot/testing/TestProcess"
import * as TestProcessControl from "@nexobot/testing/TestProcessControl"
import * as TestProcessTable from "@nexobot/testing/TestProcessTable"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"

import * as PortProbe from "../src/PortProbe.ts"
import { probeContract } from "./ProbeContract.ts"
import { freePort, provided, signatureOf } from "./support.ts"

type Identity = ProcessIdentity.ProcessIdentity

/** The probe of "web", whose child and whose orphans these are. */
const probing = (port: number, identity: Identity | undefined, orphans: ReadonlyArray<Identity> = []) =>
  provided(
    PortProbe.make({ name: "port", port, process: "web" }),
    TestProcessControl.readOnly({ web: { identity, orphans }, other: {} })
  )

const make = (options: Partial<PortProbe.PortProbeOptions> = {}) =>
  PortProbe.make({ name: "port", port: 80, process: "web", ...options })

describe("PortProbe", () => {
  it.live("nobody listens: healthy", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* probing(yield* freePort, undefined).check, Verdict.healthy)
    })
  )

  it.live("its own process listens: healthy", () =>
    Effect.gen(function* () {
      const { identity, port } = yield* listener()
      assert.deepStrictEqual(yield* probing(port, identity).check, Verdict.healthy)
    })
  )

  it.live("all is well: nobody but its own process is looked at", () =>
    Effect.gen(function* () {
      const { identity, port } = yield* listener()
      const probes = [probing(port, identity), probing(yield* freePort, identity)]
      const everybody = TestProcessTable.answering({ all: Effect.die(new Error("the whole table was read")) })
      for (const probe of probes) assert.deepStrictEqual(yield* everybody(probe.check), Verdict.healthy)
    })
  )

  it.live("a process that has its child's pid by now is no child", () =>
    Effect.gen(function* () {
      const { identity, port } = yield* listener()
      const earlier = { ...identity, startTime: identity.startTime - 1 }
      const verdict = yield* probing(port, earlier).check
      assert.deepInclude(signatureOf(verdict), { _tag: "Port/HeldByForeigner", pid: identity.pid })
    })
  )

  it.live("a child of its process listens: healthy", () =>
    Effect.gen(function* () {
      const { child, identity, port } = yield* listener({ shared: true })
      assert.isDefined(child)
      assert.deepStrictEqual(yield* probing(port, identity).check, Verdict.healthy)
    })
  )

  it.live("whoever shares the port with its process is no obstacle", () =>
    Effect.gen(function* () {
      const own = yield* listener()
      yield* listener({ port: own.port })
      assert.deepStrictEqual(yield* probing(own.port, own.identity).check, Verdict.healthy)
    })
  )

  it.live("a process left behind listens: HeldByOrphan", () =>
    Effect.gen(function* () {
      const { identity: holder, port } = yield* listener()
      assert.deepStrictEqual(
        yield* probing(port, undefined, [holder]).check,
        Verdict.unhealthy(new PortProbe.HeldByOrphan({ port, holder }), [
          `port ${port} is held by ${holder.pid}, left behind by web`
        ])
      )
    })
  )

  it.live("a frozen child whose parent was killed is an orphan like any other", () =>
    Effect.gen(function* () {
      const { identity, port } = yield* listener({ shared: true })
      const orphans = yield* ProcessFault.orphanHoldingPort(identity, port)
      const found = signatureOf(yield* probing(port, undefined, orphans).check)
      assert.deepStrictEqual(
        orphans.map((holder) => new PortProbe.HeldByOrphan({ port, holder })),
        [found]
      )
    })
  )

  it.live("an orphan of another supervised process is named as its", () =>
    Effect.gen(function* () {
      const { identity, port } = yield* listener()
      const control = TestProcessControl.readOnly({ web: {}, other: { orphans: [identity] } })
      const verdict = yield* provided(PortProbe.make({ name: "port", port, process: "web" }), control).check
      assert.deepInclude(verdict, { evidence: [`port ${port} is held by ${identity.pid}, left behind by other`] })
    })
  )

  it.live("a stranger listens: HeldByForeigner, with its command line", () =>
    Effect.gen(function* () {
      const { identity, port } = yield* listener()
      const table = yield* ProcessTable
      const command = (yield* table.commandLine(identity.pid)).slice(0, 200)
      assert.include(command, process.execPath)
      assert.deepStrictEqual(
        yield* probing(port, undefined).check,
        Verdict.unhealthy(new PortProbe.HeldByForeigner({ port, pid: identity.pid, command }), [
          `port ${port} is held by ${identity.pid}: ${command}`
        ])
      )
    })
  )

  it.live("another supervised process that runs is no orphan", () =>
    Effect.gen(function* () {
      const { identity, port } = yield* listener()
      const control = TestProcessControl.readOnly({ web: {}, other: { identity } })
      const verdict = yield* provided(PortProbe.make({ name: "port", port, process: "web" }), control).check
      assert.deepInclude(signatureOf(verdict), { _tag: "Port/HeldByForeigner", pid: identity.pid })
    })
  )

  it.live("an orphan and a stranger: the stranger counts, whoever was there first", () =>
    Effect.gen(function* () {
      const a = yield* listener()
      const b = yield* listener({ port: a.port })
      for (const [orphan, stranger] of [
        [a, b],
        [b, a]
      ] as const) {
        const verdict = yield* probing(a.port, undefined, [orphan.identity]).check
        assert.deepInclude(signatureOf(verdict), { _tag: "Port/HeldByForeigner", pid: stranger.identity.pid })
      }
    })
  )

  it.live("a command line is redacted and not endless", () =>
    Effect.gen(function* () {
      const { port } = yield* listener()
      const verdict = yield* probing(port, undefined).check.pipe(
        TestProcessTable.answering({ commandLine: () => Effect.succeed(`app --key hunter2 ${"a".repeat(100_000)}`) }),
        Effect.provideService(Redaction.Redactor, Redaction.make(["hunter2"]))
      )
      assert.notInclude(JSON.stringify(verdict), "hunter2")
      assert.isBelow(JSON.stringify(verdict).length, 1000)
    })
  )

  it.live("a holder that cannot be seen is a stranger, beside an orphan too", () =>
    Effect.gen(function* () {
      const orphan = yield* listener()
      const hidden = yield* listener({ port: orphan.port })
      const table = yield* ProcessTable
      const sockets = (pid: number) =>
        pid === hidden.identity.pid ? Effect.succeed(new Set<string>()) : table.sockets(pid)
      const verdict = yield* TestProcessTable.answering({ sockets })(
        probing(orphan.port, undefined, [orphan.identity]).check
      )
      assert.deepStrictEqual(
        signatureOf(verdict),
        new PortProbe.HeldByForeigner({ port: orphan.port, command: "a process that cannot be seen" })
      )
    })
  )

  it.live("what cannot be read for want of file descriptors says nothing", () =>
    Effect.gen(function* () {
      const { port } = yield* listener()
      const failing = Effect.fail(new Unsupported({ feature: "reading", platform: "linux", code: "EMFILE" }))
      for (const answers of [{ listening: () => failing }, { all: failing }, { sockets: () => failing }]) {
        assert.deepStrictEqual(
          yield* TestProcessTable.answering(answers)(probing(port, undefined).check),
          Verdict.inconclusive("reading: /proc could not be read (EMFILE)")
        )
      }
    })
  )

  it.live("a listener that is gone at the second look is nobody", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      let looks = 0
      const listening = () =>
        Effect.sync(() => {
          looks += 1
          // The child's, then everybody's.
          return looks <= 2 ? [{ protocol: "tcp" as const, address: "127.0.0.1", port, inode: "1" }] : []
        })
      const verdict = yield* TestProcessTable.answering({ listening })(probing(port, undefined).check)
      assert.deepStrictEqual([verdict, looks], [Verdict.healthy, 3])
    })
  )

  it.live("address: who listens on another one is not in the way, who listens on all is", () =>
    Effect.gen(function* () {
      const { identity, port } = yield* listener()
      const at = (address: string) => provided(make({ port, address }), TestProcessControl.readOnly({ web: {} }))
      for (const address of ["127.0.0.2", "::1", "10.0.0.5"]) {
        assert.deepStrictEqual(yield* at(address).check, Verdict.healthy, address)
      }
      for (const address of ["127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1"]) {
        assert.deepInclude(signatureOf(yield* at(address).check), { pid: identity.pid, address }, address)
      }
    })
  )

  it("its target and its question tell ports, addresses and processes apart", () => {
    assert.deepStrictEqual(
      [make(), make({ address: "127.0.0.1" }), make({ address: "::1" })].map(({ target }) => target),
      ["tcp://*:80", "tcp://127.0.0.1:80", "tcp://[::1]:80"]
    )
    assert.isTrue(Equal.equals(Probe.question(make()), Probe.question(make({ name: "another" }))))
    for (const other of [{ port: 81 }, { address: "::1" }, { process: "other" }]) {
      assert.isFalse(Equal.equals(Probe.question(make()), Probe.question(make(other))))
    }
  })

  it.live("an unknown process says nothing", () =>
    Effect.gen(function* () {
      const probe = PortProbe.make({ name: "port", port: yield* freePort, process: "nobody" })
      assert.deepStrictEqual(
        yield* provided(probe, TestProcessControl.readOnly({ web: {} })).check,
        Verdict.inconclusive('no process named "nobody"; known are web')
      )
    })
  )

  it("is judged while the component starts: a stranger may be why it cannot", () => {
    const probe = PortProbe.make({ name: "port", port: 80, process: "web" })
    assert.deepInclude(probe, { name: "port", duringStartup: "judged", effects: "none" })
  })

  it("refuses options that cannot work, and names them", () => {
    const refused: ReadonlyArray<readonly [object, string, unknown]> = [
      [{ port: 0 }, "port", 0],
      [{ port: 1.5 }, "port", 1.5],
      [{ process: "" }, "process", ""],
      [{ address: "localhost" }, "address", "localhost"],
      [{ address: "" }, "address", ""],
      [{ address: "127.0.0.1/8" }, "address", "127.0.0.1/8"],
      [{ host: 1 }, "host", 1]
    ]
    for (const [options, option, value] of refused) {
      const error = refusal(() => PortProbe.make({ name: "port", port: 80, process: "web", ...options }))
      assert.deepStrictEqual([error.module, error.option, error.value], ["PortProbe", option, value])
    }
  })
})

/** The probe in a table of nobody but these, as looking at every process of a busy machine takes its time. */
const among = <S extends Verdict.Signature>(probe: Probe.Probe<S>, ...identities: ReadonlyArray<Identity>) =>
  Effect.gen(function* () {
    const { stat } = yield* ProcessTable
    const found = yield* Effect.forEach(identities, ({ pid }) => stat(pid))
    const all = Effect.succeed(found.filter((one) => one !== undefined))
    return { ...probe, check: TestProcessTable.answering({ all })(probe.check) }
  })

probeContract<PortProbe.HeldByOrphan | PortProbe.HeldByForeigner>("PortProbe", {
  situations: {
    Healthy: Effect.map(listener(), ({ identity, port }) => probing(port, identity)),
    "Port/HeldByOrphan": Effect.flatMap(listener(), ({ identity, port }) =>
      among(probing(port, undefined, [identity]), identity)
    ),
    "Port/HeldByForeigner": Effect.flatMap(listener(), ({ identity: holder, port }) =>
      Effect.flatMap(idle, (identity) => among(probing(port, identity), holder, identity))
    ),
    Inconclusive: Effect.map(freePort, (port) =>
      provided(PortProbe.make({ name: "port", port, process: "web" }), TestProcessControl.readOnly({}))
    )
  }
})
