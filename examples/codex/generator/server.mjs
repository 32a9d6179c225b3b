/** The generator: makes a text of what it is asked for. */
import { createServer } from "node:http"

const server = createServer(({ url }, response) => {
  const { searchParams } = new URL(url ?? "/", "http://localhost")
  response.end(`generated: ${searchParams.get("topic") ?? "nothing"}\n`)
})
process.once("SIGINT", () => server.close(() => process.exit(0)))
server.listen(Number(process.env["PORT"]), "127.0.0.1", () => console.log(`generator on ${process.env["PORT"]}`))
