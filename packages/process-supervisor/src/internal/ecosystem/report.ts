/**
 * What a person is told of each field.
 */
import * as Redaction from "@nexobot/core/Redaction"
import * as Predicate from "effect/Predicate"

import { notData } from "./draft.ts"
import { type Field, fieldOf, isEnvironment } from "./fields.ts"
import type { FieldReport } from "./model.ts"

export type Fields = Readonly<Record<string, unknown>>

export const isFields = (value: unknown): value is Fields => Predicate.isObject(value) && !Array.isArray(value)

/** What became of a field. */
export type Told = Pick<FieldReport, "outcome" | "to" | "why">

const widest = 80

const cut = (text: string): string => (text.length > widest ? `${text.slice(0, widest - 1)}…` : text)

/** A value as it may be shown; of variables only the names, as a secret need not look like one. */
export const show = (redactor: Redaction.Redactor, name: string, value: unknown): string => {
  const marked = notData(value)
  if (marked !== undefined) return marked.what
  if ((name === "env" || isEnvironment(name)) && isFields(value)) return cut(`{ ${Object.keys(value).join(", ")} }`)
  const safe: unknown = redactor.value({ [name]: value })
  return cut(redactor.text(JSON.stringify(isFields(safe) ? safe[name] : undefined) ?? "undefined"))
}

const refused = (why: string): Told => ({ outcome: "refused", to: undefined, why })

/** A name that is no field's. */
const other = (name: string, chosen: string | undefined): Told => {
  if (!isEnvironment(name)) return refused("PM2 has no such field either: is it misspelt?")
  const why = name === chosen ? "laid over env" : `not asked for: read with { env: "${name.slice("env_".length)}" }`
  return { outcome: "mapped", to: "env", why }
}

/** Every field of an app, in the order of the file, and the section for the environment that is missing. */
export const fieldsOf = (
  app: string,
  given: Fields,
  options: {
    readonly redactor: Redaction.Redactor
    /** By which of its names a field counts. */
    readonly names: ReadonlyMap<Field, string>
    readonly told: ReadonlyMap<Field, Told>
    /** `env_production` or the like. */
    readonly section: string | undefined
  }
): ReadonlyArray<FieldReport> => {
  const { names, redactor, section, told } = options
  const tell = (name: string): Told => {
    const field = fieldOf(name)
    if (field === undefined) return other(name, section)
    if (given[name] === null) return { outcome: "mapped", to: undefined, why: "null counts as left out" }
    const used = names.get(field)
    if (used !== name) return refused(`another name of ${used}, which counts`)
    return told.get(field) ?? refused("it has no meaning here")
  }
  const entries = Object.keys(given).map((field): FieldReport =>
    Object.assign({ app, field, value: show(redactor, field, given[field]) }, tell(field))
  )
  if (section === undefined || section in given) return entries
  const missing = refused("there is no such section: only env counts")
  return [...entries, Object.assign({ app, field: section, value: "missing" }, missing)]
}

const aside: Readonly<Record<string, string>> = {
  deploy: "deployment is not part of this; env of a deployment is not read either",
  static: "PM2's own server of static files is not part of this: make it an app, with npx serve for example"
}

/** What stands beside the apps. */
export const besideOf = (redactor: Redaction.Redactor, beside: Fields): ReadonlyArray<FieldReport> =>
  Object.entries(beside).map(([field, value]) => ({
    app: undefined,
    field,
    value: show(redactor, field, isFields(value) ? Object.keys(value) : value),
    outcome: "refused",
    to: undefined,
    why: Object.hasOwn(aside, field) ? aside[field] : "PM2 has no such part either: is it misspelt?"
  }))
