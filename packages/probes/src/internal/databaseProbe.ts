/**
 * What the probes of databases have in common: the way to the database, the time that it takes, and several findings of
 * one check as one verdict.
 *
 * @since 0.1.0
 */
import type * as Options from "@nexobot/core/Options"
import { Redactor } from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

import type * as Database from "../Database.ts"
import { excerpt } from "./excerpt.ts"

/** The options that all have; each probe documents them. */
export interface CommonOptions {
  readonly database: Database.Database
  readonly maxConnectionsAt?: number
  readonly idleInTransaction?: Duration.Input
  readonly maxReplicationLag?: Duration.Input
  readonly degradedAfter?: Duration.Input
  readonly timeout?: Duration.Input
}

export interface Settings {
  readonly database: Database.Database
  readonly maxConnectionsAt: number
  readonly idleInTransaction: Duration.Duration | undefined
  readonly maxReplicationLag: Duration.Duration | undefined
  readonly degradedAfter: Duration.Duration | undefined
  readonly timeout: Duration.Duration
}

export const checked = (
  checks: Options.Checks,
  dialect: Database.Database["dialect"],
  options: CommonOptions
): Settings => {
  const given: unknown = options.database
  if (!Predicate.hasProperty(given, "dialect") || given.dialect !== dialect) {
    // A URL with a password in it must not get into the error.
    checks.fail(
      "database",
      typeof given === "string" ? Redacted.make(given) : given,
      `a database that speaks ${dialect}`
    )
  }
  const duration = (
    option: "idleInTransaction" | "maxReplicationLag" | "degradedAfter"
  ): Duration.Duration | undefined => {
    const value = options[option]
    return value === undefined ? undefined : checks.duration(option, value, "1 millis")
  }
  const timeout = checks.duration("timeout", options.timeout ?? "5 seconds", "1 millis")
  const degradedAfter = duration("degradedAfter")
  if (degradedAfter !== undefined && Duration.isGreaterThanOrEqualTo(degradedAfter, timeout)) {
    checks.fail("degradedAfter", degradedAfter, `less than the timeout of ${Duration.format(timeout)}`)
  }
  return {
    database: options.database,
    maxConnectionsAt: checks.number("maxConnectionsAt", options.maxConnectionsAt ?? 0.9, 0.01, 1),
    idleInTransaction: duration("idleInTransaction"),
    maxReplicationLag: duration("maxReplicationLag"),
    degradedAfter,
    timeout
  }
}

/** One of perhaps several things that a check has found. */
export interface Finding<S> {
  readonly level: "Unhealthy" | "Degraded"
  readonly signature: S
  readonly line: string
}

export const unhealthy = <S>(signature: S, line: string): Finding<S> => ({ level: "Unhealthy", signature, line })

export const degraded = <S>(signature: S, line: string): Finding<S> => ({ level: "Degraded", signature, line })

/** What was found, the worst first among equals. */
export interface Judgement<S> {
  readonly findings: ReadonlyArray<Finding<S>>
  /** What may be judged in part, or beside the rest. */
  readonly notes: ReadonlyArray<string>
  /** What the probe is for and could not be judged: where nothing else was found, nothing is known. */
  readonly unjudged?: ReadonlyArray<string>
}

/** What a kind of database calls the ways in which a check fails. */
export interface Failures<S> {
  readonly unreachable: (code: string) => S
  readonly late: (after: Duration.Duration) => S
  readonly denied: (message: string) => S
  readonly notReady: (message: string) => S
  readonly full: () => S
  readonly failed: (code: string, message: string) => S
}

const failure = <S extends Verdict.Signature>(
  { message, reason, target }: Database.DatabaseError,
  says: Failures<S>
): Verdict.Verdict<S> => {
  switch (reason._tag) {
    case "OwnFault":
      return Verdict.inconclusive(`${target}: ${reason.why}`)
    case "Unreachable":
      return Verdict.unhealthy(says.unreachable(reason.code), [message])
    case "NotReady":
      return Verdict.unhealthy(says.notReady(reason.message), [message])
    case "TooManyConnections":
      return Verdict.unhealthy(says.full(), [message])
    case "AccessDenied":
      return Verdict.unhealthy(says.denied(reason.message), [message])
    case "QueryFailed":
      return Verdict.unhealthy(says.failed(reason.code, reason.message), [message])
  }
}

const verdictOf = <S extends Verdict.Signature>({
  findings,
  notes,
  unjudged = []
}: Judgement<S>): Verdict.Verdict<S> => {
  const worst = findings.find(({ level }) => level === "Unhealthy") ?? findings[0]
  if (worst === undefined && unjudged.length > 0) return Verdict.inconclusive([...unjudged, ...notes].join("; "))
  if (worst === undefined) return notes.length === 0 ? Verdict.healthy : Verdict.healthyWith(notes)
  const others = findings.filter((one) => one !== worst).map(({ line }) => line)
  const evidence = [worst.line, ...others, ...unjudged, ...notes]
  return worst.level === "Unhealthy"
    ? Verdict.unhealthy(worst.signature, evidence)
    : Verdict.degraded(worst.signature, evidence)
}

/** An answer that is none of those that the question has. */
export class Strange extends Schema.TaggedError<Strange>("@nexobot/probes/internal/Strange")("Strange", {}) {}

/** Rows as they are expected. */
export const rowsAs =
  <A>(schema: Schema.Codec<A, unknown>) =>
  <E, R>(rows: Effect.Effect<ReadonlyArray<Database.Row>, E, R>): Effect.Effect<ReadonlyArray<A>, E | Strange, R> =>
    Effect.flatMap(rows, (found) =>
      Effect.mapError(Schema.decodeEffect(Schema.Array(schema))(found), () => new Strange())
    )

/** Connects, asks within the time allowed, and leaves nothing. */
export const check = <S extends Verdict.Signature>(
  { database, degradedAfter, timeout }: Settings,
  ask: (session: Database.Session) => Effect.Effect<Judgement<S>, Database.DatabaseError | Strange>,
  says: Failures<S>,
  tooSlow: (took: Duration.Duration) => S
): Effect.Effect<Verdict.Verdict<S>> => {
  const { target } = database
  const asked = Effect.scoped(Effect.flatMap(database.connect, ask)).pipe(
    Effect.timed,
    Effect.map(([took, judgement]) => {
      const slow = degradedAfter !== undefined && Duration.isGreaterThan(took, degradedAfter)
      const shown = Duration.millis(Math.round(Duration.toMillis(took)))
      if (!slow) return verdictOf(judgement)
      const late = degraded(tooSlow(shown), `${target}: answered after ${Duration.format(shown)}`)
      return verdictOf({ ...judgement, findings: [...judgement.findings, late] })
    })
  )
  return asked.pipe(
    Effect.catchTags({
      DatabaseError: (error) => Effect.succeed(failure(error, says)),
      Strange: () => Effect.succeed(Verdict.inconclusive(`${target}: an answer that makes no sense`))
    }),
    Effect.timeoutOrElse({
      duration: timeout,
      orElse: () =>
        Effect.sync(() =>
          Verdict.unhealthy(says.late(timeout), [`${target}: no answer within ${Duration.format(timeout)}`])
        )
    })
  )
}

/** A text of the database, as it may be shown. */
export const shown = (text: string): Effect.Effect<string> =>
  Effect.map(Redactor, (redactor) => excerpt(text, redactor))

/** `maxConnectionsAt`, as a finding: so many are taken of so many. */
export const nearLimit = <S>(
  { database, maxConnectionsAt }: Settings,
  used: number,
  limit: number,
  signature: () => S
): ReadonlyArray<Finding<S>> =>
  used >= limit * maxConnectionsAt
    ? [degraded(signature(), `${database.target}: ${used} of ${limit} connections are taken`)]
    : []
