/**
 * How probes over HTTP tell what they found.
 *
 * @since 0.1.0
 */
import type { Redactor } from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"

import { excerpt } from "./excerpt.ts"
import { type Route, routeLines } from "./httpConnection.ts"
import { ownFault } from "./systemError.ts"

/** As it was given, without the query, which may have secrets. */
export const withoutQuery = (url: string): string => url.replace(/[?#].*$/s, "")

/** What it means that there was no answer, and a code in its place. */
export const broken = <S extends Verdict.Signature>(
  code: string,
  { by }: Route,
  signature: S
): Verdict.Unhealthy<S> | Verdict.Inconclusive => {
  // Of a unix socket EAGAIN tells that nobody takes the connections that wait there.
  if (by === "socket" && code === "EAGAIN") {
    return Verdict.unhealthy(signature, ["too many connections wait to be accepted (EAGAIN)"])
  }
  const why = ownFault(code)
  return why === undefined ? Verdict.unhealthy(signature, [code]) : Verdict.inconclusive(why)
}

/** The verdict with who was asked in front and the way there behind, and nothing that must not be shown. */
export const report = <S extends Verdict.Signature>(
  verdict: Verdict.Verdict<S>,
  who: string,
  route: Route,
  redactor: Redactor,
  steps: ReadonlyArray<string> = []
): Verdict.Verdict<S> => {
  const lines = (texts: ReadonlyArray<string>) => texts.map((text) => excerpt(text, redactor))
  const way = lines([...steps, ...routeLines(route)])
  const says = (text: string) => `${who}: ${excerpt(text, redactor)}`
  if (verdict._tag === "Healthy") return route.resolved.length === 0 ? verdict : Verdict.healthyWith(way)
  if (verdict._tag === "Inconclusive") return Verdict.inconclusive(says(verdict.reason))
  const [what = "", ...more] = verdict.evidence
  return { ...verdict, evidence: [says(what), ...lines(more), ...way] }
}
