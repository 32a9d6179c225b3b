/**
 * The HTTP interface of the console, as a declaration: a server implements it, `HttpApiClient.make(Api)` calls it,
 * `OpenApi.fromApi(Api)` describes it.
 *
 * Every answer but the dashboard and the event stream is JSON, errors too.
 *
 * @since 0.1.0
 */
import * as Recovery from "@nexobot/recovery/Recovery"
import * as Report from "@nexobot/recovery/Report"
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as Schema from "effect/Schema"

import { Authorization, Forbidden, Unauthorized } from "./Authorization.ts"

/**
 * What happened so far.
 *
 * @category models
 * @since 0.1.0
 */
export const RecoveryReport = Schema.Struct({
  /** The last 100 entries, oldest first. */
  log: Schema.Array(Report.RecoveryLogEntry),
  statistics: Report.Statistics
})

/**
 * Ask for a recovery: of everything, or of one component.
 *
 * @category models
 * @since 0.1.0
 */
export const RecoverRequest = Schema.Union([
  Schema.Struct({ action: Schema.Literal("full") }),
  Schema.Struct({ component: Schema.NonEmptyString })
])

/**
 * How the recoveries that were asked for ended; one entry when one component was named.
 *
 * @category models
 * @since 0.1.0
 */
export const RecoverResponse = Schema.Struct({ outcomes: Schema.Array(Report.Outcome) })

/**
 * The components now, in the order they were given.
 *
 * @category models
 * @since 0.1.0
 */
export const Health = Schema.Struct({ components: Schema.Array(Report.ComponentState) })

/**
 * Exchanged for a session cookie: the one-time code of a printed address, or the token.
 *
 * @category models
 * @since 0.1.0
 */
export const SessionRequest = Schema.Union([
  Schema.Struct({ code: Schema.NonEmptyString }),
  Schema.Struct({ token: Schema.NonEmptyString })
])

/**
 * The body is not what is expected.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidRequest extends Schema.TaggedError<InvalidRequest>("@nexobot/console/InvalidRequest")(
  "InvalidRequest",
  { message: Schema.String, expected: Schema.String },
  { httpApiStatus: 400 }
) {}

/**
 * @category errors
 * @since 0.1.0
 */
export class PayloadTooLarge extends Schema.TaggedError<PayloadTooLarge>("@nexobot/console/PayloadTooLarge")(
  "PayloadTooLarge",
  { message: Schema.String, limitBytes: Schema.Int },
  { httpApiStatus: 413 }
) {}

/**
 * Some components were not checked even once, or the loop does not answer.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotReady extends Schema.TaggedError<NotReady>("@nexobot/console/NotReady")(
  "NotReady",
  { message: Schema.String, waiting: Schema.Array(Schema.String) },
  { httpApiStatus: 503 }
) {}

/** The service's own error, which knows nothing of HTTP. */
const UnknownComponent = Recovery.UnknownComponent.pipe(HttpApiSchema.status(404))

/**
 * `GET` what happened, `POST` to recover now. A recovery that has begun goes on when the caller hangs up.
 *
 * @category groups
 * @since 0.1.0
 */
export class AutoRecoveryGroup extends HttpApiGroup.make("autoRecovery")
  .add(
    HttpApiEndpoint.get("report", "/api/system/auto-recovery", { success: RecoveryReport }),
    HttpApiEndpoint.post("recover", "/api/system/auto-recovery", {
      payload: RecoverRequest,
      success: RecoverResponse,
      error: [InvalidRequest, PayloadTooLarge, UnknownComponent]
    })
  )
  .middleware(Authorization) {}

/**
 * Component states, once or as they change: server-sent events named `states`, each with the whole of `Health`.
 *
 * @category groups
 * @since 0.1.0
 */
export class SystemGroup extends HttpApiGroup.make("system")
  .add(
    HttpApiEndpoint.get("health", "/api/system/health", { success: Health }),
    HttpApiEndpoint.get("events", "/api/system/events", { success: HttpApiSchema.StreamSse({ data: Health }) })
  )
  .middleware(Authorization) {}

/**
 * The way in for a browser; the answer has a `Set-Cookie` header and no body.
 *
 * @category groups
 * @since 0.1.0
 */
export class SessionGroup extends HttpApiGroup.make("session").add(
  HttpApiEndpoint.post("open", "/api/session", {
    payload: SessionRequest,
    success: HttpApiSchema.NoContent,
    error: [InvalidRequest, PayloadTooLarge, Unauthorized, Forbidden]
  })
) {}

/**
 * For an orchestrator, without a credential: `livez` answers while the process serves; `readyz` once every component
 * was checked, whatever the checks found. A sick component is what the loop is for, no reason to take the loop down.
 *
 * @category groups
 * @since 0.1.0
 */
export class ProbesGroup extends HttpApiGroup.make("probes").add(
  HttpApiEndpoint.get("live", "/livez", { success: Schema.Struct({ status: Schema.Literal("live") }) }),
  HttpApiEndpoint.get("ready", "/readyz", {
    success: Schema.Struct({ status: Schema.Literal("ready") }),
    error: NotReady
  })
) {}

/**
 * The page. It holds no data, so it needs no credential; what it loads does.
 *
 * @category groups
 * @since 0.1.0
 */
export class DashboardGroup extends HttpApiGroup.make("dashboard").add(
  HttpApiEndpoint.get("page", "/dashboard/system-health", {
    success: Schema.String.pipe(HttpApiSchema.asText({ contentType: "text/html; charset=utf-8" }))
  })
) {}

/**
 * @category api
 * @since 0.1.0
 */
export class Api extends HttpApi.make("nexobot-console")
  .add(AutoRecoveryGroup)
  .add(SystemGroup)
  .add(SessionGroup)
  .add(ProbesGroup)
  .add(DashboardGroup) {}
