/**
 * The plainest redactor of texts: one expression for all forms of all secrets, and one after the other for the shapes.
 * Slow, and easy to judge; what it hides, the real one must hide.
 */
const mask = "<redacted>"

/** Before an escaped character: JSON in JSON in JSON has seven. */
const backslashes = "\\\\{1,7}"

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&")

const hexDigits = (hex: string): string =>
  hex.replace(/[a-f]/gi, (digit) => `[${digit.toLowerCase()}${digit.toUpperCase()}]`)

const percentOf = (char: string): string =>
  [...Buffer.from(char, "utf8")].map((byte) => `%(?:25){0,2}${hexDigits(byte.toString(16).padStart(2, "0"))}`).join("")

/** `first` is how many backslashes may stand before its first unit. */
const unicodeOf = (char: string, first: string): string =>
  char
    .split("")
    .map((unit, index) => {
      const hex = unit.charCodeAt(0).toString(16).padStart(4, "0")
      return `${index === 0 ? first : backslashes}u${hexDigits(hex)}`
    })
    .join("")

const shortEscapes: Readonly<Record<string, string>> = { "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t" }

/**
 * A part of a secret, as itself and as URL and JSON encoders write it, each to their own taste and up to three deep. A
 * run of backslashes is one part, and takes those of the escape after it too: a backslash never has two readings.
 */
const partPattern = (part: string, index: number, parts: ReadonlyArray<string>): string => {
  const { length } = part
  if (part.startsWith("\\")) {
    const run = `\\\\{${length},${length * 8 + 7}}`
    return `(?:${run}|(?:${percentOf("\\")}){${length}}|(?:${unicodeOf("\\", backslashes)}){${length}})`
  }
  if (/^[A-Za-z0-9]$/.test(part)) return part
  const afterRun = parts[index - 1]?.startsWith("\\") === true
  const before = afterRun ? "" : backslashes
  const short = shortEscapes[part]
  const forms = [
    escaped(part),
    ...(/["'/`]/.test(part) && !afterRun ? [backslashes + escaped(part)] : []),
    ...(short === undefined ? [] : [before + short]),
    unicodeOf(part, before),
    percentOf(part),
    ...(part === " " ? ["\\+"] : [])
  ]
  return `(?:${forms.join("|")})`
}

const plainPattern = (secret: string): string => (secret.match(/\\+|[^\\]/gsu) ?? []).map(partPattern).join("")

/** Base64 hides a secret behind three alignments, and its first and last characters depend on the neighbours. */
const base64Forms = (bytes: Buffer): ReadonlyArray<string> => {
  const aligned = [0, 1, 2].map((before) => {
    const encoded = Buffer.concat([Buffer.alloc(before), bytes]).toString("base64")
    return encoded.slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6))
  })
  return [...aligned, ...aligned.map((form) => form.replaceAll("+", "-").replaceAll("/", "_"))]
}

/** Encodings of a word shorter than this are too short to be told from ordinary text. */
const shortestEncoded = 4

const patternsOf = (secret: string): ReadonlyArray<readonly [length: number, pattern: string]> => {
  const bytes = Buffer.from(secret, "utf8")
  const encoded = bytes.length < shortestEncoded ? [] : base64Forms(bytes)
  const hex = bytes.length < shortestEncoded ? [] : [bytes.toString("hex")]
  return [
    [secret.length, plainPattern(secret)],
    ...encoded.map((form) => [form.length, escaped(form)] as const),
    ...hex.map((form) => [form.length, hexDigits(form)] as const)
  ]
}

/** A secret of several lines, such as a key file, is often printed line by line. */
const withKeyLines = (secret: string): ReadonlyArray<string> => [
  secret,
  ...secret.split(/[\r\n]+/).filter((line) => line !== secret && /^[\w+/=-]{16,}$/.test(line))
]

// `tokens` are counted and a `tokenizer` is named in the open.
const telling =
  "token(?!s|iz)|secret|passw(?:or)?d|passphrase|pwd|(?:api|access|private)[-_]?key|authorization|cookie|credential"

/** Each keeps its first group and hides the rest. */
const shapes: ReadonlyArray<RegExp> = [
  /\b(Bearer\s+)[\w.~+/=-]{4,}/gi,
  // Something in it is not what English would put after "basic".
  /\b([Bb]asic\s+)(?=[A-Za-z][a-z]*[A-Z0-9+/=])[A-Za-z0-9+/=]{8,}/g,
  /()\b(?:sk|pk|rk)-[\w-]{8,}/g,
  /()\b(?:sk|pk|rk)_(?:live|test)_\w{8,}/g,
  /()\bgsk_\w{8,}/g,
  /()\b(?:hf|npm)_[A-Za-z0-9]{20,}/g,
  /()\bgh[pousr]_\w{16,}/g,
  /()\bgithub_pat_\w{16,}/g,
  /()\bglpat-[\w-]{16,}/g,
  /()\bxox[abeprs]-[\w-]{8,}/g,
  /()\bxapp-[\w-]{8,}/g,
  /()\bAKIA[A-Z0-9]{16}\b/g,
  /()\bAIza[\w-]{30,}/g,
  // Telegram's, which stand in its URLs right after "bot".
  /()(?<!\d)\d{6,12}:[\w-]{30,}/g,
  /()(?<![\w-])eyJ[\w-]{4,}\.[\w-]{4,}\.[\w-]*/g,
  /(-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----)[^-]+/g,
  /((?<=[a-z][a-z0-9+.-]{0,20}):\/\/[^\s/:@]*:)[^\s/"]+(?=@)/gi,
  // Environments, INI files, queries; then JSON, JSON in JSON, what `util.inspect` prints; then headers.
  new RegExp(`((?:${telling})[\\w-]{0,30}\\s{0,3}=\\s{0,3})(?:"[^"]*"?|'[^']*'?|[^\\s&"',;)])[^\\s&"',;)]*`, "gi"),
  new RegExp(`((?:${telling})[\\w-]{0,30}["']?\\s{0,3}:\\s{0,3}")(?:[^"\\\\]|\\\\.)+`, "gis"),
  new RegExp(`((?:${telling})[\\w-]{0,30}["']?\\s{0,3}:\\s{0,3}')(?:[^'\\\\]|\\\\.)+`, "gis"),
  new RegExp(`((?:${telling})[\\w-]{0,30}\\\\{1,3}"\\s{0,3}:\\s{0,3}\\\\{1,3}")[^"\\\\]+`, "gi"),
  /(\b(?:set-cookie|cookie|x-api-key)\s?:\s?)[^\s"'][^\r\n"']*/gi
]

export const make = (secrets: ReadonlyArray<string>): ((text: string) => string) => {
  const patterns = secrets
    .flatMap(withKeyLines)
    .filter((secret) => secret !== "")
    .flatMap(patternsOf)
    // Longest first: a secret that contains another one is hidden whole.
    .toSorted(([a], [b]) => b - a)
    .map(([, pattern]) => pattern)
  // The mask before all: what is masked stays as it is, also when a secret is a part of the mask.
  const known = patterns.length === 0 ? undefined : new RegExp([mask, ...new Set(patterns)].join("|"), "g")

  return (input) => {
    const seeded = known === undefined ? input : input.replace(known, mask)
    return shapes.reduce((output, shape) => output.replace(shape, `$1${mask}`), seeded)
  }
}
