/**
 * Who may use the console: whoever has the bearer token, and a browser that exchanged a one-time code (or the token)
 * for a session cookie.
 *
 * This module is the declaration, without server code, so that a generated client can use it.
 *
 * @since 0.1.0
 */
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as HttpApiSecurity from "effect/http-api/HttpApiSecurity"
import * as Schema from "effect/Schema"

/**
 * No credential, or a wrong or expired one.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unauthorized extends Schema.TaggedError<Unauthorized>("@nexobot/console/Unauthorized")(
  "Unauthorized",
  { message: Schema.String },
  { httpApiStatus: 401 }
) {}

/**
 * The credential is good, but the request comes from a place it must not come from.
 *
 * - `ForeignOrigin`: a write from a page of another origin.
 * - `MissingOrigin`: a write with a session cookie and without an `Origin` header, which every browser sends.
 * - `UnknownHost`: the `Host` header names a host that is not in `allowedHosts` (DNS rebinding).
 *
 * @category errors
 * @since 0.1.0
 */
export class Forbidden extends Schema.TaggedError<Forbidden>("@nexobot/console/Forbidden")(
  "Forbidden",
  { reason: Schema.Literals(["ForeignOrigin", "MissingOrigin", "UnknownHost"]), message: Schema.String },
  { httpApiStatus: 403 }
) {}

/**
 * `Authorization: Bearer <token>`, or the session cookie of the dashboard. A request with an `Authorization` header is
 * judged by that header alone.
 *
 * @category middleware
 * @since 0.1.0
 */
export class Authorization extends HttpApiMiddleware.Service<Authorization>()("@nexobot/console/Authorization", {
  security: { bearer: HttpApiSecurity.bearer },
  error: [Unauthorized, Forbidden]
}) {}
