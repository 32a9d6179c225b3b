import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"

import * as FileLeases from "../../FileLeases.ts"
import { layerMemory, Leases } from "../../Lease.ts"
import * as Options from "../../Options.ts"
import { run } from "./policy.ts"

/**
 * The exclusive right to act on a resource, for plain Node.
 *
 * @category models
 * @since 0.1.0
 */
export interface PromiseLease extends AsyncDisposable {
  readonly resource: string
  /** Grows with every grant of the resource. */
  readonly fence: number
  /** Aborts when the right ended before you let go of it: stop then. */
  readonly lost: AbortSignal
  /** Lets go of it; also what `await using` does. */
  readonly release: () => Promise<void>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface PromiseLeases {
  /**
   * `undefined` when somebody has the lease. Rejects with `LeaseError` when that is not known: do not act then either.
   */
  readonly take: (
    resource: string,
    options?: {
      /** Gives up taking; of a lease that was granted it ends nothing. The rejection is the signal's reason. */
      readonly signal?: AbortSignal | undefined
    }
  ) => Promise<PromiseLease | undefined>
}

/**
 * Where leases are kept: in this process unless told, in one place for all who ask for that.
 *
 * @category models
 * @since 0.1.0
 */
export interface PromiseLeasesOptions {
  /** A folder that the processes of one machine share; made when missing. */
  readonly folder?: string
}

const checks = Options.checks("leases")

/** One place, whoever asks. */
let shared: Leases["Service"] | undefined

const inThisProcess = () => (shared ??= Effect.runSync(Effect.provide(Effect.service(Leases), layerMemory)))

/**
 * Leases in this process, where all of them exclude each other, or in a folder.
 *
 * @category constructors
 * @since 0.1.0
 */
export const leases = (options: PromiseLeasesOptions = {}): PromiseLeases => {
  checks.known(options, ["folder"])
  return fromLeases(options.folder === undefined ? inThisProcess() : FileLeases.make({ folder: options.folder }))
}

/** Leases of any adapter. */
export const fromLeases = ({ take }: Leases["Service"]): PromiseLeases => ({
  take: async (resource, options = {}) => {
    const scope = Scope.makeUnsafe()
    const release = () => Effect.runPromise(Scope.close(scope, Exit.void))
    const taken = await run(Scope.provide(take(resource), scope), options.signal).catch((error: unknown) =>
      release().then(() => Promise.reject(error))
    )
    if (Option.isNone(taken)) {
      await release()
      return undefined
    }
    const { fence, lost } = taken.value
    const controller = new AbortController()
    const abort = Effect.sync(() =>
      controller.abort(new Error(`the lease of ${resource} with fence ${fence} was lost`))
    )
    await Effect.runPromise(Effect.forkIn(Effect.andThen(lost, abort), scope))
    return { resource, fence, lost: controller.signal, release, [Symbol.asyncDispose]: release }
  }
})
