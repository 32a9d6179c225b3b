/**
 * Splits a text as a shell does, and carries nothing out: `$NAME` and `*` stay as they are written.
 */
import * as CommandLine from "effect/process/CommandLine"
import * as Result from "effect/Result"

export interface Command {
  readonly words: ReadonlyArray<string>
  /** Where it begins, from 1. */
  readonly line: number
}

const separators = new Set([";", "&", "|", "(", ")", "\n"])
const blanks = new Set([" ", "\t", "\r"])

/** A backslash keeps its meaning within double quotes only before these. */
const escapable = new Set(['"', "\\", "$", "`", "\n"])

/**
 * Both readings in one pass. As arguments a text has no operators, redirections, comments or lines; as a script it has.
 */
const split = (text: string, isScript: boolean): ReadonlyArray<Command> => {
  const commands: Array<Command> = []
  let words: Array<string> = []
  let word: string | undefined
  let line = 1
  let began = 1
  let isTarget = false

  const endWord = () => {
    if (word === undefined) return
    if (words.length === 0) began = line
    if (isTarget) isTarget = false
    else words.push(word)
    word = undefined
  }
  const endCommand = () => {
    endWord()
    isTarget = false
    if (words.length > 0) commands.push({ words, line: began })
    words = []
  }

  let index = 0
  const quoted = (quote: string) => {
    word ??= ""
    for (index += 1; index < text.length && text[index] !== quote; index += 1) {
      const next = text[index + 1]
      if (quote === '"' && text[index] === "\\" && next !== undefined && escapable.has(next)) {
        index += 1
        if (next !== "\n") word += next
      } else {
        word += text[index]
      }
    }
  }
  const redirect = () => {
    // The number before it is that of a file descriptor.
    if (word !== undefined && /^\d+$/.test(word)) word = undefined
    endWord()
    while ("<>&".includes(text[index + 1] ?? " ")) index += 1
    isTarget = true
  }

  for (; index < text.length; index += 1) {
    const character = text.charAt(index)
    const before = line
    if (character === "'" || character === '"') quoted(character)
    else if (character === "\\") {
      index += 1
      const next = text.charAt(index)
      if (next !== "\n") word = (word ?? "") + next
    } else if (isScript && character === "#" && word === undefined) {
      while (index + 1 < text.length && text[index + 1] !== "\n") index += 1
    } else if (isScript && (character === "<" || character === ">")) redirect()
    else if (isScript && separators.has(character)) endCommand()
    else if (blanks.has(character) || character === "\n") endWord()
    else word = (word ?? "") + character
    if (isScript && character === "\n") line = before + 1
  }
  endCommand()
  return commands
}

/** The arguments in a text. */
export const words = (text: string): ReadonlyArray<string> => split(text, false)[0]?.words ?? []

/** The simple commands of a shell script, in order; whether each is reached nobody asks. */
export const commands = (text: string): ReadonlyArray<Command> => split(text, true)

/** A command as one would write it: variables stay open, the rest is quoted where that is needed. */
export const line = (parts: ReadonlyArray<string>): string =>
  parts
    .map((part) =>
      /^[\w@%+=:,./${}~-]+$/.test(part) ? part : Result.getOrElse(CommandLine.quote(part), () => JSON.stringify(part))
    )
    .join(" ")
