/** The stack, as its ecosystem file has it. */
import { fileURLToPath } from "node:url"

import * as Ecosystem from "@nexobot/process-supervisor/Ecosystem"
import * as Supervisor from "@nexobot/process-supervisor/Supervisor"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const file = fileURLToPath(new URL("../ecosystem.config.cjs", import.meta.url))

/** The file asks for these; by default it has 3004, 3000 and 3002. */
const ports = ["BACKEND_PORT", "FRONTEND_PORT", "GENERATOR_PORT"]

export const read = Ecosystem.read(file, { inheritEnv: ports })

/** Runs the apps until its scope closes. */
export const layer = Layer.unwrap(
  Effect.map(read, (ecosystem) => Supervisor.layer(Ecosystem.specs(ecosystem), { id: "codex" }))
)

const line = ({ app, field, outcome, to, value, why }: Ecosystem.FieldReport): string =>
  [(app ?? "").padEnd(16), field.padEnd(19), value.padEnd(26), outcome.padEnd(8), to ?? "", why ?? ""]
    .join("  ")
    .trimEnd()

/** What became of each field, one line each. */
export const table = ({ defaults, report }: Ecosystem.Ecosystem): string =>
  [...report.map(line), "", "left out, where PM2 would do something else:", ...defaults.map(line)].join("\n")
