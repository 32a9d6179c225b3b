import * as Fs from "node:fs/promises"
import { fileURLToPath } from "node:url"

/** The stack definition: a JSON file, decoded whole before anything is started. */
import * as Options from "@nexobot/core/Options"
import { Policy } from "@nexobot/recovery"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"

const Port = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65535 }))
const Service = Schema.Struct({ port: Port })

const Definition = Schema.Struct({
  gateway: Service,
  webUi: Service,
  redis: Service,
  console: Service,
  /** Policy of the recovery loop; durations as text, for example `"500 millis"`. */
  recovery: Schema.Struct({
    period: Schema.optionalKey(Schema.DurationFromString),
    fastPeriod: Schema.optionalKey(Schema.DurationFromString),
    slowPeriod: Schema.optionalKey(Schema.DurationFromString),
    stable: Schema.optionalKey(Schema.DurationFromString),
    within: Schema.optionalKey(Schema.DurationFromString),
    checkWithin: Schema.optionalKey(Schema.DurationFromString),
    applyWithin: Schema.optionalKey(Schema.DurationFromString),
    resetAfter: Schema.optionalKey(Schema.DurationFromString),
    fall: Schema.optionalKey(Schema.Int),
    rise: Schema.optionalKey(Schema.Int),
    attempts: Schema.optionalKey(Schema.Int)
  })
})

export interface Settings {
  readonly ports: { readonly gateway: number; readonly webUi: number; readonly redis: number; readonly console: number }
  readonly policy: Policy.PolicyOptions
}

/** The file cannot be read, or something in it cannot work; `why` names the field and the value. */
export class SettingsError extends Schema.TaggedError<SettingsError>("nexobot/SettingsError")("SettingsError", {
  file: Schema.String,
  why: Schema.String
}) {
  override get message(): string {
    return `the stack definition ${this.file} cannot be used:\n${this.why}`
  }
}

export const defaultFile = fileURLToPath(new URL("../nexobot.json", import.meta.url))

const parseJson = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Unknown))
const decode = Schema.decodeUnknownEffect(Definition, { errors: "all", onExcessProperty: "error" })
const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

/** One line for each bad field: where it is, what stands there, what was expected. */
const explain = (json: unknown, { issue }: Schema.SchemaError): string =>
  formatIssue(issue)
    .issues.map(({ message, path = [] }) => {
      const keys = path.map((part) => (typeof part === "object" ? part.key : part))
      const value = keys.reduce<unknown>(
        (inside, key) => (typeof inside === "object" && inside !== null ? Reflect.get(inside, key) : undefined),
        json
      )
      return `${keys.map(String).join(".") || "the file"} is ${JSON.stringify(value) ?? "missing"}: ${message}`
    })
    .join("\n")

export const load = Effect.fnUntraced(function* (file: string): Effect.fn.Return<Settings, SettingsError> {
  const text = yield* Effect.tryPromise({
    try: () => Fs.readFile(file, "utf8"),
    catch: (cause) => new SettingsError({ file, why: cause instanceof Error ? cause.message : String(cause) })
  })
  const json = yield* Effect.mapError(parseJson(text), () => new SettingsError({ file, why: "it is not JSON" }))
  const definition = yield* Effect.mapError(
    decode(json),
    (error) => new SettingsError({ file, why: explain(json, error) })
  )
  yield* Effect.try({
    try: () => Policy.make(definition.recovery, "recovery"),
    catch: (cause) =>
      new SettingsError({ file, why: cause instanceof Options.OptionError ? cause.message : String(cause) })
  })
  const { console, gateway, redis, webUi } = definition
  const ports = { gateway: gateway.port, webUi: webUi.port, redis: redis.port, console: console.port }
  const names = Object.entries(ports)
  const twice = names.find(([, port], at) => names.findIndex((other) => other[1] === port) !== at)
  if (twice !== undefined) {
    return yield* new SettingsError({ file, why: `${twice[0]}.port is ${twice[1]}, which another part has already` })
  }
  return { ports, policy: definition.recovery }
})
