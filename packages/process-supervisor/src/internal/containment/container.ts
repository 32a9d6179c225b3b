/** What holds one life of a supervised process, and can end all of it at once. */
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import * as Effect from "effect/Effect"

import type { Tier } from "./containmentError.ts"

/** How to start a program. `uid` and `gid` are for `spawn`; absent where the command itself sees to them. */
export interface Start {
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly uid?: number
  readonly gid?: number
}

/** As Node says it. */
export interface End {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** One life of a process. Id and name are letters, digits and `_ . @ : -`. */
export interface Life {
  readonly id: string
  readonly name: string
  readonly life: number
  /**
   * Bytes above which the kernel itself kills, at once. Only where the tier has a memory controller: the supervisor
   * still has to look after the memory itself.
   */
  readonly memoryLimit?: number
  readonly uid?: number
  readonly gid?: number
}

/** Whose rights it has to be given; root alone can give any, also its own without its further groups. */
export const userFor = ({ gid, uid }: Life): { readonly uid: number | undefined; readonly gid: number | undefined } => {
  const isRoot = process.geteuid?.() === 0
  return {
    uid: !isRoot && uid === process.geteuid?.() ? undefined : uid,
    gid: !isRoot && gid === process.getegid?.() ? undefined : gid
  }
}

/** A process as long as it is alive, and its number its own. */
export const alive = (
  process: () => ProcessIdentity.ProcessIdentity | undefined
): Effect.Effect<ProcessIdentity.ProcessIdentity | undefined> =>
  Effect.suspend(() => {
    const one = process()
    return one === undefined
      ? Effect.undefined
      : Effect.map(ProcessIdentity.isAlive(one), (is) => (is ? one : undefined))
  }).pipe(Effect.orElseSucceed(() => undefined))

export interface Container {
  readonly tier: Tier
  /** A file that ends all of it when "1" is written to it, by whoever: for the guardian. */
  readonly killFile: string | undefined
  /** How to start the program within it. */
  readonly wrap: (command: string, args: ReadonlyArray<string>) => Start
  /** To be told who was spawned, as soon as it is. */
  readonly started: (child: ProcessIdentity.ProcessIdentity) => void
  /**
   * The program itself, of which the spawned child may be only the wrapping: to it go the stop signals. `undefined`
   * when it is gone, or not there yet.
   */
  readonly main: Effect.Effect<ProcessIdentity.ProcessIdentity | undefined>
  /** Pids that the tier itself knows; none for "group". */
  readonly members: Effect.Effect<ReadonlyArray<number>>
  /** Ends all at once by the tier's own means; `true` if it is proven that nobody is left. Does nothing for "group". */
  readonly kill: Effect.Effect<boolean>
  /**
   * How the program ended, of how the spawned child did. `sent` are the signals that we sent to the program: of SIGKILL
   * `unshare` makes an exit code 1, in util-linux 2.38 and 2.39.
   */
  readonly endOf: (end: End, sent?: ReadonlySet<string>) => End
  /** How often the kernel killed for want of memory within it; `undefined` where it does not count that. */
  readonly oomKills: Effect.Effect<number | undefined>
  /** Removes what was made for it, unless processes are still in it. */
  readonly release: Effect.Effect<void>
}
