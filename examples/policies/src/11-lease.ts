/**
 * Two workers want to restart the same gateway: one gets the lease, the other leaves it alone. The next lease bears a
 * larger fence.
 */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

import * as FileLeases from "@nexobot/core/FileLeases"
import { Leases } from "@nexobot/core/Lease"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

const worker = Effect.fnUntraced(function* (name: string) {
  const leases = yield* Leases
  const lease = yield* leases.take("gateway")
  if (Option.isNone(lease)) return yield* Console.log(`${name}: somebody else is at it`)
  const { fence, lost } = lease.value
  yield* Console.log(`${name}: restarting the gateway, with fence ${fence}`)
  yield* Effect.raceFirst(Effect.sleep("100 millis"), Effect.andThen(lost, Console.log(`${name}: lost it`)))
}, Effect.scoped)

const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "lease-example-"))

const program = Effect.gen(function* () {
  yield* Effect.all([worker("first"), worker("second")], { concurrency: "unbounded" })
  yield* worker("third")
})

await Effect.runPromise(
  program.pipe(
    Effect.provide(FileLeases.layer({ folder })),
    Effect.ensuring(Effect.sync(() => Fs.rmSync(folder, { recursive: true })))
  )
)
