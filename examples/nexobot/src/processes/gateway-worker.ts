/** Answers on the gateway's port, which its parent hands over. Ends when its parent is gone. */
import type * as Net from "node:net"

import * as GatewayServer from "./gatewayServer.ts"

const server = GatewayServer.make(process.env["GATEWAY_TOKEN"] ?? "")

process.on("message", (_message, handle) => {
  const shared = handle as Net.Server
  shared.on("connection", (socket) => server.emit("connection", socket))
})
process.on("disconnect", () => process.exit(0))
process.on("SIGTERM", () => process.exit(0))
