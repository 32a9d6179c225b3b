/** What the policies of `core` cost, beside their peers, in one process: breaker, composition, redaction. */
import * as Breaker from "../policies/breaker.ts"
import * as Compose from "../policies/compose.ts"
import * as Redaction from "../policies/redaction.ts"
import type { Row } from "../report.ts"

export const run = async (): Promise<ReadonlyArray<Row>> => [
  ...(await Breaker.measureCalls()),
  ...(await Compose.run()),
  ...Redaction.run(),
  ...(await Breaker.measureKeys())
]
