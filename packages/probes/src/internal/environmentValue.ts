/**
 * What is wrong with a value, said without showing any of it.
 *
 * @since 0.1.0
 */

export const patterns = {
  anthropic: /^sk-ant-[\w-]{20,}$/,
  gemini: /^AIza[\w-]{30,}$/,
  groq: /^gsk_\w{20,}$/,
  openai: /^sk-(?!ant-|or-)[\w-]{20,}$/,
  openRouter: /^sk-or-[\w-]{20,}$/,
  stripe: /^[sr]k_(live|test)_\w{16,}$/,
  telegram: /^\d{6,12}:[\w-]{30,}$/
} as const

const names: Readonly<Record<keyof typeof patterns, string>> = {
  anthropic: "Anthropic",
  gemini: "Gemini",
  groq: "Groq",
  openai: "OpenAI",
  openRouter: "OpenRouter",
  stripe: "Stripe",
  telegram: "Telegram"
}

/** What stands in examples of configurations. */
const placeholder =
  /^(?:<.*>|\$\{.*\}|\{\{.*\}\}|x{3,}|\.{3,}|\*{3,}|change[-_ ]?me\d*|replace[-_ ]?me|to[-_ ]?do|placeholder|secret|password|null|undefined|none|example|your[-_ ].*)$/i

// eslint-disable-next-line no-control-regex
const control = /[\0-\x1f\x7f]/

/** A global or sticky expression remembers where it stopped: a copy does not. */
const matches = (pattern: RegExp, value: string): boolean => new RegExp(pattern).test(value)

/** Nothing in a key depends on which of them it is, but for those who compare it. */
const alike = (value: string): ReadonlyArray<string> => {
  const head = value.slice(0, 12)
  const rest = value.slice(12)
  return [head.replaceAll("_", "-"), head.replaceAll("-", "_"), head.replace("-", "_"), head.replace("_", "-")]
    .map((one) => one + rest)
    .filter((one) => one !== value)
}

/** Why a value has not its form; `undefined` if it has it. */
export const faultOf = (
  value: string,
  { isSecret, pattern }: { readonly isSecret: boolean; readonly pattern: RegExp | undefined }
): string | undefined => {
  const fits = pattern === undefined || matches(pattern, value)
  if (fits && !isSecret) return undefined
  if (value.trim() !== value) return "there is white space around it"
  if (/^(["'`]).*\1$/s.test(value)) return "there are quotes around it"
  if (/^["'`]|["'`]$/.test(value)) return "there is a quote at one of its ends"
  if (control.test(value)) return "there is a line end or another control character in it"
  if (isSecret && placeholder.test(value)) return "it is a placeholder"
  if (isSecret && /\s/.test(value)) return "there is white space in it"
  if (fits) return undefined
  const provider = Object.entries(patterns).find(([, one]) => one.test(value))?.[0]
  if (isName(provider)) return `it has the form of a key of ${names[provider]}`
  if (pattern !== undefined && alike(value).some((one) => matches(pattern, one))) {
    return "dashes and underscores are mixed up in it"
  }
  return "it does not match its pattern"
}

const isName = (name: string | undefined): name is keyof typeof patterns => name !== undefined && name in names
