import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import { Recovery } from "@nexobot/recovery/Recovery"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { type Browser, chromium, type Page } from "playwright-core"

import * as Console from "../src/Console.ts"
import { component, fake, hostile } from "./fixture.ts"

const candidates = [
  process.env["CHROMIUM_PATH"],
  ...(process.env["PATH"] ?? "")
    .split(Path.delimiter)
    .flatMap((directory) => ["chromium", "chromium-browser", "google-chrome"].map((name) => Path.join(directory, name)))
]
const executablePath = candidates.find((path) => path !== undefined && path !== "" && Fs.existsSync(path))
const missing = "no Chromium found: apt-get install chromium, or set CHROMIUM_PATH"
const inCi = process.env["CI"] === "true"
// oxlint-disable-next-line no-console -- a skipped test must say so
if (executablePath === undefined) console.warn(`The dashboard is not tested in a browser: ${missing}`)

const args = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync"
]

const browser: Effect.Effect<Browser, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(() => {
    if (executablePath === undefined) throw new Error(missing)
    return chromium.launch({ executablePath, args })
  }),
  (launched) => Effect.promise(() => launched.close())
)

const serve = (port = 0) =>
  Effect.gen(function* () {
    const loop = yield* fake([component("shop", "Healthy"), component(hostile, "Unhealthy", { detail: hostile })])
    const console = yield* Console.make({ port, token: Redacted.make("a-token-of-some-length") }).pipe(
      Effect.provideService(Recovery, loop.recovery)
    )
    return { loop, console }
  })

const card = (page: Page, name: string) =>
  page.getByRole("article").filter({ has: page.getByText(name, { exact: true }) })
const until = (locator: ReturnType<Page["locator"]>) =>
  Effect.promise(() => locator.first().waitFor({ state: "visible", timeout: 20_000 }))

describe.skipIf(executablePath === undefined && !inCi)("the dashboard in a browser", { timeout: 90_000 }, () => {
  it.live("opens by its address, shows states live, recovers by a button, and shows hostile names as text", () =>
    Effect.gen(function* () {
      const { loop, console } = yield* serve()
      const page = yield* Effect.flatMap(browser, (launched) => Effect.promise(() => launched.newPage()))
      const problems: Array<string> = []
      page.on("pageerror", (error) => problems.push(String(error)))
      page.on("console", (message) => {
        if (message.type() === "error") problems.push(message.text())
      })
      const asked: Array<string> = []
      page.on("request", (request) => asked.push(request.url()))
      const url = yield* console.dashboardUrl
      yield* Effect.promise(() => page.goto(url))
      yield* until(card(page, "shop").getByText("Healthy", { exact: true }))
      assert.strictEqual(page.url(), `${console.address}/dashboard/system-health`, "the code is gone")

      yield* Effect.promise(() => page.evaluate("window.untouched = true"))
      yield* loop.set(component("shop", "Unhealthy", { detail: "nobody listens" }))
      yield* until(card(page, "shop").getByText("nobody listens"))
      assert.isTrue(yield* Effect.promise(() => page.evaluate("window.untouched")), "no reload")

      yield* Effect.promise(() => card(page, "shop").getByRole("button", { name: "Recover shop now" }).click())
      yield* until(card(page, "shop").getByText("recovered by restart: in 1.2 s"))
      assert.deepStrictEqual(loop.recovered, ["shop"])
      yield* until(page.getByText("rule: nobody listens on the port"))

      yield* Effect.promise(() => page.getByRole("button", { name: "Recover everything" }).click())
      yield* until(card(page, hostile).getByText("recovered by restart: in 1.2 s"))

      assert.strictEqual(yield* Effect.promise(() => page.locator("img").count()), 0)
      assert.strictEqual(yield* Effect.promise(() => page.title()), "System health")
      for (const address of asked)
        assert.include(
          [console.address, "data:,"],
          new URL(address).origin === "null" ? address : new URL(address).origin
        )
      assert.deepStrictEqual(problems, [])
    })
  )

  it.live("says how to sign in, takes the token, and comes back after the server does", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { console } = yield* Scope.provide(serve(), scope)
      const page = yield* Effect.flatMap(browser, (launched) => Effect.promise(() => launched.newPage()))
      yield* Effect.promise(() => page.goto(`${console.address}/dashboard/system-health#code=wrong`))
      yield* until(page.getByText("This link was used already, or it has expired."))
      const signIn = (token: string) =>
        Effect.promise(async () => {
          await page.getByLabel("Token").fill(token)
          await page.getByRole("button", { name: "Sign in" }).click()
        })
      yield* signIn("a-wrong-token-as-it-is")
      yield* until(page.getByText("This token is wrong."))
      yield* signIn("a-token-of-some-length")
      yield* until(card(page, "shop"))
      yield* until(page.getByText("Live", { exact: true }))

      yield* Scope.close(scope, Exit.void)
      yield* until(page.getByText("Connection lost, trying again…"))
      // The sessions of the old server are gone with it.
      yield* serve(Number(new URL(console.address).port))
      yield* until(page.getByText("You are not signed in, or the session has ended."))
      yield* signIn("a-token-of-some-length")
      yield* until(page.getByText("Live", { exact: true }))
    })
  )
})
