/**
 * Texts from outside, as they may be shown.
 *
 * @since 0.1.0
 */
import type { Redactor } from "@nexobot/core/Redaction"

/** More than is ever shown; redacted first, as half a secret would not be recognised. */
const looked = 8192

/** The first 200 characters in one line, without secrets and control characters. */
export const excerpt = (text: string, redactor: Redactor): string =>
  redactor
    .text(text.slice(0, looked))
    .replace(/[\s\p{Cc}\p{Cf}]+/gu, " ")
    .trim()
    .slice(0, 200)
