/**
 * Runs in a process of its own: evaluates an ecosystem file, as PM2 would, and writes what it says to descriptor 3.
 *
 * What no JSON can hold is marked, so that it is named where it stands instead of being dropped in silence.
 *
 * A program, not a module: it stands among the public ones because it is started by its path.
 *
 * @internal
 */
import * as Fs from "node:fs"
import { pathToFileURL } from "node:url"
import { types } from "node:util"
import * as Vm from "node:vm"

const [file = ""] = process.argv.slice(2)

/** PM2 takes JSON for JavaScript: comments and trailing commas are fine. */
const json = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return Vm.runInNewContext(`(${text}\n)`, {}, { filename: file })
  }
}

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null

/** The default export, also of what a compiler made of one. */
const exported = (loaded: unknown): unknown => {
  if (!isObject(loaded) || !("default" in loaded)) return loaded
  const value = loaded.default
  return isObject(value) && "__esModule" in value && "default" in value ? value.default : value
}

/** Functions and promises, until there is a value. */
const settled = async (given: unknown): Promise<unknown> => {
  const value = await given
  return typeof value === "function" ? settled(value()) : value
}

const written = (_: string, value: unknown): unknown => {
  if (typeof value === "function") return { "not data": "a function" }
  if (typeof value === "symbol") return { "not data": "a symbol" }
  if (typeof value === "number" && !Number.isFinite(value)) return { "not data": String(value) }
  if (typeof value === "bigint") {
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : String(value)
  }
  return types.isRegExp(value) ? { "not data": "a regular expression", source: value.source } : value
}

const answer = (said: object): void => Fs.writeFileSync(3, `${JSON.stringify(said, written)}\n`)

// Whoever imports it gets nothing: its answer goes to a descriptor that only its parent opens.
if (import.meta.main) {
  try {
    const loaded: unknown = file.endsWith(".json")
      ? json(Fs.readFileSync(file, "utf8"))
      : exported(await import(pathToFileURL(file).href))
    answer({ value: await settled(loaded) })
    process.exit(0)
  } catch (cause) {
    const { message, name, stack } = types.isNativeError(cause) ? cause : new Error(String(cause))
    answer({ error: { name, message, stack: stack ?? "" } })
    // Not caught, so that Node says on stderr in which line a file that is no JavaScript ends to be it.
    throw cause
  }
}
