import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

import { afterAll, describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import ignore from "ignore"

import * as Binary from "../../testing/src/Binary.ts"
import * as TestFolder from "../../testing/src/TestFolder.ts"
import * as Ignored from "../src/internal/watch/ignored.ts"

const folders = Schema.Array(Schema.Literals(["a", "b", "dist"])).check(Schema.isMaxLength(4))
const file = Schema.Struct({ folders, name: Schema.Literals(["x.ts", "x.log.ts", "y"]) })
const line = Schema.Literals([
  "a",
  "a/",
  "/a",
  "b/",
  "!b",
  "!a/",
  "*.ts",
  "!x.ts",
  "/dist/*",
  "!/dist/a",
  "**/b/x.ts",
  "a/b",
  "# a",
  "",
  "dist",
  "y",
  "!y",
  "b/y"
])
const rules = Schema.Array(line).check(Schema.isMaxLength(4))
const Tree = { files: Schema.NonEmptyArray(file).check(Schema.isMaxLength(6)), top: rules, a: rules, b: rules }

/** A repository of nothing, for git to ask in. */
const repository = Fs.mkdtempSync(Path.join(Os.tmpdir(), "nexobot-test-git-"))
afterAll(() => Fs.rmSync(repository, { recursive: true, force: true }))

const git = (folder: string, args: ReadonlyArray<string>, input = ""): string => {
  const where = [`--git-dir=${repository}/.git`, `--work-tree=${folder}`]
  const { stderr, stdout } = ChildProcess.spawnSync("git", [...where, ...args], {
    cwd: folder,
    input,
    encoding: "utf8"
  })
  if (stderr !== "") throw new Error(stderr)
  return stdout
}

/** Which of these files git leaves out, whether or not it has them. */
const byGit = (folder: string, paths: ReadonlyArray<string>): ReadonlyArray<string> =>
  git(folder, ["check-ignore", "--stdin", "--no-index"], paths.join("\n"))
    .split("\n")
    .filter((path) => path !== "")

describe.skipIf(Binary.skipWithout("git", "apt-get install --no-install-recommends git"))(
  "what .gitignore leaves out",
  () => {
    it.effect.prop(
      "is what git leaves out",
      Tree,
      ({ a, b, files, top }) =>
        Effect.gen(function* () {
          const folder = yield* TestFolder.make
          if (!Fs.existsSync(`${repository}/.git`)) git(repository, ["init", "--quiet", "--template="])
          const paths = [...new Set(files.map(({ folders: above, name }) => [...above, name].join("/")))]
          for (const path of paths) {
            Fs.mkdirSync(Path.dirname(Path.join(folder, path)), { recursive: true })
            Fs.writeFileSync(Path.join(folder, path), "")
          }
          for (const [name, lines] of [
            ["", top],
            ["a", a],
            ["a/b", b]
          ] as const) {
            Fs.mkdirSync(Path.join(folder, name), { recursive: true })
            Fs.writeFileSync(Path.join(folder, name, ".gitignore"), lines.join("\n"))
          }
          const ignored = Ignored.make(ignore, {
            cwd: folder,
            roots: [folder],
            patterns: [],
            gitignore: true,
            never: []
          })
          const ours = paths.filter((path) => ignored.ignores(Path.join(folder, path), false))
          expect(ours.toSorted()).toEqual(byGit(folder, paths).toSorted())
        }),
      { arbitrary: { runs: 60 } }
    )
  }
)
