/**
 * Two workers want to restart the same gateway: one gets the lease, the other leaves it alone. The next lease bears a
 * larger fence.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout } from "node:timers/promises"

import { leases } from "@nexobot/core/promise"

const folder = mkdtempSync(join(tmpdir(), "lease-example-"))
const { take } = leases({ folder })

/** @param {string} name */
const worker = async (name) => {
  const lease = await take("gateway")
  if (lease === undefined) return console.log(`${name}: somebody else is at it`)
  try {
    console.log(`${name}: restarting the gateway, with fence ${lease.fence}`)
    await setTimeout(100, undefined, { signal: lease.lost })
  } finally {
    await lease.release()
  }
}

try {
  await Promise.all([worker("first"), worker("second")])
  await worker("third")
} finally {
  rmSync(folder, { recursive: true })
}
