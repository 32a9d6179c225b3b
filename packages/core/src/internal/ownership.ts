/**
 * What a call that may be given up owns, and the proof that it is gone afterwards.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"

/** See `Timeout.Owned`. */
export interface Owned {
  readonly description: string
  readonly release: Effect.Effect<unknown, unknown>
  readonly isGone: Effect.Effect<boolean, unknown>
}

interface Entry {
  readonly owned: Owned
  /** Where it was registered. */
  readonly ledger: Ledger
  /** By the last look; what could not be looked at is unknown. */
  state: "unknown" | "there" | "gone"
  releasing: Fiber.Fiber<void> | undefined
}

const noop = () => {}

/** What one call has registered, and the calls within it. */
export class Ledger {
  readonly #outer: Ledger | undefined
  readonly #context: Context.Context<never>
  #entries: Set<Entry> | undefined
  #inner: Set<Ledger> | undefined
  #phase: "open" | "ended" | "givenUp" = "open"
  /** Forgets nothing, here and in the calls within: the result is about to name it. */
  #settling = false
  /** Whether something was registered here or within, and forgotten because it is proven gone. */
  forgotten = false
  /** Whether something was registered after the ledger was looked through: nobody verifies that. */
  late = false

  constructor(outer: Ledger | undefined, context: Context.Context<never>) {
    this.#outer = outer
    this.#context = context
  }

  readonly own = (owned: Owned): void => {
    if (this.#phase === "ended") return
    const entry: Entry = { owned, ledger: this, state: "unknown", releasing: undefined }
    this.#entries ??= new Set()
    this.#entries.add(entry)
    this.#join()
    if (this.#phase === "givenUp") {
      this.#comesLate()
      Effect.runForkWith(this.#context)(Effect.andThen(startRelease(entry), lookAgain(entry)))
    }
  }

  #comesLate(): void {
    this.late = true
    if (this.#outer !== undefined) this.#outer.#comesLate()
  }

  /** An outer call that is given up gives up what is registered here. */
  #join(): void {
    const outer = this.#outer
    if (outer === undefined) return
    outer.#inner ??= new Set()
    outer.#inner.add(this)
    outer.#join()
  }

  *#all(): Generator<Entry> {
    yield* this.#entries ?? []
    for (const inner of this.#inner ?? []) yield* inner.#all()
  }

  /** The call is over, and what it leaves behind is its own business. */
  end(): void {
    this.#phase = "ended"
    const outer = this.#outer
    if (outer === undefined) return
    outer.#inner?.delete(this)
    outer.#leave()
  }

  /**
   * From now on, whatever is registered is released at once. Calls around this one keep seeing what was registered: they
   * may be given up too, and have to prove the same.
   */
  giveUp(): ReadonlyArray<Entry> {
    this.#phase = "givenUp"
    return [...this.#all()]
  }

  /** What `settled` ends. */
  settling(): void {
    this.#settling = true
  }

  /**
   * Forgets what is gone, for the sake of calls around this one that last long. What is not stays until its release is
   * over: those calls have to name it.
   */
  settled(entries: ReadonlyArray<Entry>): void {
    this.#settling = false
    for (const entry of entries) {
      if (entry.state === "gone") entry.ledger.forget(entry)
      else if (this.#outer !== undefined) Effect.runForkWith(this.#context)(lookAgain(entry))
    }
    this.#leave()
  }

  /** What is proven gone needs no release, and no look any more. */
  forget(entry: Entry): void {
    if (this.#isSettling() || this.#entries?.delete(entry) !== true) return
    this.#remember()
    this.#leave()
  }

  #isSettling(): boolean {
    return this.#settling || (this.#outer !== undefined && this.#outer.#isSettling())
  }

  #remember(): void {
    this.forgotten = true
    if (this.#outer !== undefined) this.#outer.#remember()
  }

  /** A call that was given up, and of which nothing is left to forget. */
  #leave(): void {
    const outer = this.#outer
    if (outer === undefined || this.#phase !== "givenUp") return
    if ((this.#entries?.size ?? 0) > 0 || (this.#inner?.size ?? 0) > 0) return
    outer.#inner?.delete(this)
    outer.#leave()
  }
}

/** The ledger of the innermost call; none where nothing is going to be given up. */
export const Current: Context.Reference<Ledger | undefined> = Context.Reference<Ledger | undefined>(
  "@nexobot/core/internal/Ownership",
  { defaultValue: () => undefined }
)

/** How the innermost call, as seen from this fiber, registers what it owns. */
export const ownOf = (fiber: Fiber.Fiber<unknown, unknown> | undefined): ((owned: Owned) => void) =>
  fiber?.getRef(Current)?.own ?? noop

/** Starts the release of a resource, once however many calls around it are given up. */
const startRelease = (entry: Entry): Effect.Effect<Fiber.Fiber<void>> =>
  Effect.suspend(() => {
    if (entry.releasing !== undefined) return Effect.succeed(entry.releasing)
    return Effect.tap(
      Effect.forkDetach(Effect.ignoreCause(entry.owned.release), { startImmediately: true }),
      (fiber) => {
        entry.releasing = fiber
        return Effect.void
      }
    )
  })

const look = (entry: Entry): Effect.Effect<boolean> =>
  Effect.map(Effect.exit(entry.owned.isGone), (exit) => {
    entry.state = Exit.isFailure(exit) ? "unknown" : exit.value ? "gone" : "there"
    return entry.state === "gone"
  })

const poll = Schedule.spaced("10 millis")

/** When nobody waits any more: forgets it if it is gone after its release. */
const lookAgain = Effect.fnUntraced(function* (entry: Entry) {
  if (entry.releasing !== undefined) yield* Fiber.await(entry.releasing)
  // What was ended takes a moment to be gone, such as the pipes of a child.
  yield* Effect.repeat(look(entry), { schedule: poll, until: (gone) => gone, times: 10 })
  if (entry.state === "gone") entry.ledger.forget(entry)
})

/** Releases what is still there, and ends when it is gone; with luck without a timer. */
const attend = Effect.fnUntraced(function* (entry: Entry) {
  if (yield* look(entry)) return
  const releasing = yield* startRelease(entry)
  yield* Effect.timeoutOption(Fiber.await(releasing), "10 millis")
  yield* Effect.repeat(look(entry), { schedule: poll, until: (gone) => gone })
})

/** What is known of a call that was given up. */
export interface Settlement {
  readonly released: "proven" | "unknown" | "survivors"
  readonly owned: ReadonlyArray<string>
  readonly survivors: ReadonlyArray<string>
}

/**
 * Interrupts a call, gives its own finalizers half the grace, and then releases what it still owns. Takes no longer than
 * the grace, whatever hangs: that is left behind.
 */
export const settle = Effect.fnUntraced(function* (
  ledger: Ledger,
  call: Fiber.Fiber<unknown, unknown>,
  grace: Duration.Duration
): Effect.fn.Return<Settlement> {
  let entries: ReadonlyArray<Entry> = []
  ledger.settling()
  call.interruptUnsafe()
  const work = Effect.gen(function* () {
    if (call.pollUnsafe() === undefined) {
      yield* Effect.timeoutOption(Fiber.await(call), Duration.millis(Duration.toMillis(grace) / 2))
    }
    entries = ledger.giveUp()
    yield* Effect.forEach(entries, attend, { concurrency: "unbounded", discard: true })
    yield* Fiber.await(call)
  })
  const working = yield* Effect.forkDetach(work, { startImmediately: true })
  if (working.pollUnsafe() === undefined) {
    yield* Effect.timeoutOption(Fiber.await(working), grace)
    working.interruptUnsafe()
  }
  const survivors = entries.filter((entry) => entry.state === "there").map(({ owned }) => owned.description)
  const isProven =
    call.pollUnsafe() !== undefined &&
    !ledger.late &&
    (entries.length > 0 || ledger.forgotten) &&
    entries.every((entry) => entry.state === "gone")
  const owned = entries.map(({ owned: { description } }) => description)
  ledger.settled(entries)
  return {
    released: survivors.length > 0 ? "survivors" : isProven ? "proven" : "unknown",
    owned,
    survivors
  }
})
