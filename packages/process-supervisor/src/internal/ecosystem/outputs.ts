/**
 * Where an app's output goes, and which files it is restarted for.
 */
import * as Os from "node:os"
import * as Path from "node:path"

import { type Draft, list, notData } from "./draft.ts"

const isNothing = (path: string): boolean => path === "/dev/null" || path === "NULL"

const resolved = (cwd: string, path: string): string =>
  Path.resolve(cwd, path.startsWith("~") ? Path.join(Os.homedir(), path.slice(1)) : path)

export const output = (draft: Draft): void => {
  const { cwd, differ, options, tell, values } = draft
  const path = (given: string | boolean | undefined) =>
    typeof given !== "string" || isNothing(given) ? undefined : resolved(cwd, given)
  const [out, err, both] = [path(values.out_file), path(values.error_file), path(values.log_file)]
  const isOff = values.disable_logs === true
  const file = isOff ? undefined : (out ?? both ?? err)
  const errorFile = file === undefined || err === file ? undefined : err
  const format =
    values.log_type === "json"
      ? "json"
      : values.time === true || values.log_date_format !== undefined
        ? "prefixed"
        : undefined
  if (file !== undefined) {
    options.log = {
      file,
      ...(errorFile === undefined ? {} : { errorFile }),
      ...(format === undefined ? {} : { format })
    }
  }

  tell("disable_logs", "mapped", isOff ? undefined : "log")
  const off = "disable_logs has the last word"
  const nowhere = "what goes nowhere is only shown in logs"
  if (isOff) for (const field of ["out_file", "error_file", "log_file"] as const) tell(field, "refused", undefined, off)
  if (out !== undefined) tell("out_file", "mapped", "log.file")
  else if (file === undefined) tell("out_file", "mapped", undefined, nowhere)
  else tell("out_file", "changed", "log.file", `stdout cannot be left out alone: it goes to ${file}, too`)
  if (errorFile !== undefined) tell("error_file", "mapped", "log.errorFile")
  else if (file === undefined) tell("error_file", "mapped", undefined, nowhere)
  else if (err === file) tell("error_file", "mapped", "log.file")
  else tell("error_file", "changed", "log.file", `stderr cannot be left out alone: it goes to ${file}, too`)
  if (both === undefined) tell("log_file", "refused", undefined, "there is no folder for logs: give a path")
  else if (file !== both)
    tell("log_file", "refused", undefined, "output is written once: out_file and error_file have it")
  else tell("log_file", "mapped", "log.file")
  differ(
    "out_file",
    "~/.pm2/logs/<name>-out.log",
    undefined,
    "output is shown in logs and kept nowhere; give a path to keep it"
  )

  const isJson = values.log_type === "json"
  tell(
    "log_type",
    isJson ? "changed" : "refused",
    isJson ? "log.format: json" : undefined,
    isJson ? "with names of its own for time, stream and text" : "only json is known"
  )
  for (const field of ["log_date_format", "time"] as const) {
    if (values[field] === false) tell(field, "mapped", "log.format: raw")
    else if (isJson) tell(field, "changed", "log.format: json", "times are ISO 8601")
    else tell(field, "changed", "log.format: prefixed", "lines begin with the time in ISO 8601, and the name")
  }
  const isMany = (options.instances ?? 1) > 1
  tell(
    "merge_logs",
    isMany ? "refused" : "mapped",
    isMany ? undefined : "log",
    isMany ? "each instance has its own log, as two cannot rotate one file" : undefined
  )
}

/** PM2's documentation has it so, for what begins with a dot. */
const isDotted = (source: string): boolean => /\[(\\?[\\/]){2,}\]\\\.?/.test(source)

/** A pattern as `.gitignore` would have it; `undefined` for a regular expression that says more. */
const asGitignore = (cwd: string, given: unknown): string | undefined => {
  const source = typeof given === "string" ? given : notData(given)?.source
  if (source === undefined || source === "") return undefined
  if (isDotted(source)) return ".*"
  const plain = source.replaceAll("\\/", "/").replaceAll("\\.", ".")
  if (typeof given !== "string") return /^[\w./-]+$/.test(plain) ? plain : undefined
  if (/[\\^$|()]|\.\*/.test(source)) return undefined
  if (!Path.isAbsolute(source)) return source.replace(/^\.\//, "/")
  const inside = Path.relative(cwd, source)
  return inside === "" || inside.startsWith("..") ? undefined : `/${inside}`
}

/** What a pattern of paths is below: chokidar knows no patterns any more. */
const base = (path: string): string => {
  const parts = path.split("/")
  const first = parts.findIndex((part) => /[*?]/.test(part))
  return first === -1 ? path : parts.slice(0, first).join("/") || (path.startsWith("/") ? "/" : ".")
}

export const watching = (draft: Draft): void => {
  const { cwd, options, tell, values } = draft
  const { ignore_watch: ignored, watch, watch_delay: delay, watch_options: more } = values
  const given = watch === undefined || typeof watch === "boolean" ? [] : list(watch)
  const isOn = watch === true || given.length > 0
  if (!isOn) {
    tell("watch", "mapped", undefined, "off")
    const why = "nothing is watched"
    for (const field of ["ignore_watch", "watch_delay", "watch_options"] as const) tell(field, "mapped", undefined, why)
    return
  }
  const paths = [...new Set(given.map(base))]
  const patterns =
    ignored === undefined ? [] : list<unknown>(ignored).map((one) => [one, asGitignore(cwd, one)] as const)
  const kept = patterns.flatMap(([, pattern]) => (pattern === undefined ? [] : [pattern]))
  const lost = patterns.filter(([, pattern]) => pattern === undefined)
  options.watch = {
    ...(paths.length === 0 ? {} : { paths }),
    // PM2 leaves out what begins with a dot, unless told what to leave out.
    ignore: ignored === undefined ? [".*"] : [...new Set(kept)],
    ...(delay === undefined || delay === 0 ? {} : { debounce: Math.min(30_000, Math.max(10, delay)) })
  }
  const folders = given.some((path) => base(path) !== path)
    ? " Patterns are not watched, but the folders above them."
    : ""
  tell(
    "watch",
    "changed",
    "watch.paths",
    `.gitignore is heeded, a burst of changes is one, and log files change nothing.${folders}`
  )
  const some = lost.length === 0 ? "" : `; ${lost.length} that such a line cannot say: left out`
  tell(
    "ignore_watch",
    kept.length === 0 && lost.length > 0 ? "refused" : "changed",
    "watch.ignore",
    `lines as in .gitignore, not regular expressions${some}`
  )
  tell("watch_delay", "changed", "watch.debounce", "counted from the last change, not from the first; at most 30 s")
  if (more !== undefined)
    tell("watch_options", "refused", undefined, `options of chokidar: ${Object.keys(more).join(", ") || "none"}`)
}
