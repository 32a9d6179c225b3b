/**
 * Reads the ecosystem file of PM2, and says of each field what became of it.
 *
 * The file is a program: it is evaluated in a process of its own, with few variables and a time limit, and only what it
 * says is taken, as data. Nothing starts here.
 *
 * @since 0.1.0
 */
import * as Options from "@nexobot/core/Options"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import { load } from "./internal/ecosystem/load.ts"
import type { Ecosystem, EcosystemError } from "./internal/ecosystem/model.ts"
import { translate } from "./internal/ecosystem/translate.ts"
import * as ProcessSpec from "./ProcessSpec.ts"

export type { AppOptions, Ecosystem, FieldReport, Outcome, Reason } from "./internal/ecosystem/model.ts"
export {
  Duplicate,
  EcosystemError,
  Invalid,
  NoApps,
  NotFound,
  Timeout,
  Unparsable,
  Unreadable
} from "./internal/ecosystem/model.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface EcosystemOptions {
  /** `production` lays `env_production` over `env`, as `pm2 start --env production` does; none unless told. */
  readonly env?: string
  /**
   * Names of variables of this process that the file finds in its environment, and the apps in theirs; besides PATH,
   * HOME, USER, LANG, LC_ALL, TZ and TMPDIR. The file finds NODE_ENV, too.
   */
  readonly inheritEnv?: ReadonlyArray<string>
  /** For how long the file may run: from 100 ms on, 10 seconds unless told. */
  readonly timeout?: Duration.Input
}

const checks = Options.checks("Ecosystem")

const settings = (path: string, options: EcosystemOptions) => {
  checks.known(options, ["env", "inheritEnv", "timeout"])
  checks.nonEmptyString("path", path)
  const names = options.inheritEnv ?? []
  if (!Array.isArray(names)) checks.fail("inheritEnv", names, "an array of strings")
  const { env } = options
  if (env !== undefined && !/^\w+$/.test(env)) checks.fail("env", env, "a name, such as production for env_production")
  return {
    env,
    inheritEnv: names.map((name, index) => checks.nonEmptyString(`inheritEnv[${index}]`, name)),
    timeout: checks.duration("timeout", options.timeout ?? "10 seconds", "100 millis")
  }
}

/**
 * Reads an ecosystem file: `.js`, `.cjs`, `.mjs`, `.ts`, `.cts`, `.mts`, `.json`, `.yaml` or `.yml`. It may export apps,
 * one app or an array of them, a function or a promise of these, as in PM2. Types are taken out by Node.js itself. What
 * is wrong with the options throws `OptionError`; what is wrong with the file is an `EcosystemError`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const read = (path: string, options: EcosystemOptions = {}): Effect.Effect<Ecosystem, EcosystemError> => {
  const { env, inheritEnv, timeout } = settings(path, options)
  return Effect.flatMap(
    load(path, [...ProcessSpec.defaultInheritEnv, "NODE_ENV", ...inheritEnv], timeout),
    ({ content, file }) => translate(file, content, { env, inheritEnv })
  )
}

/**
 * Its apps, for a supervisor.
 *
 * @category conversions
 * @since 0.1.0
 */
export const specs = ({ apps }: Ecosystem): ReadonlyArray<ProcessSpec.ProcessSpec> =>
  // oxlint-disable-next-line typescript/no-unnecessary-type-arguments -- inferred, it is every probe
  apps.map((app) => ProcessSpec.make<never>(app))
