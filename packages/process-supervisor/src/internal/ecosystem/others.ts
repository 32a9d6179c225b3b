/**
 * Fields that say nothing about how an app is kept running here.
 */
import type { Draft } from "./draft.ts"
import type { Field } from "./fields.ts"

/** Of PM2's hosted services; what is switched off is off. */
const services: ReadonlyArray<Field> = [
  "pmx",
  "automation",
  "trace",
  "v8",
  "event_loop_inspector",
  "deep_monitoring",
  "vizion"
]

const refused: Partial<Readonly<Record<Field, string>>> = {
  name_prefix: "names are as they are written",
  install_url: "nothing is installed",
  pid_file: "a file with a number proves nothing: ask for the status, which names pid and start time",
  post_update: "deployment is not part of this",
  username: "PM2 writes it itself; uid and user name the account",
  windowsHide: "there are no windows",
  io: "PM2's hosted services are not part of this"
}

/** Said once, true or false. */
const without: Partial<Readonly<Record<Field, string>>> = {
  force: "names tell apps apart, not scripts",
  write: "nothing is written back"
}

export const others = ({ options, tell, values }: Draft, environment: string | undefined): void => {
  for (const field of services) {
    const isOff = values[field] === false || values[field] === "false"
    const why = "PM2's hosted services, and what looks into code for them, are not part of this"
    tell(field, isOff ? "mapped" : "refused", undefined, why)
  }
  const isOff = values.disable_trace === true
  tell("disable_trace", isOff ? "mapped" : "refused", undefined, "PM2's tracing is not part of this")
  for (const [field, why] of Object.entries(refused)) tell(field as Field, "refused", undefined, why) // oxlint-disable-line typescript/no-unsafe-type-assertion
  for (const [field, why] of Object.entries(without)) {
    const name = field as Field // oxlint-disable-line typescript/no-unsafe-type-assertion
    tell(name, values[name] === true ? "refused" : "mapped", undefined, why)
  }
  const isDefault = values.namespace === "default"
  tell(
    "namespace",
    isDefault ? "mapped" : "refused",
    undefined,
    isDefault ? undefined : "use a Group, which also says who restarts with whom"
  )
  const isStarted = values.autostart !== false
  tell(
    "autostart",
    isStarted ? "mapped" : "changed",
    undefined,
    isStarted ? undefined : "left out of the apps: a supervisor starts all it has"
  )

  if (values.append_env_to_name === true && environment !== undefined) options.name = `${options.name}-${environment}`
  tell("append_env_to_name", "mapped", "name")
}
