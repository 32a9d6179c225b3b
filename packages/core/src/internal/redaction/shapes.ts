/**
 * What secrets look like, and the words by which each shape is found.
 *
 * Every expression is sticky, tried at its words only, and linear in the text, which may come from outside: no two
 * unbounded repetitions can share a run of characters, and none can be entered in the middle of a run that it crosses.
 */

export interface Shape {
  /** One of them is in every match, in any case; matches are looked for where it begins. */
  readonly words: ReadonlyArray<string>
  /** Whether there can be a match at a word, if that is cheaper to see; asked before known secrets are masked. */
  readonly gate?: (text: string, at: number) => boolean
  /** The same, asked of the text in which they are. */
  readonly gateNow?: (text: string, at: number) => boolean
  /** Tried one after the other over the whole text. Each keeps its first group and hides the rest. */
  readonly patterns: ReadonlyArray<RegExp>
  /** Where else matches may begin, if there is no word that is rare enough. */
  readonly places?: (text: string) => ReadonlyArray<number>
}

// `tokens` are counted and a `tokenizer` is named in the open.
const telling =
  "token(?!s|iz)|secret|passw(?:or)?d|passphrase|pwd|(?:api|access|private)[-_]?key|authorization|cookie|credential"

const tellingWords = [
  "token",
  "secret",
  "pass",
  "pwd",
  ...["api", "access", "private"].flatMap((word) => [`${word}key`, `${word}-key`, `${word}_key`]),
  "authorization",
  "cookie",
  "credential"
]

/** What a browser or a person would take for a token; "send it as Bearer token" has none. */
const tokenLike = [
  // The header tells that whatever comes is one.
  `(?<=authorization\\\\{0,3}["']?\\s{0,3}[:=]\\s{0,3}\\\\{0,3}["']?bearer\\s+)`,
  "(?=[\\w.~+/=-]*[0-9])",
  "(?=[\\w.~+/=-]{16})",
  "(?=[\\w.~+/=-]*[\\w-][.~+_][\\w-])",
  // A value of its own, but for the names that documents have for it.
  `(?<=(?:^|["'\`])bearer\\s+)(?!(?:token|auth|scheme|realm|header|credential)[a-z]*\\b)(?=[\\w.~+/=-]+(?:$|["'\`\\\\]))`
].join("|")

const isDigit = (code: number): boolean => code >= 48 && code <= 57

/** Letters, digits, underscores and dashes. */
const isTokenChar = Uint8Array.from({ length: 128 }, (_, code) => (/[\w-]/.test(String.fromCharCode(code)) ? 1 : 0))

/** Telegram's tokens have so many characters after the colon. */
const telegramLength = 30

/** Where there are digits, a colon and a run so long that every thirtieth character of the text meets it. */
const telegramTokens = (text: string): ReadonlyArray<number> => {
  const places: Array<number> = []
  let done = 0
  for (let at = telegramLength - 1; at < text.length; at += telegramLength) {
    let colon = at
    while (colon >= done && isTokenChar[text.charCodeAt(colon)] === 1) colon -= 1
    done = at
    if (colon === at || text.charCodeAt(colon) !== 58) continue
    let start = colon
    while (colon - start <= 12 && isDigit(text.charCodeAt(start - 1))) start -= 1
    if (colon - start >= 6 && colon - start <= 12) places.push(start)
  }
  return places
}

/** Whether the host of a URL has a name before it. */
const hasUser = (text: string, at: number): boolean => {
  for (let next = at + 3; next < text.length; next += 1) {
    const code = text.charCodeAt(next)
    if (code === 64) return true
    if (code === 47 || code <= 32) return false
  }
  return false
}

const gateOf =
  (pattern: RegExp) =>
  (text: string, at: number): boolean => {
    pattern.lastIndex = at
    return pattern.test(text)
  }

const shape = (words: ReadonlyArray<string>, ...patterns: ReadonlyArray<RegExp>): Shape => ({ words, patterns })

export const shapes: ReadonlyArray<Shape> = [
  shape(["bearer"], new RegExp(`\\b(bearer\\s+)(?:${tokenLike})[\\w.~+/=-]{4,}`, "iym")),
  // Something in it is not what English would put after "basic".
  shape(["basic"], /\b([Bb]asic\s+)(?=[A-Za-z][a-z]*[A-Z0-9+/=])[A-Za-z0-9+/=]{8,}/y),
  shape(["sk-", "pk-", "rk-"], /()\b(?:sk|pk|rk)-[\w-]{8,}/y),
  shape(["sk_l", "pk_l", "rk_l", "sk_t", "pk_t", "rk_t"], /()\b(?:sk|pk|rk)_(?:live|test)_\w{8,}/y),
  shape(["gsk_"], /()\bgsk_\w{8,}/y),
  shape(["hf_", "npm_"], /()\b(?:hf|npm)_[A-Za-z0-9]{20,}/y),
  shape(["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], /()\bgh[pousr]_\w{16,}/y),
  shape(["github_pat_"], /()\bgithub_pat_\w{16,}/y),
  shape(["glpat-"], /()\bglpat-[\w-]{16,}/y),
  shape(["xox"], /()\bxox[abeprs]-[\w-]{8,}/y),
  shape(["xapp-"], /()\bxapp-[\w-]{8,}/y),
  shape(["AKIA"], /()\bAKIA[A-Z0-9]{16}\b/y),
  shape(["AIza"], /()\bAIza[\w-]{30,}/y),
  {
    // Telegram's, which stand in its URLs right after "bot".
    words: [],
    places: telegramTokens,
    patterns: [/()(?<!\d)\d{6,12}:[\w-]{30,}/y]
  },
  shape(["eyJ"], /()(?<![\w-])eyJ[\w-]{4,}\.[\w-]{4,}\.[\w-]*/y),
  shape(["-----BEGIN"], /(-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----)[^-]+/y),
  {
    words: ["://"],
    patterns: [/(?<=[a-z][a-z0-9+.-]{0,20})(:\/\/[^\s/:@]*:)[^\s/"]+(?=@)/iy],
    gateNow: hasUser
  },
  {
    words: tellingWords,
    gate: gateOf(new RegExp(`(?:${telling})[\\w-]{0,30}(?:\\\\{1,3}"|["'])?\\s{0,3}[=:]`, "iy")),
    patterns: [
      // Environments, INI files, queries; then JSON, what `util.inspect` prints, JSON in JSON.
      new RegExp(`((?:${telling})[\\w-]{0,30}\\s{0,3}=\\s{0,3})(?:"[^"]*"?|'[^']*'?|[^\\s&"',;)])[^\\s&"',;)]*`, "iy"),
      new RegExp(`((?:${telling})[\\w-]{0,30}["']?\\s{0,3}:\\s{0,3}")(?:[^"\\\\]|\\\\.)+`, "isy"),
      new RegExp(`((?:${telling})[\\w-]{0,30}["']?\\s{0,3}:\\s{0,3}')(?:[^'\\\\]|\\\\.)+`, "isy"),
      new RegExp(`((?:${telling})[\\w-]{0,30}\\\\{1,3}"\\s{0,3}:\\s{0,3}\\\\{1,3}")[^"\\\\]+`, "iy")
    ]
  },
  shape(["cookie", "x-api-key"], /(\b(?:cookie|x-api-key)\s?:\s?)[^\s"'][^\r\n"']*/iy)
]

/** The end of a text after which a shape may go on that is not to be seen yet. */
export const unfinished = new RegExp(
  [
    `(?:${telling})[\\w-]{0,30}(?:\\\\{1,3}"|["'])?\\s{0,3}(?:[=:]\\s{0,3}(?:\\\\{1,3}"|["'])?)?$`,
    "\\b(?:bearer|basic)\\s+$",
    "-----BEGIN [A-Z ]*$",
    "\\d[ -]$"
  ].join("|"),
  "i"
)

const tellingKey = new RegExp(`${telling}|tokens|(?:^|[^a-z])pass(?:$|[^a-z])`, "i")
const countKey = /tokens$/i

/** What to mask besides known secrets and shapes: below a telling key all, below a count's name all but numbers. */
export type Below = "nothing" | "texts" | "all"

/** Of a key that has a word of its own. */
export const below = (key: string): Below => (tellingKey.test(key) ? (countKey.test(key) ? "texts" : "all") : "nothing")

export const isTellingWord = (word: string): boolean => tellingWords.includes(word)
