/**
 * Where a program keeps its state: `$NEXO_STATE_DIR`, else `nexobot` in the user's XDG state folder.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"

import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as UserDirectories from "effect/persistence/UserDirectories"
import * as Schema from "effect/Schema"

/**
 * The folder cannot be had.
 *
 * @category errors
 * @since 0.1.0
 */
export class StateDirectoryError extends Schema.TaggedError<StateDirectoryError>("@nexobot/core/StateDirectoryError")(
  "StateDirectoryError",
  { path: Schema.String, why: Schema.String }
) {
  override get message(): string {
    return `the state folder ${this.path} cannot be used: ${this.why}. Set NEXO_STATE_DIR to a folder you can write to.`
  }
}

const isCode = (cause: unknown, code: string): boolean =>
  cause instanceof Error && "code" in cause && cause.code === code

/** Not `recursive`: where a parent takes no folders and says ENOENT, such as `/proc`, Node would try for ever. */
const makeFolder = async (path: string): Promise<void> => {
  const make = () => Fs.mkdir(path, { mode: 0o700 })
  try {
    await make()
  } catch (cause) {
    if (isCode(cause, "EEXIST") && (await Fs.stat(path)).isDirectory()) return
    if (!isCode(cause, "ENOENT") || Path.dirname(path) === path) throw cause
    await makeFolder(Path.dirname(path))
    await make()
  }
}

/**
 * Finds the folder and makes it, with mode 0700, when it is not there.
 *
 * @category operations
 * @since 0.1.0
 */
export const open = Effect.gen(function* () {
  const configured = yield* Config.option(Config.NonEmptyString("NEXO_STATE_DIR"))
  const path = Option.isSome(configured)
    ? Path.resolve(configured.value)
    : yield* UserDirectories.UserDirectories.use((directories) => directories.state("nexobot")).pipe(
        Effect.provide(UserDirectories.layer)
      )
  yield* Effect.tryPromise({
    try: () => makeFolder(path).then(() => Fs.access(path, Fs.constants.W_OK)),
    catch: (cause) => new StateDirectoryError({ path, why: cause instanceof Error ? cause.message : String(cause) })
  })
  return path
}).pipe(
  Effect.catchTags({
    ConfigError: (error) => Effect.fail(new StateDirectoryError({ path: "$NEXO_STATE_DIR", why: error.message })),
    PlatformError: (error) => Effect.fail(new StateDirectoryError({ path: "~", why: error.message }))
  })
)
