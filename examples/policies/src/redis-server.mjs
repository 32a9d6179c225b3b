/** A redis-server for the examples, thrown away at the end; without one they say what to install, and end. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { connect, createServer } from "node:net"
import { setTimeout } from "node:timers/promises"

const freePort = async () => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address())
  server.close()
  await once(server, "close")
  return port
}

/** @param {number} port */
const isUp = async (port) => {
  const socket = connect(port, "127.0.0.1")
  try {
    await once(socket, "connect")
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

/** Runs the example with the port of the server. @param {(port: number) => Promise<void>} example */
export const withRedis = async (example) => {
  const port = await freePort()
  const server = spawn("redis-server", ["--port", `${port}`, "--bind", "127.0.0.1", "--save", ""], { stdio: "ignore" })
  const missing = await Promise.race([once(server, "error").then(() => true), once(server, "spawn").then(() => false)])
  if (missing) {
    console.log("This example needs redis-server: apt-get install redis-server, or brew install redis")
    return
  }
  try {
    while (!(await isUp(port))) await setTimeout(20)
    await example(port)
  } finally {
    server.kill()
  }
}
