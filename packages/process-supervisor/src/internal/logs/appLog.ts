/**
 * The output of one supervised process: read from its pipes, written to its files, shown to whoever looks.
 */
import * as Path from "node:path"
import type { Readable } from "node:stream"

import { Redactor } from "@nexobot/core/Redaction"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"

import {
  FolderMissing,
  IsFolder,
  LogError,
  type LogLine,
  type LogSettings,
  type LogStats,
  NotWritable,
  Unresponsive
} from "../../ProcessLog.ts"
import type * as Disk from "./disk.ts"
import { type Editor, makeEditor, type Times } from "./editor.ts"
import * as LogFile from "./logFile.ts"
import * as Tail from "./tail.ts"

export interface Outputs {
  readonly stdout: Readable | null
  readonly stderr: Readable | null
}

export interface Attached {
  /**
   * Completes when both outputs have ended and what was read is on its way to the disk. Whoever waits for it has seen the
   * process end: what its pipes still hold is read even if the disk does not keep up.
   */
  readonly drained: Effect.Effect<void>
  /** Called for each complete line of this life, unredacted, at once; gives its removal. */
  readonly onLine: (listener: (line: LogLine) => void) => () => void
  /** Reads no more, as when a grandchild still holds the pipe. */
  readonly release: () => void
}

export interface AppLog {
  /** Reads both outputs of one life until they end. */
  readonly attach: (outputs: Outputs) => Attached
  /**
   * For a child that writes straight to the file, as it outlives us: rotates if it is time, and opens both for append.
   * The caller closes both. Such output is neither formatted nor filtered nor counted.
   */
  readonly openDirect: Effect.Effect<{ readonly stdout: number; readonly stderr: number }, LogError>
  /** From now on, redacted; whoever is slow misses the oldest. Ends with the log. */
  readonly lines: Stream.Stream<LogLine>
  readonly stats: () => LogStats
  /** Completes when nothing waits for the disk. */
  readonly settled: Effect.Effect<void>
}

type StreamName = LogLine["stream"]

/** What one output of one life goes through. */
interface Source {
  readonly editor: Editor | undefined
  readonly view: Tail.View
}

/** After this long without output a line is not continued any more, in milliseconds. */
const quiet = 200
/** How long a disk may take to open a file. */
const answerWithin = Duration.seconds(10)

const nothing = { bytes: 0, lines: 0 }

const reasonOf = ({ code }: Disk.DiskFault, path: string): LogError["reason"] => {
  switch (code) {
    case "ENOENT":
      return new FolderMissing({ folder: Path.dirname(Path.dirname(path)) })
    case "EISDIR":
      return new IsFolder()
    default:
      return new NotWritable({ code })
  }
}

/** More than pipes and streams hold. */
const rest = 1_048_576

/** Reads one pipe until it ends, held up and hurried by others. */
const read = (output: Readable, onData: (chunk: Buffer) => void, onEnd: () => void) => {
  let isOver = false
  let isHeld = false
  let allowance = 0
  const take = (chunk: Buffer) => {
    onData(chunk)
    if (!isHeld) return
    allowance -= chunk.length
    if (allowance <= 0) output.pause()
  }
  const end = () => {
    if (isOver) return
    isOver = true
    output.off("data", take)
    onEnd()
  }
  output.on("data", take)
  output.once("end", end)
  output.once("close", end)
  // A pipe that breaks closes; without a listener it would take the process with it.
  output.on("error", end)
  return {
    hold: () => {
      isHeld = true
      if (allowance <= 0) output.pause()
    },
    release: () => {
      isHeld = false
      if (!isOver) output.resume()
    },
    hurry: () => {
      allowance = rest
      if (!isOver) output.resume()
    },
    stop: () => {
      end()
      output.destroy()
    }
  }
}

export const make = Effect.fnUntraced(function* (
  name: string,
  settings: LogSettings | undefined
): Effect.fn.Return<AppLog, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const times: Times = {
    now: () => clock.currentTimeMillisUnsafe(),
    monotonic: () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  }
  const tail = Tail.make(name, settings?.multiline, yield* Redactor, times.now)
  yield* Effect.addFinalizer(() => Effect.sync(tail.end))

  const makeFile = (path: string, onFlow: { readonly hold: () => void; readonly release: () => void }) =>
    settings === undefined
      ? Effect.undefined
      : Effect.map(LogFile.make(name, path, settings, times, onFlow), (file) => ({ path, file }))

  type Reader = ReturnType<typeof read>
  const readers: Record<StreamName, Set<Reader>> = { stdout: new Set(), stderr: new Set() }
  const held: Record<StreamName, boolean> = { stdout: false, stderr: false }
  const flow = (...streams: ReadonlyArray<StreamName>) => ({
    hold: () => {
      for (const stream of streams) {
        held[stream] = true
        for (const reader of readers[stream]) reader.hold()
      }
    },
    release: () => {
      for (const stream of streams) {
        held[stream] = false
        for (const reader of readers[stream]) reader.release()
      }
    }
  })
  const hasErrorFile = settings?.errorFile !== undefined
  const out = yield* makeFile(settings?.file ?? "", hasErrorFile ? flow("stdout") : flow("stdout", "stderr"))
  const err = hasErrorFile ? yield* makeFile(settings.errorFile, flow("stderr")) : undefined
  const files = [out, err].filter((one) => one !== undefined)

  let received = 0
  const perMillis = settings?.rateLimit === undefined ? 0 : Duration.toMillis(settings.rateLimit.per)
  /** Of lives that are read now. */
  const sources = new Set<Source>()
  /** Those whose last line may still be continued, with the time of their last output, in monotonic milliseconds. */
  const unsettled = new Map<Source, number>()
  const isUnsettled = Latch.makeUnsafe()

  const attachOne = (
    stream: StreamName,
    output: Readable | null,
    listeners: Tail.Listeners,
    onEnd: () => void
  ): Reader | undefined => {
    if (output === null) {
      onEnd()
      return undefined
    }
    const backlog = (stream === "stderr" ? (err ?? out) : out)?.file.backlog
    const editor =
      backlog === undefined || settings === undefined
        ? undefined
        : makeEditor(name, stream, settings, perMillis, backlog, times)
    const view = tail.view(stream, listeners)
    const source = { editor, view }
    sources.add(source)
    const reader = read(
      output,
      (chunk) => {
        received += chunk.length
        editor?.push(chunk)
        view.push(chunk)
        if (settings?.multiline !== undefined) {
          unsettled.set(source, times.monotonic())
          isUnsettled.openUnsafe()
        }
      },
      () => {
        readers[stream].delete(reader)
        editor?.end()
        view.end()
        sources.delete(source)
        unsettled.delete(source)
        onEnd()
      }
    )
    readers[stream].add(reader)
    if (held[stream]) reader.hold()
    return reader
  }

  const attach = ({ stderr, stdout }: Outputs): Attached => {
    const drained = Deferred.makeUnsafe<void>()
    let open = 2
    const onEnd = () => {
      open -= 1
      if (open === 0) Deferred.doneUnsafe(drained, Effect.void)
    }
    const listeners = new Set<(line: LogLine) => void>()
    const attached = [attachOne("stdout", stdout, listeners, onEnd), attachOne("stderr", stderr, listeners, onEnd)]
    return {
      onLine: (listener) => {
        // The same function may listen twice.
        const own = (line: LogLine): void => listener(line)
        listeners.add(own)
        return () => void listeners.delete(own)
      },
      drained: Effect.suspend(() => {
        for (const reader of attached) reader?.hurry()
        return Deferred.await(drained)
      }),
      release: () => attached.forEach((reader) => reader?.stop())
    }
  }

  const settle = Effect.gen(function* () {
    for (;;) {
      yield* isUnsettled.await
      yield* Effect.sleep(quiet)
      for (const [source, at] of unsettled) {
        if (times.monotonic() - at < quiet) continue
        unsettled.delete(source)
        source.editor?.settle()
        source.view.settle()
      }
      if (unsettled.size === 0) isUnsettled.closeUnsafe()
    }
  })
  if (settings?.multiline !== undefined) yield* Effect.forkScoped(settle)

  // Before the files are closed.
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const reader of [...readers.stdout, ...readers.stderr]) reader.stop()
    })
  )

  const typed = <A>(path: string, ask: Effect.Effect<A, Disk.DiskFault>): Effect.Effect<A, LogError> =>
    ask.pipe(
      Effect.mapError((fault) => new LogError({ process: name, path, reason: reasonOf(fault, path) })),
      Effect.timeoutOrElse({
        duration: answerWithin,
        orElse: () =>
          Effect.fail(new LogError({ process: name, path, reason: new Unresponsive({ after: answerWithin }) }))
      })
    )

  const openDirect = Effect.gen(function* () {
    if (out === undefined) return yield* Effect.die(new Error(`"${name}" has no log file to write to`))
    if (err === undefined) {
      const [stdout = -1, stderr = -1] = yield* typed(out.path, out.file.openDirect(2))
      return { stdout, stderr }
    }
    const [stdout = -1] = yield* typed(out.path, out.file.openDirect(1))
    const [stderr = -1] = yield* typed(err.path, err.file.openDirect(1)).pipe(
      Effect.onError(() => Effect.sync(() => out.file.closeDirect(stdout)))
    )
    return { stdout, stderr }
  })

  const sum = (of: (file: LogFile.LogFile) => { readonly bytes: number; readonly lines: number }) =>
    files.reduce((all, { file }) => ({ bytes: all.bytes + of(file).bytes, lines: all.lines + of(file).lines }), nothing)
  const stats = (): LogStats => {
    let waiting = 0
    for (const { editor } of sources) waiting += editor?.held() ?? 0
    for (const { file } of files) waiting += file.backlog.waiting
    return {
      received,
      written: sum((file) => file.backlog.written),
      dropped: sum((file) => file.backlog.dropped),
      filtered: settings === undefined ? { bytes: received, lines: 0 } : sum((file) => file.backlog.filtered),
      waiting,
      rotations: files.reduce((all, { file }) => all + file.rotations(), 0),
      lastError: files.map(({ file }) => file.lastError()).find((error) => error !== undefined)
    }
  }

  return {
    attach,
    openDirect,
    lines: tail.lines,
    stats,
    settled: Effect.forEach(files, ({ file }) => file.settled, { discard: true })
  }
})
