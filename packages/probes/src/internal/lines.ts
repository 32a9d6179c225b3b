/**
 * Lines of a text that comes in pieces, cut anywhere, also within a character.
 *
 * @since 0.1.0
 */

export interface Pending {
  /** A line that has no end yet. */
  readonly begun: Buffer
  /** Whether what comes up to the next line end belongs to a line that was given out already, cut, or was never wanted. */
  readonly skipping: boolean
}

const nothing = Buffer.alloc(0)
const lineFeed = 0x0a

/** At the beginning of a line. */
export const fresh: Pending = { begun: nothing, skipping: false }

/** Somewhere within a line. */
export const within: Pending = { begun: nothing, skipping: true }

/** What is no UTF-8 becomes U+FFFD. */
export const textOf = (line: Buffer): string => line.toString("utf8").replace(/\r$/, "")

/** Gets a line, and whether it was longer. */
export type OnLine = (line: string, isCut: boolean) => void

/** Tells of each line that is complete, or longer than `longest` bytes and cut there. */
export const push = (pending: Pending, chunk: Buffer, longest: number, onLine: OnLine): Pending => {
  let { begun, skipping } = pending
  let start = 0
  for (;;) {
    const end = chunk.indexOf(lineFeed, start)
    const piece = chunk.subarray(start, end === -1 ? chunk.length : end)
    if (!skipping) {
      const room = longest - begun.length
      // A copy: the chunk's memory is used again.
      begun = Buffer.concat([begun, piece.subarray(0, room)])
      if (end !== -1 || piece.length > room) {
        onLine(textOf(begun), piece.length > room)
        begun = nothing
        skipping = true
      }
    }
    if (end === -1) return { begun, skipping }
    skipping = false
    start = end + 1
  }
}
