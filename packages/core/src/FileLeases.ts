/**
 * Leases in a folder: among the processes of one machine. There is no expiry and nothing to renew: a lease ends with its
 * scope or its process, which the next taker proves dead.
 *
 * On a volume that containers of one machine share they exclude each other as well, and a lease of a container that was
 * killed goes to the next taker, itself once it was started again included: see `OwnerLock` for how, and for the file
 * systems on which it does not. On those, and on a volume that machines share, it stays taken until its lock file is
 * removed: use Redis or Postgres there.
 *
 * @since 0.1.0
 */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"

import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"

import * as DurableFile from "./DurableFile.ts"
import { unavailable } from "./internal/lease.ts"
import { escape } from "./internal/leaseName.ts"
import { type Lease, Leases } from "./Lease.ts"
import * as Options from "./Options.ts"
import * as OwnerLock from "./OwnerLock.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface FileLeasesOptions {
  /** Where the locks and fences are kept; made, for its owner's eyes only, when missing. */
  readonly folder: string
}

/** Names of files may have 255 bytes, and `OwnerLock` adds to them. */
const longest = 150

const nameOf = (resource: string): string => {
  const name = escape(resource).replaceAll(".", "%2E")
  if (name.length <= longest) return name
  // Not a name that any other resource has: after % stand two hexadecimal digits there.
  return `${name.slice(0, 60)}%~${Crypto.createHash("sha256").update(resource.toWellFormed()).digest("hex")}`
}

const Fence = Schema.fromJsonString(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)))
const decodeFence = Schema.decodeUnknownOption(Fence)

const checks = Options.checks("FileLeases")

/**
 * Leases that their owners' lock files keep, each with its fence in a file of its own. The fence is on the disk before
 * the lease is granted. Deleting the folder's files makes fences begin anew.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: FileLeasesOptions): Leases["Service"] => {
  checks.known(options, ["folder"])
  const folder = checks.nonEmptyString("folder", options.folder)

  return Leases.of({
    take: Effect.fnUntraced(function* (resource) {
      const failed = (cause: unknown) => unavailable(resource, cause)
      const path = Path.join(folder, nameOf(resource))
      const attempt = <A>(f: () => Promise<A>) => Effect.tryPromise({ try: f, catch: failed })
      // A lock whose fence cannot be told must not stay with a caller that was granted nothing.
      const own = yield* Scope.fork(yield* Effect.scope)
      const close = Scope.close(own, Exit.void)

      const grant = Effect.gen(function* () {
        yield* attempt(() => Fs.mkdir(folder, { recursive: true, mode: 0o700 }))
        const taken = yield* OwnerLock.take(`${path}.lock`).pipe(
          Effect.as(true),
          Effect.catchIf(
            (error) => error._tag === "OwnerLockError" && error.reason._tag === "Held",
            () => Effect.succeed(false)
          ),
          Effect.mapError(failed)
        )
        if (!taken) return Option.none()

        const record = `${path}.fence`
        const before = yield* attempt(() =>
          Fs.readFile(record, "utf8").catch((cause: unknown) =>
            cause instanceof Error && "code" in cause && cause.code === "ENOENT" ? "0" : Promise.reject(cause)
          )
        )
        const last = decodeFence(before)
        // A guess could be smaller than a fence that was granted.
        if (Option.isNone(last)) return yield* failed(`${record} holds no fence`)
        const fence = last.value + 1
        yield* DurableFile.replace(record, `${fence}`).pipe(Effect.mapError(failed))
        return Option.some<Lease>({ resource, fence, lost: Effect.never })
      })
      return yield* grant.pipe(
        Scope.provide(own),
        Effect.tap((lease) => (Option.isNone(lease) ? close : Effect.void)),
        Effect.onError(() => close)
      )
    })
  })
}

/**
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: FileLeasesOptions): Layer.Layer<Leases> => Layer.succeed(Leases, make(options))
