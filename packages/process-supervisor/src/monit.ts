/**
 * A live view of a supervisor in the terminal: what runs, with bars for processor and memory, what it writes, and keys that
 * restart, reload, stop and start.
 *
 * It needs `ink` and `react`, which are optional peers and are loaded only here.
 *
 * @since 0.1.0
 */
import type { ProcessControlError } from "@nexobot/core/ProcessControl"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

import type { Supervised } from "./internal/control/supervised.ts"
import * as Model from "./internal/monit/model.ts"
import * as View from "./internal/monit/view.ts"
import { plain } from "./internal/terminal/text.ts"
import type { LogLine } from "./ProcessLog.ts"

/**
 * The view needs packages that are not installed.
 *
 * @category errors
 * @since 0.1.0
 */
export class PeersMissing extends Schema.TaggedClass<PeersMissing>("@nexobot/process-supervisor/monit/PeersMissing")(
  "PeersMissing",
  { why: Schema.String }
) {}

/**
 * What it would draw on is no terminal, or its keys come from none.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoTerminal extends Schema.TaggedClass<NoTerminal>("@nexobot/process-supervisor/monit/NoTerminal")(
  "NoTerminal",
  {}
) {}

/**
 * There can be no view.
 *
 * @category errors
 * @since 0.1.0
 */
export class MonitError extends Schema.TaggedError<MonitError>("@nexobot/process-supervisor/MonitError")("MonitError", {
  reason: Schema.Union([PeersMissing, NoTerminal])
}) {
  override get message(): string {
    return this.reason._tag === "PeersMissing"
      ? `the live view needs ink and react: npm install ink@7 react@19 (${this.reason.why})`
      : 'the live view needs a terminal: ask "nexo-supervisor status" instead'
  }
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Terminal {
  readonly stdin: NodeJS.ReadStream
  readonly stdout: NodeJS.WriteStream
}

/** Seldom enough to cost nothing, often enough for numbers that people read. */
const pollEvery = "1 second"
const drawEvery = "250 millis"
/** More lines in one draw would be gone before they are seen: they are left to who sends them to drop. */
const mostAtOnce = 250

const load = Effect.tryPromise({
  try: () => Promise.all([import("ink"), import("react")]),
  catch: (cause) =>
    new MonitError({
      reason: new PeersMissing({
        why: plain(cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : String(cause))
      })
    })
})

const done = { start: "started", stop: "stopped", restart: "restarted", reload: "replaced by a new one" } as const
type Action = keyof typeof done

const isAtRest = new Set(["Stopped", "Ended", "Failed", "Skipped"])

/**
 * Shows a supervisor, of this process or behind a socket, until somebody presses `q` (`Quit`) or Ctrl-C (`Interrupted`), or
 * until it cannot be asked any more. Draws at most four times a second, besides when a key is pressed.
 *
 * @category operations
 * @since 0.1.0
 */
export const monit = Effect.fnUntraced(function* <E extends { readonly message: string }>(
  supervised: Supervised<E> & { readonly lost?: () => number },
  terminal: Terminal = process
): Effect.fn.Return<"Quit" | "Interrupted", MonitError | E, Scope.Scope> {
  if (!terminal.stdout.isTTY || !terminal.stdin.isTTY) return yield* new MonitError({ reason: new NoTerminal() })
  const [ink, react] = yield* load
  const view = View.make(ink, react)
  const fork = yield* FiberSet.makeRuntime()
  const end = yield* Deferred.make<"Quit" | "Interrupted", E>()

  let model = Model.empty(supervised.id, supervised.memoryLimits ?? new Map())
  let isDirty = true
  let isOver = false
  const update = (next: Model.Model): void => {
    model = next
    isDirty = true
  }
  const say = (text: string, isBad = false) => update({ ...model, message: { text, isBad } })

  const busy = new Set<string>()
  const act = (name: string, action: Action) => {
    if (busy.has(name)) return
    busy.add(name)
    say(`${action} ${name} …`)
    const told: Effect.Effect<unknown, ProcessControlError | E> = supervised[action](name)
    fork(
      told.pipe(
        Effect.match({
          onSuccess: () => say(`${name}: ${done[action]}`),
          onFailure: (error) => say(error.message, true)
        }),
        Effect.ensuring(Effect.sync(() => busy.delete(name)))
      )
    )
  }
  const onKey = (key: View.Key): void => {
    const selected = Model.selectedProcess(model)
    if (key === "quit" || key === "interrupt") {
      Deferred.doneUnsafe(end, Exit.succeed(key === "quit" ? "Quit" : "Interrupted"))
    } else if (key === "up" || key === "down")
      update({ ...Model.move(model, key === "up" ? -1 : 1), message: undefined })
    else if (selected !== undefined) {
      act(selected.name, key === "toggle" ? (isAtRest.has(selected.state) ? "start" : "stop") : key)
    }
    draw()
  }

  const element = () => react.createElement(view, { model, onKey })
  const instance = yield* Effect.acquireRelease(
    Effect.sync(() =>
      ink.render(element(), {
        stdin: terminal.stdin,
        stdout: terminal.stdout,
        exitOnCtrlC: false,
        patchConsole: false,
        alternateScreen: true,
        interactive: true
      })
    ),
    (rendered) =>
      Effect.promise(() => {
        // What is drawn later would take the keyboard again.
        isOver = true
        rendered.unmount()
        return rendered.waitUntilExit().then(
          () => undefined,
          () => undefined
        )
      })
  )
  const arrived: Array<LogLine> = []
  const draw = (): void => {
    if (isOver) return
    if (arrived.length > 0) model = Model.withLogs(model, arrived.splice(0))
    isDirty = false
    instance.rerender(element())
  }

  /** Until they end: then the supervisor does, and the polling says so. */
  const paced = <A, E2>(items: Stream.Stream<A, E2>, add: (item: A) => void) => {
    let count = 0
    return Stream.runForEach(items, (item) => {
      add(item)
      count = (count + 1) % mostAtOnce
      return count === 0 ? Effect.sleep(drawEvery) : Effect.void
    }).pipe(Effect.ignore)
  }

  fork(paced(supervised.logs(), (line) => arrived.push(line)))
  fork(paced(supervised.events, (event) => update(Model.withEvent(model, event))))
  fork(
    Effect.sync(() => {
      if (isDirty || arrived.length > 0) draw()
    }).pipe(Effect.repeat(Schedule.spaced(drawEvery)))
  )
  const polling = supervised.list.pipe(
    Effect.map((processes) => update({ ...Model.withProcesses(model, processes), lost: supervised.lost?.() ?? 0 })),
    Effect.repeat(Schedule.spaced(pollEvery)),
    Effect.andThen(Effect.never)
  )
  return yield* Effect.raceFirst(polling, Deferred.await(end))
})
