import { assert, describe, it } from "@effect/vitest"

import * as Dependencies from "../src/Dependencies.ts"
import { refusal } from "./support.ts"

const graph = (needs: Readonly<Record<string, ReadonlyArray<string>>>) =>
  Dependencies.make(Object.fromEntries(Object.entries(needs).map(([name, dependsOn]) => [name, { dependsOn }])))

const ofTargets = (targets: unknown) => refusal(() => Reflect.apply(Dependencies.make, undefined, [targets]))

describe("Dependencies", () => {
  it("sorts targets after what they need, whatever the order they are given in", () => {
    const { rank } = graph({ web: ["api"], api: ["db", "cache"], cache: ["host"], db: ["host"], host: [] })
    const ranks = ["host", "db", "api", "web"].map((name) => rank.get(name) ?? -1)
    assert.deepStrictEqual(
      ranks,
      ranks.toSorted((a, b) => a - b)
    )
    assert.strictEqual(rank.size, 5)
  })

  it("finds the root cause, also past what works", () => {
    const dependencies = graph({ host: [], db: ["host"], cache: ["host"], api: ["db", "cache"], web: ["api"] })
    const root = (name: string, ...down: ReadonlyArray<string>) =>
      Dependencies.root(dependencies, name, (target) => down.includes(target))
    assert.strictEqual(root("web", "api", "db", "host"), "host")
    assert.strictEqual(root("web", "host"), "host")
    assert.strictEqual(root("web", "api", "cache"), "cache")
    assert.isUndefined(root("web", "web"))
    assert.isUndefined(root("db", "cache", "api"))
    assert.isUndefined(root("stranger", "host"))
  })

  it("takes a dependency that is named twice for one", () => {
    assert.strictEqual(graph({ a: ["b", "b"], b: [] }).rank.size, 2)
  })

  const cycles: ReadonlyArray<readonly [Readonly<Record<string, ReadonlyArray<string>>>, RegExp]> = [
    [{ a: ["a"] }, /"a → a"/],
    [{ a: ["b"], b: ["a"] }, /"(a → b → a|b → a → b)"/],
    [{ free: [], leaf: ["a"], a: ["free", "b"], b: ["c"], c: ["a"] }, /"(a → b → c → a|b → c → a → b|c → a → b → c)"/]
  ]
  for (const [needs, wanted] of cycles) {
    it(`names the cycle in ${JSON.stringify(needs)}`, () => {
      const error = refusal(() => graph(needs))
      assert.match(error.message, wanted)
      assert.deepStrictEqual([error.module, error.option], ["Dependencies", "targets"])
    })
  }

  it("refuses what is no target", () => {
    assert.strictEqual(refusal(() => graph({ a: ["b"] })).option, "targets.a.dependsOn")
    assert.strictEqual(
      refusal(() => Dependencies.make({ a: { dependsOn: "b" as never } })).option,
      "targets.a.dependsOn"
    )
  })

  it("refuses targets that are none", () => {
    for (const targets of [[], "a", null, undefined]) {
      assert.deepStrictEqual([ofTargets(targets).module, ofTargets(targets).option], ["Dependencies", "targets"])
    }
    assert.strictEqual(ofTargets({ a: null }).option, "targets.a")
    assert.strictEqual(ofTargets({ a: 3 }).option, "targets.a")
  })

  it("takes a chain of ten thousand", () => {
    const chain = Array.from({ length: 10_000 }, (_, index) => [`t${index}`, index === 0 ? [] : [`t${index - 1}`]])
    const dependencies = graph(Object.fromEntries(chain))
    assert.strictEqual(
      Dependencies.root(dependencies, "t9999", (target) => target === "t0"),
      "t0"
    )
  })
})
