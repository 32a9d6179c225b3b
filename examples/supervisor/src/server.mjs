/** What the example of reloads supervises: answers with the version that the file of its first argument has. */
import { readFileSync } from "node:fs"
import { createServer } from "node:http"

import { supervised } from "@nexobot/process-supervisor/app"

const version = readFileSync(process.argv[2] ?? "", "utf8")
if (version === "broken") process.exit(1)
const app = supervised()
const server = createServer(app.handler((_request, response) => response.end(version)))
await app.listen(server, { port: Number(process.env["PORT"]), host: "127.0.0.1" })
app.ready()
