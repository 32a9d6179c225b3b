import * as Fs from "node:fs/promises"

/** The web UI lost a route: put it back into its configuration, keep everything else, and let it read the file anew. */
import * as DurableFile from "@nexobot/core/DurableFile"
import { ProcessControl } from "@nexobot/core/ProcessControl"
import * as Remediator from "@nexobot/core/Remediator"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const id = "restore-route"

/** What else the file holds is kept as it is. */
const WebUiConfig = Schema.fromJsonString(
  Schema.StructWithRest(Schema.Struct({ routes: Schema.Record(Schema.String, Schema.String) }), [
    Schema.Record(Schema.String, Schema.Json)
  ])
)

const decode = Schema.decodeEffect(WebUiConfig)

const read = (file: string) =>
  Effect.tryPromise({ try: () => Fs.readFile(file, "utf8"), catch: String }).pipe(
    Effect.flatMap((text) => Effect.mapError(decode(text), (error) => error.message)),
    Effect.mapError((why) => Remediator.refused(id, `${file}: ${why}`))
  )

export const restoreRoute = (options: {
  readonly process: string
  readonly file: string
  readonly route: string
  readonly page: string
}): Remediator.Remediator<unknown, ProcessControl> => {
  const { file, page, process, route } = options
  return Remediator.make({
    id,
    description: `put the route ${route} back into the configuration of ${process} and reload it`,
    blastRadius: "file",
    reversible: true,
    privilege: "own-user",
    precondition: () =>
      Effect.flatMap(read(file), (config) =>
        config.routes[route] === undefined
          ? Effect.void
          : Effect.fail(Remediator.refused(id, `${file} has the route ${route}`))
      ),
    apply: Effect.fnUntraced(function* () {
      const config = yield* read(file)
      const repaired = { ...config, routes: { [route]: page, ...config.routes } }
      yield* DurableFile.replace(file, `${JSON.stringify(repaired, undefined, 2)}\n`).pipe(
        Effect.andThen(ProcessControl.use((control) => control.signal(process, "SIGHUP"))),
        Effect.mapError((error) => Remediator.failed(id, error.message))
      )
    })
  })
}
