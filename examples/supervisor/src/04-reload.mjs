/** A new version takes the place of the old one while somebody asks without a pause; a broken one does not. */
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { Agent, get } from "node:http"
import * as Net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { fileURLToPath } from "node:url"

import { startSupervisor } from "@nexobot/process-supervisor/promise"

const folder = mkdtempSync(join(tmpdir(), "example-reload-"))
const file = join(folder, "version")
writeFileSync(file, "version 1")

const free = Net.createServer().listen(0, "127.0.0.1")
await once(free, "listening")
const { port } = /** @type {Net.AddressInfo} */ (free.address())
free.close()

const supervisor = await startSupervisor({
  processes: [
    {
      name: "web",
      command: process.execPath,
      args: [fileURLToPath(new URL("server.mjs", import.meta.url)), file],
      port,
      ready: "notify"
    }
  ]
})

/** @type {Map<string, number>} */
const answers = new Map()
const agent = new Agent({ keepAlive: true })
const asking = new AbortController()
const ask = async () => {
  while (!asking.signal.aborted) {
    const [response] = await once(get({ port, agent, host: "127.0.0.1" }), "response")
    const version = await text(response)
    answers.set(version, (answers.get(version) ?? 0) + 1)
  }
}
const client = ask()

writeFileSync(file, "version 2")
await supervisor.reload("web")
console.log("reloaded")
writeFileSync(file, "broken")
await supervisor.reload("web").catch((error) => console.log(`not reloaded: ${error.message}`))
asking.abort()
await client
agent.destroy()

const { restarts, state } = await supervisor.status("web")
console.log(`no request was lost: ${[...answers.keys()].join(", then ")}; it is ${state}, with ${restarts} restarts`)
await supervisor.close()
rmSync(folder, { recursive: true })
