/** A message, a value and the output of a process, each with secrets in it; none of them is printed. */
import { spawn } from "node:child_process"

import { Redaction } from "@nexobot/core"

const password = 's3cr/t "pass" wörd'
const redactor = Redaction.make([password])

console.log(redactor.text(`cannot log in with ${password}, nor as ${encodeURIComponent(password)}`))
console.log(redactor.text("Authorization: Bearer abc.def, paid with 4111-1111-1111-1111"))
console.log(redactor.value({ user: "ada", apiKey: "abc", error: new Error(`${password} is wrong`) }))

// A process that prints its password byte by byte.
const code = `for (const byte of Buffer.from("log in with " + process.env.PASSWORD + "\\n"))
  require("node:fs").writeSync(1, Buffer.of(byte))`
const child = spawn(process.execPath, ["-e", code], {
  env: { ...process.env, PASSWORD: password },
  stdio: ["ignore", "pipe", "inherit"]
})
const chunks = Redaction.chunks(redactor)
for await (const chunk of child.stdout.setEncoding("utf8")) process.stdout.write(chunks.push(chunk))
process.stdout.write(chunks.flush())
