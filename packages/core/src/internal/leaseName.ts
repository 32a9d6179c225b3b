import * as Options from "../Options.ts"

const checks = Options.checks("Leases")

/** The name itself, which callers without types may have left out. */
export const checkName = (resource: unknown): string =>
  typeof resource === "string" ? resource : checks.fail("resource", resource, "a string")

/** A name that holds no separator of ours, nor of a file system, and is not empty. */
export const escape = (resource: string): string =>
  // Not what any other resource has: after % stand two hexadecimal digits there.
  checkName(resource) === "" ? "%~" : encodeURIComponent(resource.toWellFormed())
