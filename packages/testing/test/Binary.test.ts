import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

import { afterEach, assert, beforeEach, describe, it, vi } from "@effect/vitest"

import * as Binary from "../src/Binary.ts"

let folder = ""
let printed = ""

const program = (name: string, mode = 0o755): string => {
  const path = Path.join(folder, name)
  Fs.mkdirSync(Path.dirname(path), { recursive: true })
  Fs.writeFileSync(path, "#!/bin/sh\n", { mode })
  return path
}

beforeEach(() => {
  folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "binary-test-"))
  printed = ""
  vi.stubEnv("PATH", folder)
  vi.stubEnv("CI", "")
  vi.spyOn(process.stderr, "write").mockImplementation((chunk) => {
    printed += String(chunk)
    return true
  })
})

afterEach(() => {
  vi.unstubAllEnvs()
  vi.restoreAllMocks()
  Fs.rmSync(folder, { recursive: true, force: true })
})

describe("find", () => {
  it("looks at PATH, in its order", () => {
    const second = program("second/tool")
    vi.stubEnv("PATH", ["", Path.join(folder, "first"), Path.join(folder, "second")].join(Path.delimiter))
    assert.strictEqual(Binary.find("tool"), second)
    const first = program("first/tool")
    assert.strictEqual(Binary.find("tool"), first)
  })

  it("takes only what is a file and may be run", () => {
    program("readable", 0o644)
    Fs.mkdirSync(Path.join(folder, "folder"), { mode: 0o755 })
    assert.isUndefined(Binary.find("readable"))
    assert.isUndefined(Binary.find("folder"))
    assert.isUndefined(Binary.find("no-such-program"))
  })

  it("looks at the override before all, and at nothing else when it is wrong", () => {
    program("redis-server")
    const other = program("elsewhere/redis")
    vi.stubEnv("NEXO_BIN_REDIS_SERVER", other)
    assert.strictEqual(Binary.find("redis-server"), other)
    vi.stubEnv("NEXO_BIN_REDIS_SERVER", Path.join(folder, "gone"))
    assert.isUndefined(Binary.find("redis-server"))
    vi.stubEnv("NEXO_BIN_REDIS_SERVER", "")
    assert.strictEqual(Binary.find("redis-server"), Path.join(folder, "redis-server"))
  })

  it("finds nothing where there is no PATH", () => {
    vi.stubEnv("PATH", undefined)
    assert.isUndefined(Binary.find("no-such-program"))
  })
})

describe("skipWithout", () => {
  it("skips nothing where the program is", () => {
    program("tool")
    assert.isFalse(Binary.skipWithout("tool", "apt-get install tool"))
    vi.stubEnv("CI", "true")
    assert.isFalse(Binary.skipWithout("tool", "apt-get install tool"))
    assert.strictEqual(printed, "")
  })

  it("skips where it is not, and says what to install", () => {
    assert.isTrue(Binary.skipWithout("no-such-program", "apt-get install it"))
    assert.strictEqual(printed, "skipped: no-such-program is not installed: apt-get install it\n")
  })

  it("throws on CI instead, so that nothing is skipped there", () => {
    vi.stubEnv("CI", "true")
    assert.throws(
      () => Binary.skipWithout("no-such-program", "apt-get install it"),
      "no-such-program is not installed: apt-get install it"
    )
  })
})
