/** What the machine decided, as events. */
import * as Duration from "effect/Duration"

import * as Event from "../SupervisorEvent.ts"
import type { Events } from "./events.ts"
import type { Decision } from "./machine.ts"

export const publishDecision = ({ publish }: Events, decision: Decision): void => {
  const { name } = decision
  publish(name, (common) => {
    switch (decision._tag) {
      case "StopRequested":
        return new Event.StopRequested({ ...common, by: decision.by })
      case "RestartDecided": {
        const { after, restarts, why } = decision
        return new Event.RestartDecided({ ...common, restarts, why, after: Duration.millis(after) })
      }
      case "Blocked":
        return new Event.Blocked({ ...common, on: decision.on })
      case "Skipped":
        return new Event.Skipped({ ...common, because: decision.because, exit: decision.exit })
      case "GaveUp":
        return new Event.GaveUp({ ...common, reason: decision.reason })
      case "Ended":
        return new Event.Ended(common)
      case "Escalated":
        return new Event.Escalated({ ...common, to: decision.to, because: decision.because })
    }
  })
}
