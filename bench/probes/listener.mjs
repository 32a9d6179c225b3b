// Listens on argv[2] addresses of the loopback net, all at one port, which it prints. Ends with its standard input.
import * as Net from "node:net"

const count = Number(process.argv[2])

/** The i-th of 127.1.0.1, 127.1.0.2, … */
const addressOf = (index) => `127.1.${Math.floor(index / 250)}.${(index % 250) + 1}`

const listen = (host, port) =>
  new Promise((resolve, reject) => {
    const server = Net.createServer((socket) => socket.on("error", () => {}).resume())
    server.on("error", reject)
    server.listen({ host, port, backlog: 128 }, () => resolve(server.address().port))
  })

process.stdin.on("end", () => process.exit()).resume()
const port = await listen(addressOf(0), 0)
for (let index = 1; index < count; index++) await listen(addressOf(index), port)
process.stdout.write(`${port}\n`)
