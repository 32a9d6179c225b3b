/**
 * Users and groups of this machine by name or number.
 */
import * as Fs from "node:fs"

const entries = (file: string): ReadonlyArray<ReadonlyArray<string>> => {
  try {
    return Fs.readFileSync(file, "utf8")
      .split("\n")
      .map((line) => line.split(":"))
  } catch {
    return []
  }
}

const found = (file: string, nameOrNumber: string | number): ReadonlyArray<string> | undefined =>
  entries(file).find(([name, , number]) => name === nameOrNumber || number === String(nameOrNumber))

export const user = (
  nameOrNumber: string | number
): { readonly uid: number; readonly gid: number; readonly home: string } | undefined => {
  const [, , uid, gid, , home] = found("/etc/passwd", nameOrNumber) ?? []
  return uid === undefined || gid === undefined ? undefined : { uid: Number(uid), gid: Number(gid), home: home ?? "/" }
}

export const group = (nameOrNumber: string | number): number | undefined => {
  const gid = found("/etc/group", nameOrNumber)?.[2]
  return gid === undefined ? undefined : Number(gid)
}
