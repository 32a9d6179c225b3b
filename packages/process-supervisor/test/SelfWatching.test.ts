import * as Fs from "node:fs"
import * as Path from "node:path"

import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as CommandLine from "effect/process/CommandLine"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

import * as TestFolder from "../../testing/src/TestFolder.ts"
import { commands, line, words } from "../src/internal/watch/shellWords.ts"
import * as SelfWatching from "../src/SelfWatching.ts"

const detect = (text: string, cwd?: string) => {
  const [command = "", ...args] = words(text)
  return SelfWatching.detect({ command, args, ...(cwd === undefined ? {} : { cwd }) })
}

const argument = Schema.String.check(Schema.isPattern(/^[^\0]*$/))

describe("shellWords", () => {
  it.prop("gives back what a shell would", { args: Schema.Array(argument) }, ({ args }) => {
    const text = Result.getOrThrow(CommandLine.join(args))
    expect(words(text)).toEqual(args)
    // As a script, too, where they are one command; its operators are quoted.
    const [command, ...others] = commands(text)
    expect(command?.words ?? []).toEqual(args)
    expect(others).toEqual([])
  })

  it.prop("never fails, whatever the text", { text: Schema.String }, ({ text }) => {
    expect(words(text).every((word) => typeof word === "string")).toBe(true)
    expect(commands(text).every(({ words: parts }) => parts.length > 0)).toBe(true)
  })

  it("ends words and commands where a shell does", () => {
    expect(words(`--name "a b"  'c d'e \\"x`)).toEqual(["--name", "a b", "c de", '"x'])
    expect(words("a > b; c # d")).toEqual(["a", ">", "b;", "c", "#", "d"])
    expect(commands("#!/bin/sh\nexport A=1; b > log 2>&1 # note\n\n(cd x && d 'e;f') | g").map((one) => one)).toEqual([
      { words: ["export", "A=1"], line: 2 },
      { words: ["b"], line: 2 },
      { words: ["cd", "x"], line: 4 },
      { words: ["d", "e;f"], line: 4 },
      { words: ["g"], line: 4 }
    ])
    expect(commands("a \\\n  b\nc")).toEqual([
      { words: ["a", "b"], line: 1 },
      { words: ["c"], line: 2 }
    ])
    expect(line(["tsx", "a b", "--port", "$PORT"])).toBe("tsx 'a b' --port $PORT")
  })
})

describe("SelfWatching", () => {
  it.each([
    ["tsx watch src/index.ts", "tsx watch", "tsx src/index.ts"],
    ["tsx watch --clear-screen=false --ignore './x' src/a.ts --port 1", "tsx watch", "tsx src/a.ts --port 1"],
    ["tsx --tsconfig t.json watch a.ts", "tsx watch", "tsx --tsconfig t.json a.ts"],
    ["npx tsx watch a.ts", "tsx watch", "tsx a.ts"],
    ["npx --yes nodemon", "nodemon", "node ."],
    ["nodemon -w src -e ts --exec 'ts-node src/a.ts'", "nodemon", "ts-node src/a.ts"],
    ["nodemon --inspect server.js --port 3", "nodemon", "node --inspect server.js --port 3"],
    ["nodemon src/a.ts", "nodemon", "ts-node src/a.ts"],
    ["nodemon --exec python app.py", "nodemon", "python app.py"],
    ["/usr/bin/node --watch --import tsx a.ts --watch", "node --watch", "node --import tsx a.ts --watch"],
    ["node --watch-path=./src --env-file .env a.js", "node --watch", "node --env-file .env a.js"],
    ["node --watch-path ./src a.js", "node --watch", "node a.js"],
    ["node node_modules/nodemon/bin/nodemon.js a.js", "nodemon", "node a.js"],
    ["node ./node_modules/.bin/tsx watch a.ts", "tsx watch", "tsx a.ts"],
    ["ts-node-dev --respawn --transpile-only src/a.ts", "ts-node-dev", "ts-node --transpile-only src/a.ts"],
    ["tsnd a.ts", "ts-node-dev", "ts-node a.ts"],
    ["cargo watch -x 'run --release'", "cargo watch", "cargo run --release"],
    ["cargo +nightly watch -w src -- ./run.sh", "cargo watch", "./run.sh"],
    ["cargo watch", "cargo watch", "cargo check"],
    ["bun --hot src/a.ts", "bun --watch", "bun src/a.ts"],
    ["deno run --watch=src -A a.ts", "deno --watch", "deno run -A a.ts"],
    ["nest start --watch", "nest start --watch", "nest start"],
    ["uvicorn main:app --reload --reload-dir src --port 8", "uvicorn --reload", "uvicorn main:app --port 8"],
    ["python3 -m uvicorn main:app --reload", "uvicorn --reload", "python3 -m uvicorn main:app"],
    ["python manage.py runserver 8000", "manage.py runserver", "python manage.py runserver 8000 --noreload"],
    ["dotnet watch run --project a", "dotnet watch", "dotnet run --project a"],
    ["dotnet watch --project a", "dotnet watch", "dotnet run --project a"],
    ["watchexec -r -e js -- node a.js", "watchexec", "node a.js"],
    ["bash -lc 'cd x && exec tsx watch a.ts | cat'", "tsx watch", "tsx a.ts"],
    ["cross-env NODE_ENV=development tsx watch a.ts", "tsx watch", "tsx a.ts"],
    ["concurrently 'vite' 'nodemon a.js'", "nodemon", "node a.js"],
    ["pnpm exec tsx watch a.ts", "tsx watch", "tsx a.ts"]
  ])("%s", (text, watcher, replacement) => {
    expect(detect(text)).toEqual({ watcher, where: "command", replacement })
  })

  it.each([
    "node server.js --watch",
    "node --import tsx a.ts",
    "tsx src/index.ts watch",
    "next dev",
    "vite",
    "npx next dev --turbo",
    "cargo run",
    "python manage.py runserver --noreload",
    "python manage.py migrate",
    "echo nodemon",
    "npm start",
    "npm run missing",
    "bash missing.sh",
    "bash",
    "npx",
    "",
    "uvicorn main:app"
  ])("nothing in: %s", (text) => {
    expect(detect(text, "/nonexistent")).toBeUndefined()
  })

  it.effect("follows package.json and shell scripts", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const write = (name: string, text: string) => {
        Fs.mkdirSync(Path.dirname(Path.join(folder, name)), { recursive: true })
        Fs.writeFileSync(Path.join(folder, name), text)
      }
      const scripts = { start: "node a.js", dev: "NODE_ENV=development tsx watch src/index.ts", loop: "npm run loop" }
      write("package.json", JSON.stringify({ scripts: { ...scripts, all: "yarn dev", sh: "sh ./start-dev.sh" } }))
      write("start-dev.sh", "#!/bin/bash\n# no tsx watch here\n\ncd backend\nnpm run serve >> log 2>&1 &\nwait\n")
      write("backend/package.json", JSON.stringify({ scripts: { serve: "nodemon server.js" } }))
      write("bin/go", "#!/usr/bin/env node\ntsx watch x\n")
      const dev = { watcher: "tsx watch", where: "package.json script dev", replacement: "tsx src/index.ts" }
      expect(detect("npm run dev", folder)).toEqual(dev)
      expect(detect("npm run dev -- --port 3", folder)?.replacement).toBe("tsx src/index.ts --port 3")
      expect(detect("pnpm dev", folder)).toEqual(dev)
      expect(detect("yarn all", folder)).toEqual(dev)
      expect(detect(`npm --prefix ${folder} run dev`, "/")).toEqual(dev)
      const serve = { watcher: "nodemon", where: "package.json script serve", replacement: "node server.js" }
      expect(detect("./start-dev.sh", folder)).toEqual(serve)
      expect(detect("bash start-dev.sh", folder)).toEqual(serve)
      expect(detect("npm run sh", folder)).toEqual(serve)
      write("start-dev.sh", "#!/bin/sh\nset -e\nexec tsx watch src/index.ts\n")
      expect(detect("./start-dev.sh", folder)?.where).toBe("start-dev.sh line 3")
      // A program in another language, a script that calls itself, one that watches nothing.
      for (const text of ["bin/go", "npm run loop", "npm start", "npm run toString"]) {
        expect(detect(text, folder)).toBeUndefined()
      }
      write("package.json", "{ not JSON")
      expect(detect("npm run dev", folder)).toBeUndefined()
    })
  )
})
