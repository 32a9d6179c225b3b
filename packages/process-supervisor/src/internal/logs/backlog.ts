/**
 * What waits for the disk: bounded, in order, and counted. Plain code, as it runs for every chunk of output.
 */
import type { Amount } from "../../ProcessLog.ts"

interface Piece {
  data: Buffer
  /** Bytes of output that it stands for: with prefixes it is longer, and a note stands for none. */
  source: number
  readonly lines: number
  /** May be cut anywhere; others only at the end of a line. */
  readonly isRaw: boolean
}

interface Count {
  bytes: number
  lines: number
}

const newline = 0x0a
/** What a piece takes beside its bytes, roughly: many small ones would be more than their bytes. */
const overhead = 256
/** Bytes of one write: enough for speed, and not so much that others wait long for their turn. */
const mostAtOnce = 1_048_576

const add = (count: Count, bytes: number, lines: number): void => {
  count.bytes += bytes
  count.lines += lines
}

export interface BacklogOptions {
  readonly limit: number
  /** What the file says of a loss; nothing in a raw one. */
  readonly note: (lost: Amount) => Buffer | undefined
  /** Something waits. */
  readonly onData: () => void
  /** Nothing more should come until `onOpen`. */
  readonly onFull: () => void
  readonly onOpen: () => void
  /** Output was lost; what comes now is kept again, unless nobody writes any more. */
  readonly onLoss: (lost: Amount) => void
}

/** - `Open`: takes all. - `Full`: takes it, and asks for no more. - `Dropping`: takes nothing. */
type State = "Open" | "Full" | "Dropping"

export class Backlog {
  readonly written: Count = { bytes: 0, lines: 0 }
  readonly dropped: Count = { bytes: 0, lines: 0 }
  readonly filtered: Count = { bytes: 0, lines: 0 }
  state: State = "Open"
  /** Bytes of output that wait. */
  waiting = 0
  /** Whether the file ends in the middle of a line, whose rest is the first piece. */
  isMidLine = false
  /** Since the last note. */
  private lost: Count = { bytes: 0, lines: 0 }
  private pieces: Array<Piece> = []
  private head = 0
  private weight = 0
  private readonly options: BacklogOptions

  constructor(options: BacklogOptions) {
    this.options = options
  }

  get isEmpty(): boolean {
    return this.head === this.pieces.length
  }

  offer(data: Buffer, source: number, lines: number, isRaw: boolean): void {
    if (this.state === "Dropping") {
      this.drop(source, lines)
      return
    }
    this.push({ data, source, lines, isRaw })
    if (this.state === "Open" && this.weight >= this.options.limit) {
      this.state = "Full"
      this.options.onFull()
    }
  }

  /** Output that is never to be written, of which the file has its own note. */
  refuse(source: number, lines: number): void {
    add(this.dropped, source, lines)
  }

  /** From now on until there is room. */
  startDropping(): void {
    if (this.state !== "Full") return
    this.state = "Dropping"
    this.options.onOpen()
  }

  /** What is to be written next into `room`. Nothing: not a line more fits, and it takes another file. */
  batch(room: number, isFileEmpty: boolean): ReadonlyArray<Buffer> {
    const data: Array<Buffer> = []
    let total = 0
    for (let index = this.head; index < this.pieces.length && total < mostAtOnce; index += 1) {
      const piece = this.pieces[index]
      if (piece === undefined) break
      const left = room - total
      if (piece.data.length <= left) {
        data.push(piece.data)
        total += piece.data.length
        continue
      }
      const whole = total === 0 && (isFileEmpty || this.isMidLine)
      const cut = piece.isRaw ? Math.max(0, left) : endOfLine(piece.data, left, whole)
      if (cut > 0) data.push(piece.data.subarray(0, cut))
      break
    }
    return data
  }

  /** The first `bytes` are written. */
  advance(bytes: number): void {
    let left = bytes
    while (left > 0) {
      const piece = this.pieces[this.head]
      if (piece === undefined) break
      if (left < piece.data.length) {
        this.isMidLine = !piece.isRaw && piece.data[left - 1] !== newline
        if (piece.isRaw) {
          this.count(left, 0)
          piece.source -= left
        }
        piece.data = piece.data.subarray(left)
        this.weight -= left
        break
      }
      left -= piece.data.length
      this.isMidLine = false
      this.count(piece.source, piece.lines)
      this.weight -= piece.data.length + overhead
      this.head += 1
    }
    // Moved together once in a while, as that takes time in proportion to what waits.
    if (this.head > 64 && this.head * 2 > this.pieces.length) {
      this.pieces = this.pieces.slice(this.head)
      this.head = 0
    }
    if (this.state !== "Open" && this.weight <= this.options.limit / 2) this.reopen()
  }

  /** Nobody writes any more. */
  abandon(): void {
    for (const { lines, source } of this.pieces.slice(this.head)) this.drop(source, lines)
    this.pieces = []
    this.head = 0
    this.weight = 0
    this.waiting = 0
    // Its limit is no limit any more: nobody waits until there is room.
    this.state = "Dropping"
    this.tellLost()
  }

  private count(source: number, lines: number): void {
    add(this.written, source, lines)
    this.waiting -= source
  }

  private drop(source: number, lines: number): void {
    add(this.dropped, source, lines)
    add(this.lost, source, lines)
  }

  private push(piece: Piece): void {
    this.pieces.push(piece)
    this.weight += piece.data.length + overhead
    this.waiting += piece.source
    this.options.onData()
  }

  private reopen(): void {
    const { lost, state } = this
    this.state = "Open"
    const data = lost.bytes > 0 ? this.options.note(lost) : undefined
    if (data !== undefined) this.push({ data, source: 0, lines: 0, isRaw: false })
    this.tellLost()
    if (state === "Full") this.options.onOpen()
  }

  private tellLost(): void {
    if (this.lost.bytes > 0) this.options.onLoss(this.lost)
    this.lost = { bytes: 0, lines: 0 }
  }
}

/** Where the last line ends that fits; of a line that has to be written whole, where it ends. */
const endOfLine = (data: Buffer, room: number, whole: boolean): number => {
  const last = room <= 0 ? 0 : data.lastIndexOf(newline, room - 1) + 1
  if (last > 0 || !whole) return last
  const first = data.indexOf(newline) + 1
  return first > 0 ? first : data.length
}
