/**
 * Texts from outside, as they may be shown.
 *
 * @since 0.1.0
 */
import { chunks, type Redactor } from "@nexobot/core/Redaction"

/** Redacted at once. */
const piece = 8192

/** So much of a text is looked at for what may be shown. */
const mostLooked = 256 * 1024

const shown = 200

const inOneLine = (text: string): string => text.replace(/[\s\p{Cc}\p{Cf}]+/gu, " ").trim()

/**
 * The first 200 characters in one line, without secrets and control characters.
 *
 * Half a secret would not be recognised: where only a part of the text is looked at, or there is only a part of it
 * (`isCut`), what may belong to a secret at its end is left out.
 */
export const excerpt = (text: string, redactor: Redactor, isCut = false): string => {
  if (!isCut && text.length <= piece) return inOneLine(redactor.text(text)).slice(0, shown)
  const { flush, push } = chunks(redactor)
  let said = ""
  const isEnough = () => inOneLine(said).length >= shown
  for (let start = 0; !isEnough() && start < Math.min(text.length, mostLooked); start += piece) {
    said += push(text.slice(start, start + piece))
  }
  // What was kept back can be told only at the end of a text that is all there.
  if (!isEnough() && !isCut && text.length <= mostLooked) said += flush()
  return inOneLine(said).slice(0, shown)
}
