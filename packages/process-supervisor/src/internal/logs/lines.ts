/**
 * Cuts output into lines, by bytes: no character of UTF-8 has the byte of a newline in it, so none is torn by the way
 * in which output comes in pieces.
 */

/** A longer line comes in pieces of this many bytes. */
export const longestLine = 65_536

const newline = 0x0a

/** `data` from `start` to `end` is a line or a piece of one, with the newline if it has one. */
export type OnLine = (data: Buffer, start: number, end: number) => void

/** Up to three bytes less, so that no character is cut. */
const boundary = (data: Buffer, at: number): number => {
  for (let back = 0; back < 4; back += 1) if (((data[at - back] ?? 0) & 0xc0) !== 0x80) return at - back
  return at
}

/** Where a line is cut does not depend on the pieces in which it came. */
export class Lines {
  /** The line that has not ended; its pieces are put together once. */
  private carry: Array<Buffer> = []
  /** Bytes of it. */
  held = 0
  private readonly longest: number

  constructor(longest = longestLine) {
    this.longest = longest
  }

  push(chunk: Buffer, onLine: OnLine): void {
    const first = chunk.indexOf(newline)
    if (first < 0 && this.held + chunk.length <= this.longest) {
      this.keep(chunk)
      return
    }
    let data = chunk
    if (this.held > 0) {
      data = Buffer.concat([...this.carry, chunk])
      this.forget()
    }
    let start = 0
    while (start < data.length) {
      const end = data.indexOf(newline, start) + 1
      const length = (end === 0 ? data.length : end) - start
      if (length > this.longest) {
        const cut = boundary(data, start + this.longest)
        onLine(data, start, cut)
        start = cut
      } else if (end > 0) {
        onLine(data, start, end)
        start = end
      } else {
        this.keep(data.subarray(start))
        break
      }
    }
  }

  /** The last line may have no end. */
  end(onLine: OnLine): void {
    if (this.held === 0) return
    const data = Buffer.concat(this.carry)
    this.forget()
    onLine(data, 0, data.length)
  }

  private keep(data: Buffer): void {
    this.carry.push(data)
    this.held += data.length
    // Many tiny pieces would take more than their bytes.
    if (this.carry.length >= 64) this.carry = [Buffer.concat(this.carry)]
  }

  private forget(): void {
    this.carry = []
    this.held = 0
  }
}

/** Of a line, without its end, as it is put by the systems of the world. */
export const textOf = (data: Buffer, start: number, end: number): string => {
  let last = end
  if (last > start && data[last - 1] === newline) last -= 1
  if (last > start && data[last - 1] === 0x0d) last -= 1
  return data.toString("utf8", start, last)
}

/** Puts lines together that continue each other. */
export class Joiner<A> {
  private texts: Array<{ readonly text: string; readonly of: A }> = []
  private length = 0
  private readonly continues: RegExp | undefined
  private readonly emit: (parts: ReadonlyArray<{ readonly text: string; readonly of: A }>) => void

  constructor(
    continues: RegExp | undefined,
    emit: (parts: ReadonlyArray<{ readonly text: string; readonly of: A }>) => void
  ) {
    this.continues = continues
    this.emit = emit
  }

  push(text: string, of: A): void {
    const part = { text, of }
    if (this.continues === undefined) {
      this.emit([part])
      return
    }
    const isLong = this.length + text.length > longestLine || this.texts.length >= 1000
    if (isLong || !this.continues.test(text)) this.flush()
    this.texts.push(part)
    this.length += text.length
  }

  flush(): void {
    if (this.texts.length === 0) return
    const { texts } = this
    this.texts = []
    this.length = 0
    this.emit(texts)
  }
}
