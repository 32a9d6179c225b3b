/** The picture as what Ink draws. Without JSX: the build knows none. */
import type * as Ink from "ink"
import type * as React from "react"

import { frame, type Segment } from "./frame.ts"
import type { Model } from "./model.ts"

export type Key = "up" | "down" | "restart" | "reload" | "toggle" | "quit" | "interrupt"

const letters: Readonly<Record<string, Key>> = { r: "restart", l: "reload", s: "toggle", q: "quit", k: "up", j: "down" }

export interface Props {
  readonly model: Model
  readonly onKey: (key: Key) => void
}

/** A component; ink and react are given, as not everybody has them. */
export const make = (ink: typeof Ink, react: typeof React): React.FunctionComponent<Props> => {
  const { createElement } = react
  const { Box, Text, useInput, useWindowSize } = ink

  const segment = ({ text, ...style }: Segment, index: number) => createElement(Text, { key: index, ...style }, text)

  const line = (segments: ReadonlyArray<Segment>, index: number) =>
    createElement(Text, { key: index, wrap: "truncate" }, ...segments.map(segment))

  return ({ model, onKey }) => {
    const { columns, rows } = useWindowSize()
    useInput((input, key) => {
      const typed = input.toLowerCase()
      if (key.ctrl) {
        if (input === "c") onKey("interrupt")
      } else if (key.upArrow) onKey("up")
      else if (key.downArrow) onKey("down")
      else {
        // Keys that are held down come several at once; so does what is pasted, and that must not stop anything.
        for (const letter of /^[jk]+q?$/.test(typed) ? typed : [typed]) {
          const meant = letters[letter]
          if (meant !== undefined) onKey(meant)
        }
      }
    })
    // One line less: a picture that fills the terminal would scroll it.
    const picture = frame(model, { columns, rows: rows - 1 })
    return createElement(Box, { flexDirection: "column" }, ...picture.map(line))
  }
}
