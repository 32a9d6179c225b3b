/**
 * From what a file says to options and a report.
 */
import * as Os from "node:os"
import * as Path from "node:path"

import { OptionError } from "@nexobot/core/Options"
import * as Redaction from "@nexobot/core/Redaction"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"

import * as ProcessSpec from "../../ProcessSpec.ts"
import * as SelfWatching from "../../SelfWatching.ts"
import { command, copies } from "./command.ts"
import { type Draft, notData } from "./draft.ts"
import { account, environment } from "./environment.ts"
import { decode, type Field, fieldOf, fields, type Values } from "./fields.ts"
import {
  type AppOptions,
  Duplicate,
  type Ecosystem,
  EcosystemError,
  type FieldReport,
  Invalid,
  NoApps,
  type Reason
} from "./model.ts"
import { others } from "./others.ts"
import { output, watching } from "./outputs.ts"
import { besideOf, type Fields, fieldsOf, isFields, show, type Told } from "./report.ts"
import { lifecycle, restarts } from "./restarts.ts"

interface Settings {
  readonly env: string | undefined
  readonly inheritEnv: ReadonlyArray<string>
}

/** The apps, and what stands beside them; as PM2 finds them. */
const partsOf = (content: unknown): { readonly apps: ReadonlyArray<unknown>; readonly beside: Fields } => {
  if (Array.isArray(content)) return { apps: content, beside: {} }
  if (!isFields(content)) return { apps: [], beside: {} }
  const { apps, pm2, ...beside } = content
  const found = apps ?? pm2
  if (found !== undefined) return { apps: Array.isArray(found) ? found : [found], beside }
  // One app, with nothing around it.
  const isApp = Object.keys(content).some((name) => fieldOf(name) === "script")
  return isApp ? { apps: [content], beside: {} } : { apps: [], beside }
}

/** By which name each field is given: its own before any other, as in PM2. */
const namesOf = (app: Fields): ReadonlyMap<Field, string> => {
  const found = new Map<Field, string>()
  for (const [name, value] of Object.entries(app)) {
    const field = fieldOf(name)
    if (field !== undefined && value !== null && (name === field || !found.has(field))) found.set(field, name)
  }
  return found
}

/** What stands in the fields, or the first field in which there is something wrong. */
const valuesOf = (app: Fields, names: ReadonlyMap<Field, string>): Result.Result<Values, Field> => {
  const values: Partial<Record<Field, unknown>> = {}
  for (const [field, name] of names) {
    const decoded = decode(field, app[name])
    if (Option.isNone(decoded)) return Result.fail(field)
    values[field] = decoded.value
  }
  // Each was decoded by the schema that its type is from.
  return Result.succeed(values as Values) // oxlint-disable-line typescript/no-unsafe-type-assertion
}

/** The name of the script without folder and extension, unless told, and without what a name may not have. */
const nameOf = ({ name, script }: Values, place: string): string =>
  (name ?? (script === undefined ? place : Path.parse(script).name)).replace(/[^\w.@:-]+/g, "-")

interface Translated {
  readonly options: AppOptions
  readonly isStarted: boolean
  readonly report: ReadonlyArray<FieldReport>
  readonly defaults: ReadonlyArray<FieldReport>
  readonly selfWatching: SelfWatching.SelfWatching | undefined
}

/** Everything that is said of an app, in the order in which one part needs another. */
const fill = (draft: Draft, sections: ReadonlyArray<Fields>, settings: Settings): void => {
  environment(draft, sections, settings.inheritEnv)
  const count = Object.keys(draft.options.env ?? {}).length
  draft.tell("env", "mapped", `env (${count} ${count === 1 ? "variable" : "variables"})`)
  account(draft)
  command(draft)
  copies(draft, Os.availableParallelism())
  restarts(draft)
  lifecycle(draft)
  output(draft)
  watching(draft)
  others(draft, settings.env)
}

const invalid = (app: string, field: string, value: string, expected: string) =>
  Result.fail(new Invalid({ app, field, value, expected }))

const translateApp = (
  folder: string,
  given: unknown,
  place: string,
  settings: Settings,
  base: Redaction.Redactor
): Result.Result<Translated, Invalid> => {
  if (!isFields(given) || notData(given) !== undefined) {
    return invalid(place, "app", show(base, "app", given), "an object with a script")
  }
  const names = namesOf(given)
  const decoded = valuesOf(given, names)
  if (Result.isFailure(decoded)) {
    const field = names.get(decoded.failure) ?? decoded.failure
    const app = Predicate.isString(given["name"]) ? given["name"] : place
    return invalid(app, field, show(base, field, given[field]), fields[decoded.failure].expected)
  }
  const values = decoded.success
  const name = nameOf(values, place)
  const section = settings.env === undefined ? undefined : `env_${settings.env}`
  const sections = [values.env, section === undefined ? undefined : given[section]].filter(isFields)
  const path = sections.map((variables) => variables["PATH"]).findLast(Predicate.isString)

  const told = new Map<Field, Told>()
  const defaults: Array<FieldReport> = []
  const problems: Array<{ readonly field: Field; readonly expected: string }> = []
  const draft: Draft = {
    values,
    cwd: Path.resolve(folder, values.cwd?.replace(/^~(?=\/|$)/, Os.homedir()) ?? "."),
    path: path ?? process.env["PATH"] ?? "",
    options: { name },
    tell: (field, outcome, to, why) => {
      if (values[field] !== undefined && !told.has(field)) told.set(field, { outcome, to, why })
    },
    differ: (field, value, to, why) => {
      if (values[field] === undefined) defaults.push({ app: name, field, value, outcome: "changed", to, why })
    },
    fail: (field, expected) => void problems.push({ field, expected })
  }
  const isSame = values.name === undefined || values.name === name
  const why = isSame ? undefined : `names have letters, digits, and _ . @ : -: it is ${name} here`
  draft.tell("name", isSame ? "mapped" : "changed", "name", why)
  fill(draft, sections, settings)

  // What the variables keep secret may stand in an argument, too.
  const secrets = Object.values(draft.options.env ?? {}).filter((value) => Redacted.isRedacted(value))
  const redactor = Redaction.andThen(Redaction.make(secrets), base)
  const [problem] = problems
  if (problem !== undefined) {
    const field = names.get(problem.field)
    const value = field === undefined ? "missing" : show(redactor, field, given[field])
    return invalid(name, field ?? problem.field, value, problem.expected)
  }
  const options = draft.options as AppOptions // oxlint-disable-line typescript/no-unsafe-type-assertion -- without a problem all parts are there
  const made = Result.try({ try: () => ProcessSpec.make(options), catch: (cause) => cause })
  if (Result.isFailure(made)) {
    const cause = made.failure
    if (!(cause instanceof OptionError)) throw cause
    return invalid(name, cause.option, show(redactor, cause.option, cause.value), cause.expected)
  }
  const selfWatching = SelfWatching.detect(options)
  if (selfWatching !== undefined) warn(told, selfWatching)
  return Result.succeed({
    options,
    isStarted: values.autostart !== false,
    report: fieldsOf(options.name, given, { redactor, names, told, section }),
    defaults,
    selfWatching
  })
}

/** Of the script, too, as that is where one looks. */
const warn = (told: Map<Field, Told>, { replacement, watcher, where }: SelfWatching.SelfWatching): void => {
  const script = told.get("script")
  if (script === undefined) return
  const why = `${watcher} (${where}) restarts it at every change of a file: run ${replacement} instead`
  told.set("script", { ...script, why: [script.why, why].filter(Predicate.isNotUndefined).join("; ") })
}

/** Two with the same name, or whose ports meet. */
const duplicateIn = (apps: ReadonlyArray<AppOptions>): Duplicate | undefined => {
  const names = new Map<string, string>()
  const ports = new Map<string, string>()
  for (const [index, { instances = 1, name, port }] of apps.entries()) {
    const place = `${name} (apps[${index}])`
    const other = names.get(name)
    if (other !== undefined) return new Duplicate({ field: "name", value: name, apps: [other, place] })
    names.set(name, place)
    if (port === undefined) continue
    for (let instance = 0; instance < instances; instance += 1) {
      const value = String(port + instance)
      const holder = ports.get(value)
      if (holder !== undefined) return new Duplicate({ field: "port", value, apps: [holder, place] })
      ports.set(value, place)
    }
  }
  return undefined
}

export const translate = Effect.fnUntraced(function* (
  file: string,
  content: unknown,
  settings: Settings
): Effect.fn.Return<Ecosystem, EcosystemError> {
  const fail = (reason: Reason) => Effect.fail(new EcosystemError({ file, reason }))
  const redactor = yield* Redaction.Redactor
  const { apps, beside } = partsOf(content)
  if (apps.length === 0) return yield* fail(new NoApps())
  const all: Array<Translated> = []
  for (const [index, given] of apps.entries()) {
    const translated = translateApp(Path.dirname(file), given, `apps[${index}]`, settings, redactor)
    if (Result.isFailure(translated)) return yield* fail(translated.failure)
    all.push(translated.success)
  }
  const duplicate = duplicateIn(all.map(({ options }) => options))
  if (duplicate !== undefined) return yield* fail(duplicate)
  return {
    file,
    apps: all.filter(({ isStarted }) => isStarted).map(({ options }) => options),
    report: [...all.flatMap(({ report }) => report), ...besideOf(redactor, beside)],
    defaults: all.flatMap(({ defaults }) => defaults),
    selfWatching: all.flatMap(({ options, selfWatching }) =>
      selfWatching === undefined ? [] : [Object.assign({ app: options.name }, selfWatching)]
    )
  }
})
