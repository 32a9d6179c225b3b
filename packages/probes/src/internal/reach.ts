/**
 * How far a check of a host goes.
 *
 * @since 0.1.0
 */
import * as Net from "node:net"

import type * as Probe from "@nexobot/core/Probe"

// To connect to the unspecified address is to connect to this machine.
const loopback = new Net.BlockList()
loopback.addSubnet("127.0.0.0", 8, "ipv4")
loopback.addAddress("::1", "ipv6")
loopback.addAddress("0.0.0.0", "ipv4")
loopback.addAddress("::", "ipv6")

/** `host` for addresses and names that never leave this machine (RFC 6761); of other names nobody knows beforehand. */
export const reachOf = (host: string): Probe.Reach => {
  const version = Net.isIP(host)
  const stays =
    version === 0 ? /(^|\.)localhost\.?$/i.test(host) : loopback.check(host, version === 4 ? "ipv4" : "ipv6")
  return stays ? "host" : "network"
}
