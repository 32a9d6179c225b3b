/**
 * Replies of Redis, as far as a probe asks for any: statuses, errors, numbers and texts of RESP2.
 *
 * Not a client's parser: whatever answers on the port must neither fill the memory nor end the process.
 *
 * @since 0.1.0
 */

export type Reply =
  | { readonly _tag: "Text"; readonly text: string }
  /** Only the code may be shown, redacted: the text may repeat the arguments, and so the password. */
  | { readonly _tag: "Error"; readonly code: string; readonly text: string }

/** Of a reply without a length; Redis keeps to less. */
const longestLine = 4096

/** INFO has some 5 KB, and 100 bytes more for each replica and database. */
const longestText = 1024 * 1024

const endOf = (bytes: Buffer): number => bytes.subarray(0, longestLine + 2).indexOf("\r\n")

/** The first reply of these bytes; how many there must be before it is worth another look; or nothing Redis would say. */
const first = (bytes: Buffer): { readonly reply: Reply; readonly length: number } | number | undefined => {
  const kind = bytes.toString("latin1", 0, 1)
  if (kind === "") return 1
  if (!"+-:$".includes(kind)) return undefined
  const end = endOf(bytes)
  if (end === -1) return bytes.length > longestLine ? undefined : bytes.length + 1
  const line = bytes.toString("utf8", 1, end)
  const start = end + 2
  if (kind === "-") {
    return {
      reply: { _tag: "Error", code: /^[A-Z][A-Z_]{0,63}(?= |$)/.exec(line)?.[0] ?? "ERR", text: line },
      length: start
    }
  }
  if (kind !== "$") return { reply: { _tag: "Text", text: line }, length: start }
  if (line === "-1") return { reply: { _tag: "Text", text: "" }, length: start }
  const size = /^\d{1,7}$/.test(line) ? Number(line) : Infinity
  if (size > longestText) return undefined
  if (bytes.length < start + size + 2) return start + size + 2
  return { reply: { _tag: "Text", text: bytes.toString("utf8", start, start + size) }, length: start + size + 2 }
}

/**
 * Takes what comes, cut anywhere, and gives the replies that are complete, up to `most` altogether; `undefined` as soon as
 * it is nothing that Redis would say.
 */
export const decoder = (most: number): ((chunk: Buffer) => ReadonlyArray<Reply> | undefined) => {
  let pending: Array<Buffer> = []
  let size = 0
  let needed = 1
  let given = 0
  return (chunk) => {
    pending.push(chunk)
    size += chunk.length
    if (size < needed) return []
    let rest = Buffer.concat(pending, size)
    const replies: Array<Reply> = []
    while (given < most && rest.length >= needed) {
      const found = first(rest)
      if (found === undefined) return undefined
      if (typeof found === "number") {
        needed = found
      } else {
        replies.push(found.reply)
        given += 1
        rest = rest.subarray(found.length)
        needed = 1
      }
    }
    pending = [rest]
    size = rest.length
    return replies
  }
}
