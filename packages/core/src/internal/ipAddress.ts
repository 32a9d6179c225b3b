/** IP addresses as text. */
import * as Net from "node:net"

/** The one form of an address that has many: its shortest, and IPv4 where IPv6 maps it. */
export const plain = (address: string): string => {
  if (!Net.isIPv6(address)) return address
  // The URL does not know zones, which are names of this machine's links.
  const shortest = new URL(`http://[${address.replace(/%.*$/, "")}]`).hostname.slice(1, -1)
  const [, high, low] = /^::ffff:([0-9a-f]+):([0-9a-f]+)$/.exec(shortest) ?? []
  if (high === undefined || low === undefined) return shortest
  return [parseInt(high, 16), parseInt(low, 16)].flatMap((word) => [word >> 8, word & 255]).join(".")
}
