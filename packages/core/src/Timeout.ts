/**
 * Bounds how long a caller waits, and says what became of the call that it gave up. A call that registers what it owns
 * (sockets, children, anything that can be released and looked at) gets it released, and the error says whether it is
 * proven gone; of a call that registers nothing nobody knows.
 *
 * @since 0.1.0
 */
import type { ChildProcess } from "node:child_process"
import type { Socket } from "node:net"

import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"

import * as Ownership from "./internal/ownership.ts"
import * as Options from "./Options.ts"
import type { Policy } from "./Policy.ts"
import * as ProcessIdentity from "./ProcessIdentity.ts"

const checks = Options.checks("Timeout")

/**
 * - `proven`: the call has ended, and all that it registered is gone.
 * - `unknown`: it registered nothing, or something nobody could look at, or it ignores its interruption and goes on.
 * - `survivors`: something that it registered is still there.
 *
 * @category models
 * @since 0.1.0
 */
export const Released = Schema.Literals(["proven", "unknown", "survivors"])

/**
 * @category models
 * @since 0.1.0
 */
export type Released = typeof Released.Type

/**
 * The call took too long. It was made: whether the other side acted on it is not known.
 *
 * @category errors
 * @since 0.1.0
 */
export class TimeoutError extends Schema.TaggedError<TimeoutError>("@nexobot/core/TimeoutError")("TimeoutError", {
  /** Of the timeout. */
  name: Schema.String,
  after: Schema.Duration,
  released: Released,
  /** Descriptions of all that the call had registered, but for what timeouts within it have proven gone before. */
  owned: Schema.Array(Schema.String),
  /** Those that were still there at the last look. */
  survivors: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const head = `the timeout "${this.name}" gave the call up after ${Duration.format(this.after)}; `
    switch (this.released) {
      case "proven":
        return `${head}what it owned is gone${this.owned.length === 0 ? "" : `: ${this.owned.join(", ")}`}`
      case "survivors":
        return `${head}still there, to be ended by hand: ${this.survivors.join(", ")}`
      case "unknown":
        return `${head}whether it still runs is not known; register what it owns with Timeout.own to find out`
    }
  }
}

/**
 * @category models
 * @since 0.1.0
 */
export interface TimeoutOptions {
  /** How long the call may take, at least 1 millisecond. */
  readonly after: Duration.Input
  /**
   * How long the caller waits after that for the proof, at most; 2 seconds unless told. The call's own finalizers have
   * the first half.
   */
  readonly grace?: Duration.Input
  /** In metrics and errors; `timeout` unless told. */
  readonly name?: string
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Timeout {
  readonly policy: Policy<TimeoutError>
}

/**
 * Something that must not outlive a call that was given up.
 *
 * @category models
 * @since 0.1.0
 */
export interface Owned {
  /** In errors. */
  readonly description: string
  /** Done once, when the call is given up and `isGone` says `false`. Its failure shows in what `isGone` says. */
  readonly release: Effect.Effect<unknown, unknown>
  /** Asked again and again; a failure says that nobody knows. */
  readonly isGone: Effect.Effect<boolean, unknown>
}

/**
 * A socket, TLS or not; also one that is still connecting. It is destroyed, and gone when its handle has closed.
 *
 * @category constructors
 * @since 0.1.0
 */
export const socket = (
  self: Socket,
  description = `socket to ${self.remoteAddress ?? "?"}:${self.remotePort ?? "?"}`
): Owned => ({
  description,
  release: Effect.callback<void>((resume) => {
    if (self.closed) return resume(Effect.void)
    const done = () => resume(Effect.void)
    self.once("close", done)
    self.destroy()
    return Effect.sync(() => self.off("close", done))
  }),
  isGone: Effect.sync(() => self.closed)
})

const hasEnded = (self: ChildProcess): boolean =>
  self.pid === undefined || self.exitCode !== null || self.signalCode !== null

const exited = (self: ChildProcess): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (hasEnded(self)) return resume(Effect.void)
    const done = () => resume(Effect.void)
    self.once("exit", done)
    return Effect.sync(() => self.off("exit", done))
  })

/** Nobody without a pid is signalled: Node would signal another process, or the whole group. */
const kill = (self: ChildProcess, signal: NodeJS.Signals) =>
  Effect.ignore(Effect.try({ try: () => !hasEnded(self) && self.kill(signal), catch: String }))

const pipesOf = (self: ChildProcess) => [self.stdin, self.stdout, self.stderr].filter((pipe) => pipe !== null)

const childGrace = "500 millis"

const checkGrace = (options: { readonly grace?: Duration.Input }) => {
  checks.known(options, ["grace"])
  return checks.duration("grace", options.grace ?? childGrace)
}

/**
 * A child that this process spawned. It gets SIGTERM, after the grace (500 milliseconds unless told) SIGKILL, and is gone
 * when it was reaped and its pipes are closed. Children of its own are not: own them too, or end them by their group.
 *
 * @category constructors
 * @since 0.1.0
 */
export const child = (self: ChildProcess, options: { readonly grace?: Duration.Input } = {}): Owned => {
  const grace = checkGrace(options)
  return {
    description: self.pid === undefined ? "a child that did not start" : `child ${self.pid} (${self.spawnfile})`,
    release: Effect.gen(function* () {
      yield* kill(self, "SIGTERM")
      // A stopped one would never see it.
      yield* kill(self, "SIGCONT")
      yield* Effect.timeoutOption(exited(self), grace)
      yield* kill(self, "SIGKILL")
      yield* exited(self)
      // Somebody who inherited the other ends would keep them open for ever.
      for (const pipe of pipesOf(self)) pipe.destroy()
    }),
    isGone: Effect.sync(() => hasEnded(self) && pipesOf(self).every((pipe) => pipe.closed))
  }
}

/**
 * A process named for ever, whoever started it. Ended as by `ProcessIdentity.terminate`; where there is no table of
 * processes nobody knows whether it is gone.
 *
 * @category constructors
 * @since 0.1.0
 */
export const process = (
  self: ProcessIdentity.ProcessIdentity,
  options: { readonly grace?: Duration.Input } = {}
): Owned => {
  const grace = checkGrace(options)
  return {
    description: `process ${self.pid}`,
    release: ProcessIdentity.terminate([self], { grace }),
    isGone: Effect.map(ProcessIdentity.isAlive(self), (isAlive) => !isAlive)
  }
}

/**
 * Registers what the guarded call owns, from within callbacks. Does nothing for a call that no timeout guards, or that
 * has ended; what comes after the call was given up is released at once.
 *
 * @category accessors
 * @since 0.1.0
 */
export const owner: Effect.Effect<(owned: Owned) => void> = Effect.withFiber((fiber) =>
  Effect.succeed(Ownership.ownOf(fiber))
)

/**
 * Registers something that the guarded call owns, until the call ends. Timeouts around the one that guards it closest
 * know of it too.
 *
 * @category operations
 * @since 0.1.0
 */
export const own = (owned: Owned): Effect.Effect<void> => Effect.map(owner, (register) => register(owned))

/**
 * Registers a socket.
 *
 * @category operations
 * @since 0.1.0
 */
export const ownSocket = (self: Socket, description?: string): Effect.Effect<void> => own(socket(self, description))

/**
 * Registers a child that this process spawned.
 *
 * @category operations
 * @since 0.1.0
 */
export const ownChild = (self: ChildProcess, options?: { readonly grace?: Duration.Input }): Effect.Effect<void> =>
  own(child(self, options))

/**
 * Registers a process.
 *
 * @category operations
 * @since 0.1.0
 */
export const ownProcess = (
  self: ProcessIdentity.ProcessIdentity,
  options?: { readonly grace?: Duration.Input }
): Effect.Effect<void> => own(process(self, options))

const expirations = Metric.counter("nexobot_timeout_expirations", {
  description: "Calls that a timeout gave up",
  incremental: true
})

/**
 * Limits the time of any call. When it is over the call is interrupted, what it still owns is released, and the caller
 * gets `TimeoutError` as soon as that is proven, or after the grace.
 *
 * A call that ignores its interruption (an uninterruptible region, a finalizer that hangs) does not hold the caller any
 * longer than that: it goes on alone, and its result is lost. Who interrupts the caller has the call interrupted, and
 * what it owns released, in the same way.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: TimeoutOptions): Timeout => {
  checks.known(options, ["after", "grace", "name"])
  const after = checks.duration("after", options.after, "1 milli")
  const grace = checks.duration("grace", options.grace ?? "2 seconds")
  const name = checks.nonEmptyString("name", options.name ?? "timeout")

  const expire = Effect.fnUntraced(function* (settlement: Ownership.Settlement): Effect.fn.Return<never, TimeoutError> {
    yield* Metric.update(Metric.withAttributes(expirations, { name, released: settlement.released }), 1)
    return yield* new TimeoutError({ name, after, ...settlement })
  })

  const policy: Policy<TimeoutError> = <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.uninterruptibleMask<A, E | TimeoutError, R>((restore) =>
      Effect.withFiber((caller) => {
        const ledger = new Ownership.Ledger(caller.getRef(Ownership.Current), caller.context)
        const guarded = Effect.provideService(self, Ownership.Current, ledger)
        // A fiber of its own, and no child of the caller, who would have to wait for it.
        return Effect.flatMap(Effect.forkDetach(guarded, { startImmediately: true }), (call) => {
          const done = call.pollUnsafe()
          if (done !== undefined) {
            ledger.end()
            return done
          }
          return Effect.flatMap(Effect.forkDetach(Effect.sleep(after), { startImmediately: true }), (timer) => {
            const wait = Effect.callback<Exit.Exit<A, E> | "expired">((resume) => {
              call.addObserver((exit) => resume(Effect.succeed(exit)))
              timer.addObserver(() => resume(Effect.succeed("expired")))
            })
            const waited = Effect.onExitPrimitive(restore(wait), (exit) => {
              timer.interruptUnsafe()
              return Exit.isFailure(exit) ? Effect.asVoid(Ownership.settle(ledger, call, grace)) : undefined
            })
            return Effect.flatMap(waited, (exit): Effect.Effect<A, E | TimeoutError> => {
              if (exit === "expired") return Effect.flatMap(Ownership.settle(ledger, call, grace), expire)
              ledger.end()
              return exit
            })
          })
        })
      })
    )
  return { policy }
}
