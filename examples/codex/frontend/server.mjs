/** The frontend: a page that says how the backend is. */
import { createServer } from "node:http"

const backend = `http://127.0.0.1:${process.env["BACKEND_PORT"]}/health`

const state = () =>
  fetch(backend, { signal: AbortSignal.timeout(1000) }).then(
    (answer) => (answer.ok ? "up" : "ill"),
    () => "down"
  )

const server = createServer(async (_, response) => {
  response.end(`<h1>CODEX</h1><p>backend: ${await state()}</p>\n`)
})
process.once("SIGINT", () => server.close(() => process.exit(0)))
server.listen(Number(process.env["PORT"]), "127.0.0.1", () => console.log(`frontend on ${process.env["PORT"]}`))
