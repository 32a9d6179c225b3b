/** The process group that every child has anyway: what leaves it is found by its cookie. */
import type { ProcessIdentity } from "@nexobot/core/ProcessIdentity"
import * as Effect from "effect/Effect"

import { alive, type Container, type Life } from "./container.ts"

export const make = ({ gid, uid }: Life): Container => {
  let child: ProcessIdentity | undefined
  return {
    tier: "group",
    killFile: undefined,
    wrap: (command, args) => ({
      command,
      args,
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid })
    }),
    started: (identity) => {
      child = identity
    },
    main: alive(() => child),
    members: Effect.succeed([]),
    kill: Effect.succeed(false),
    endOf: (end) => end,
    oomKills: Effect.undefined,
    release: Effect.void
  }
}
