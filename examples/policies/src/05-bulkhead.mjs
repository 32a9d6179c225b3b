/** One place for each tenant: the second call of one is refused, and the other tenant notices nothing. */
import { keyedBulkhead } from "@nexobot/core/promise"

const tenants = keyedBulkhead({ concurrency: 1, name: "tenants" })

/** @type {(tenant: string, name: string) => Promise<string>} */
const report = (tenant, name) =>
  tenants
    .partition(tenant)
    .execute(async () => {
      await new Promise((resolve) => setTimeout(resolve, 100))
      return `${name} of ${tenant} is ready`
    })
    .catch((error) => `${name} of ${tenant}: ${error.message}`)

const reports = [report("acme", "first"), report("acme", "second"), report("other", "first")]
console.log("busy:", tenants.keys())
for (const line of await Promise.all(reports)) console.log(line)
console.log("busy:", tenants.keys())
