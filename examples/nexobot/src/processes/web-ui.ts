/**
 * The web UI: pages by route, as its configuration file says. SIGHUP reads the file anew; a file that cannot be read
 * leaves the routes as they are.
 *
 * Environment: PORT, WEB_UI_CONFIG (path of the file, `{ "routes": { "/": "home" } }`).
 */
import * as Fs from "node:fs"
import * as Http from "node:http"

const config = process.env["WEB_UI_CONFIG"] ?? ""

const readRoutes = (): ReadonlyMap<string, string> | undefined => {
  try {
    const value: unknown = JSON.parse(Fs.readFileSync(config, "utf8"))
    if (typeof value !== "object" || value === null || !("routes" in value)) return undefined
    return new Map(Object.entries(value.routes as Record<string, string>))
  } catch (cause) {
    process.stderr.write(`${config}: ${String(cause)}\n`)
    return undefined
  }
}

let routes = readRoutes() ?? new Map<string, string>()
process.on("SIGHUP", () => {
  routes = readRoutes() ?? routes
})

const server = Http.createServer((request, response) => {
  const path = new URL(request.url ?? "/", "http://web-ui").pathname
  const page = routes.get(path)
  response.writeHead(page === undefined ? 404 : 200, {
    "content-type": "text/html; charset=utf-8",
    connection: "close"
  })
  response.end(
    page === undefined
      ? `Cannot GET ${encodeURI(path)}\n`
      : `<!doctype html><title>NexoBot</title><h1>NexoBot: ${page}</h1>\n`
  )
})
server.listen(Number(process.env["PORT"]), "127.0.0.1")
const stop = () => server.close(() => process.exit(0))
process.on("SIGTERM", stop)
process.on("SIGINT", stop)
