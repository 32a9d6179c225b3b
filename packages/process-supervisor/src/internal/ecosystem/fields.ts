/**
 * The fields of an app in PM2's ecosystem file, as PM2 7 knows them: other names that it takes, and what may stand there.
 */
import * as Schema from "effect/Schema"

/** One kind of value, and how it is called in an error. */
const kind = <S extends Schema.ConstraintDecoder<unknown>>(schema: S, expected: string) => ({ schema, expected })

const numeric = Schema.Union([Schema.Finite, Schema.FiniteFromString])
const atLeast = (least: number) => numeric.check(Schema.isGreaterThanOrEqualTo(least))

const text = kind(Schema.NonEmptyString, "a text")
const flag = kind(Schema.Boolean, "true or false")
const millis = kind(atLeast(0), "a number of milliseconds")
const texts = kind(
  Schema.Union([Schema.String, Schema.Array(Schema.Union([Schema.String, Schema.Finite]))]),
  "a text, or an array of texts"
)
const object = kind(Schema.Record(Schema.String, Schema.Unknown), "an object")
const account = kind(Schema.Union([Schema.Int, Schema.NonEmptyString]), "a name or a number")
const anything = kind(Schema.Unknown, "anything")
const isInstances = Schema.makeFilter((value: number | "max") => value === "max" || Number.isInteger(value))

/** By PM2's own names, all of them. */
export const fields = {
  script: text,
  name: text,
  name_prefix: text,
  filter_env: kind(
    Schema.Union([Schema.Boolean, Schema.String, Schema.Array(Schema.String)]),
    "true or false, or the names of variables"
  ),
  namespace: text,
  install_url: text,
  cwd: text,
  args: texts,
  exec_interpreter: text,
  node_args: texts,
  out_file: text,
  error_file: text,
  log_file: kind(Schema.Union([Schema.Boolean, Schema.NonEmptyString]), "a path, or true or false"),
  disable_logs: flag,
  log_type: text,
  log_date_format: text,
  time: flag,
  env: object,
  max_memory_restart: kind(
    Schema.Union([atLeast(1), Schema.String.check(Schema.isPattern(/^0*[1-9]\d*[GMK]$/))]),
    "a number of bytes, or a text such as 300M or 1G"
  ),
  pid_file: text,
  restart_delay: millis,
  exp_backoff_restart_delay: millis,
  source_map_support: flag,
  disable_source_map_support: flag,
  wait_ready: flag,
  instances: kind(Schema.Union([numeric, Schema.Literal("max")]).check(isInstances), 'an integer, or "max"'),
  kill_timeout: millis,
  shutdown_with_message: flag,
  listen_timeout: millis,
  cron_restart: kind(Schema.Union([Schema.Finite, Schema.String]), "a cron expression of five or six fields"),
  merge_logs: flag,
  vizion: flag,
  autostart: flag,
  autorestart: flag,
  stop_exit_codes: kind(Schema.Union([numeric, Schema.Array(numeric)]), "an exit code, or an array of exit codes"),
  watch_delay: millis,
  watch: kind(
    Schema.Union([Schema.Boolean, Schema.NonEmptyString, Schema.Array(Schema.NonEmptyString)]),
    "true or false, or paths"
  ),
  ignore_watch: kind(Schema.Union([Schema.String, Schema.Array(Schema.Unknown)]), "a pattern, or an array of patterns"),
  watch_options: object,
  min_uptime: kind(
    Schema.Union([atLeast(100), Schema.String.check(Schema.isPattern(/^\d+[hms]$/))]),
    "a number of milliseconds of at least 100, or a text such as 10s, 5m or 1h"
  ),
  max_restarts: kind(atLeast(0).check(Schema.isInt()), "an integer of at least 0"),
  execute_command: flag,
  exec_mode: kind(Schema.Literals(["cluster", "cluster_mode", "fork", "fork_mode"]), "fork or cluster"),
  force: flag,
  append_env_to_name: flag,
  post_update: anything,
  trace: flag,
  disable_trace: flag,
  v8: flag,
  event_loop_inspector: flag,
  deep_monitoring: flag,
  increment_var: text,
  instance_var: text,
  pmx: kind(Schema.Union([Schema.Boolean, Schema.String]), "true or false"),
  automation: flag,
  treekill: flag,
  port: kind(
    numeric.check(Schema.isInt(), Schema.isBetween({ minimum: 1, maximum: 65535 })),
    "an integer from 1 to 65535"
  ),
  username: text,
  uid: account,
  gid: account,
  windowsHide: flag,
  kill_retry_time: millis,
  write: flag,
  io: object
} as const

export type Field = keyof typeof fields

/** What was found under each, decoded. */
export type Values = { readonly [F in Field]?: (typeof fields)[F]["schema"]["Type"] }

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys of a constant
export const names = Object.keys(fields) as ReadonlyArray<Field>

const aliases: Partial<Readonly<Record<Field, ReadonlyArray<string>>>> = {
  script: ["exec", "cmd", "command"],
  exec_interpreter: ["interpreter"],
  node_args: ["interpreterArgs", "interpreter_args"],
  out_file: ["out", "output", "out_log"],
  error_file: ["error", "err", "err_file", "err_log"],
  log_file: ["log"],
  pid_file: ["pid"],
  cron_restart: ["cron"],
  merge_logs: ["combine_logs"],
  uid: ["user"]
}

/** PM2 takes `maxRestarts` for `max_restarts`, and so on. */
const camelCase = (name: string): string =>
  name.replace(/_([a-z])(?=[a-z])/g, (_, letter: string) => letter.toUpperCase())

const byName: ReadonlyMap<string, Field> = new Map(
  names
    .toReversed()
    .flatMap((name) => [...(aliases[name] ?? []), camelCase(name), name].map((one) => [one, name] as const))
)

/** The field that a name in a file stands for. */
export const fieldOf = (name: string): Field | undefined => byName.get(name)

/** `env_production` and its like. */
export const isEnvironment = (name: string): boolean => /^env_\S*$/.test(name)

const schemaOf = (field: Field): Schema.ConstraintDecoder<unknown> => fields[field].schema

/** The value as the field's schema has it. */
export const decode = (field: Field, value: unknown) => Schema.decodeUnknownOption(schemaOf(field))(value)
