import { PassThrough } from "node:stream"

import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { vi } from "vitest"

import { monit, type Terminal } from "../src/monit.ts"
import * as Support from "./controlSupport.ts"

vi.mock("ink", () => {
  throw new Error("Cannot find package 'ink'")
})

it.live("monit without its optional peers says what to install", () =>
  Effect.gen(function* () {
    const fake = yield* Support.make()
    const stream = Object.assign(new PassThrough(), { isTTY: true })
    const terminal = { stdin: stream, stdout: stream } as unknown as Terminal
    const error = yield* Effect.flip(Effect.scoped(monit(fake.supervised, terminal)))
    assert.strictEqual(error.reason._tag, "PeersMissing")
    assert.include(error.message, "npm install ink@7 react@19")
  })
)
