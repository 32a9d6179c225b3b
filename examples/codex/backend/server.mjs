/** The backend: says that it lives, and dies when it is told to. */
import { createServer } from "node:http"

const server = createServer(({ url }, response) => {
  if (url === "/crash") process.exit(1)
  response.writeHead(url === "/health" ? 200 : 404, { "content-type": "application/json" })
  response.end(JSON.stringify({ app: "backend", pid: process.pid, healthy: url === "/health" }))
})
process.once("SIGINT", () => server.close(() => process.exit(0)))
server.listen(Number(process.env["PORT"]), "127.0.0.1", () => console.log(`backend on ${process.env["PORT"]}`))
