/** A request to a server that never answers: the timeout closes its socket, and the server sees that. */
import { once } from "node:events"
import * as Http from "node:http"
import * as Net from "node:net"

import { timeout } from "@nexobot/core/promise"

const server = Net.createServer((socket) => {
  socket.resume().on("error", () => {})
  socket.on("close", () => {
    console.log("the server sees the connection close")
    server.close()
  })
})
await once(server.listen(0, "127.0.0.1"), "listening")
const { port } = /** @type {Net.AddressInfo} */ (server.address())

try {
  await timeout({ after: 200, name: "api" }).execute(
    (_, own) =>
      new Promise((resolve, reject) => {
        Http.get({ host: "127.0.0.1", port }, resolve)
          .on("socket", (socket) => own.socket(socket, "the request's socket"))
          .on("error", reject)
      })
  )
} catch (error) {
  console.log(String(error))
}
