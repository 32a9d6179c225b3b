/**
 * What an error of a database means for a probe that asks about its content.
 *
 * @since 0.1.0
 */
import type * as Options from "@nexobot/core/Options"
import * as Verdict from "@nexobot/core/Verdict"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"

import type * as Database from "../Database.ts"

/** Why a database could not be asked. */
export const Reason = Schema.Literals([
  "Unreachable",
  "NotReady",
  "TooManyConnections",
  "AccessDenied",
  "QueryFailed",
  "Timeout"
])

/** A privilege is missing: https://www.postgresql.org/docs/current/errcodes-appendix.html, MySQL's 1142, 1143, 1044, 1227. */
const forbidden = new Set([
  "42501",
  "ER_TABLEACCESS_DENIED_ERROR",
  "ER_COLUMNACCESS_DENIED_ERROR",
  "ER_DBACCESS_DENIED_ERROR",
  "ER_SPECIFIC_ACCESS_DENIED_ERROR"
])

/** The code of an answer that no query of ours can have: whoever gave it is no database that we know. */
export const strange = "STRANGE_ANSWER"

/** An error that says nothing about the target. */
export const inconclusive = (error: Database.DatabaseError): Verdict.Inconclusive | undefined => {
  const { reason } = error
  const isOurs =
    reason._tag === "OwnFault" ||
    (reason._tag === "QueryFailed" && (forbidden.has(reason.code) || reason.code === strange))
  return isOurs ? Verdict.inconclusive(error.message) : undefined
}

/** A URL in its place may have a password in it. */
export const checkDatabase = (checks: Options.Checks, database: unknown, option = "database"): void => {
  if (!Predicate.hasProperty(database, "dialect") || !Predicate.hasProperty(database, "connect")) {
    checks.fail(option, typeof database, "what PostgresDatabase.make or MysqlDatabase.make gives")
  }
}
