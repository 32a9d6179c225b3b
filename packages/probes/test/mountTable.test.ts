import { assert, describe, it } from "@effect/vitest"

import { mountOf, parseMounts } from "../src/internal/mountTable.ts"

const line = (id: number, parent: number, point: string, options = "rw", superOptions = "rw") =>
  `${id} ${parent} 0:${id} / ${point} ${options},relatime shared:1 master:2 - tmpfs some\\040where ${superOptions},size=1k`

const pointOf = (path: string, ...lines: ReadonlyArray<string>) => {
  const mount = mountOf(parseMounts(lines.join("\n")), path)
  return mount === undefined ? undefined : `${mount.point}#${mount.id}`
}

const root = line(1, 0, "/")

describe("parseMounts", () => {
  it("takes a mount or a file system for read only, and nothing that only looks like it", () => {
    const mounts = parseMounts(
      [root, line(2, 1, "/a", "ro"), line(3, 1, "/b", "rw", "ro"), line(4, 1, "/c", "rw,errors=remount-ro")].join("\n")
    )
    assert.deepStrictEqual(
      mounts.map(({ isReadOnly }) => isReadOnly),
      [false, true, true, false]
    )
  })

  it("reads lines with and without optional fields, and leaves out what is none", () => {
    const text = "1 0 0:1 / / rw - ext4 /dev/vda ro\nnonsense\n\n2 1 0:2 / /x rw shared:2 propagate_from:1 - t t rw"
    assert.deepStrictEqual(
      parseMounts(text).map(({ isReadOnly, point }) => [point, isReadOnly]),
      [
        ["/", true],
        ["/x", false]
      ]
    )
  })

  it("reads names with spaces, line ends, backslashes and letters of all kinds", () => {
    assert.deepStrictEqual(
      parseMounts(line(2, 1, "/a\\040b\\012\\134040/ü")).map(({ point }) => point),
      ["/a b\n\\040/ü"]
    )
  })
})

describe("mountOf", () => {
  it("is the innermost one, by whole names", () => {
    const table = [root, line(2, 1, "/a"), line(3, 2, "/a/b"), line(4, 1, "/ab")]
    assert.strictEqual(pointOf("/a/b/c", ...table), "/a/b#3")
    assert.strictEqual(pointOf("/a/bc", ...table), "/a#2")
    assert.strictEqual(pointOf("/abc", ...table), "/#1")
    assert.strictEqual(pointOf("/ab", ...table), "/ab#4")
    assert.strictEqual(pointOf("/", ...table), "/#1")
  })

  it("is the uppermost of those on one point, in whatever order they stand", () => {
    const table = [line(4, 3, "/a"), line(3, 2, "/a"), line(2, 1, "/a"), root]
    assert.strictEqual(pointOf("/a/x", ...table), "/a#4")
  })

  it("is not one that a later mount further up hides", () => {
    assert.strictEqual(pointOf("/a/b/c", root, line(2, 1, "/a/b"), line(3, 1, "/a")), "/a#3")
  })

  it("is found where the root belongs to a mount that cannot be seen, or to itself", () => {
    assert.strictEqual(pointOf("/a", line(20, 19, "/"), line(21, 20, "/a")), "/a#21")
    assert.strictEqual(pointOf("/a", line(20, 20, "/"), line(21, 20, "/a")), "/a#21")
    assert.isUndefined(pointOf("/a", line(21, 20, "/b")))
    assert.isUndefined(pointOf("/a"))
  })

  it("is where the kernel's walk ends, whatever was mounted in whatever order", () => {
    let seed = 42
    const random = (below: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31) % below
    const randomPath = () => Array.from({ length: random(4) }, () => `/${"abc"[random(3)]}`).join("") || "/"
    for (let round = 0; round < 300; round += 1) {
      // What is mounted on which point of which mount.
      const children = new Map<string, number>()
      const walk = (path: string): number => {
        let current = 1
        const names = path === "/" ? [] : path.split("/").slice(1)
        for (let length = 0; length <= names.length; length += 1) {
          const point = `/${names.slice(0, length).join("/")}`
          for (let next; (next = children.get(`${current} ${point}`)) !== undefined;) current = next
        }
        return current
      }
      const lines = [root]
      for (let id = 2; id < 2 + random(8); id += 1) {
        const point = randomPath()
        const parent = walk(point)
        children.set(`${parent} ${point}`, id)
        lines.splice(random(lines.length + 1), 0, line(id, parent, point))
      }
      const path = randomPath()
      assert.strictEqual(pointOf(path, ...lines)?.split("#")[1], `${walk(path)}`, `${path} in\n${lines.join("\n")}`)
    }
  })

  it("ends with every table, also with circles", () => {
    assert.match(`${pointOf("/a", root, line(2, 1, "/a"), line(3, 2, "/a"), line(1, 3, "/a"))}`, /^\/a#/)
    assert.isUndefined(pointOf("/a", line(2, 3, "/a"), line(3, 2, "/a")))
  })
})
