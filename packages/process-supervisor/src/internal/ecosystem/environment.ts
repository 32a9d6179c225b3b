/**
 * What an app finds in its environment, and as whom it runs.
 */
import * as Redacted from "effect/Redacted"

import { defaultInheritEnv } from "../../ProcessSpec.ts"
import { isSecret } from "../secretNames.ts"
import { type Draft, list, notData } from "./draft.ts"
import type { Fields } from "./report.ts"
import * as Users from "./users.ts"

/** A value that looks like a secret, or has the name of one, is kept as one from here on. */
const guarded = (name: string, text: string): string | Redacted.Redacted =>
  isSecret(name, text) ? Redacted.make(text) : text

/** As PM2 writes what is no text. */
const written = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value))

/** `sections` in order: a later one has the last word. */
export const environment = (draft: Draft, sections: ReadonlyArray<Fields>, inheritEnv: ReadonlyArray<string>): void => {
  const { options, values } = draft
  const merged = Object.fromEntries(sections.flatMap((section) => Object.entries(section)))
  const all = Object.entries(merged).filter(([, value]) => value !== null)
  const bad = all.find(([name, value]) => !/^[^=\0]+$/.test(name) || notData(value) !== undefined)
  if (bad !== undefined) draft.fail("env", `texts, numbers, and true or false; ${bad[0]} is none`)
  if (values.port !== undefined) all.push(["PORT", values.port])
  options.env = Object.fromEntries(all.map(([name, value]) => [name, guarded(name, written(value))]))
  inherited(draft, inheritEnv)
}

const inherited = ({ differ, options, tell, values }: Draft, more: ReadonlyArray<string>): void => {
  const filter = values.filter_env
  const names = [...new Set([...defaultInheritEnv, ...more])]
  const isKept = (name: string) =>
    typeof filter === "boolean" || !list(filter ?? []).some((part) => name.includes(part))
  options.inheritEnv = names.filter(isKept)
  const why = `apps get ${options.inheritEnv.join(" ")} and what "env" names; name others in "inheritEnv"`
  tell("filter_env", filter === true ? "changed" : "mapped", "inheritEnv", why)
  differ("filter_env", "all variables of the shell that calls pm2", "inheritEnv", why)
}

export const account = (draft: Draft): void => {
  const { options, tell, values } = draft
  tell("uid", "mapped", "uid, gid, env.HOME")
  tell("gid", "mapped", "gid")
  if (values.uid !== undefined) {
    const user = Users.user(values.uid)
    if (user === undefined) return draft.fail("uid", "a user of this machine")
    options.uid = user.uid
    options.gid = user.gid
    options.env = { ...options.env, HOME: user.home }
  }
  if (values.gid !== undefined) {
    const gid = Users.group(values.gid)
    if (gid === undefined) return draft.fail("gid", "a group of this machine")
    options.gid = gid
  }
}
