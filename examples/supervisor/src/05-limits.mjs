/** One process leaks memory, and one hangs: both are found out, ended, and replaced. */
import { describe } from "@nexobot/core/ProcessExit"
import { startSupervisor } from "@nexobot/process-supervisor/promise"

/** @param {string} code */
const program = (code) => ({ command: process.execPath, args: ["-e", code] })
const beats = `const { writeSync } = require("node:fs"); setInterval(() => writeSync(3, "I am alive\\n"), 100)`
const leaks = `const kept = []; setInterval(() => kept.push(Buffer.alloc(2 ** 23, 1)), 20)`

const supervisor = await startSupervisor({
  processes: [
    { name: "leaks", ...program(leaks), memory: { limit: "256 MB", sustain: "200 millis" } },
    { name: "hangs", ...program(beats), ready: "notify", liveness: { heartbeat: "500 millis" } }
  ]
})
// As an endless loop would.
await supervisor.signal("hangs", "SIGSTOP")
const open = new Set(["leaks", "hangs"])
for await (const event of supervisor.events()) {
  const { name } = event
  if (event._tag === "Unfit") console.log(`${name} must not go on: ${describe(event.exit)}`)
  if (event._tag === "RestartDecided") console.log(`  ${name} is started again`)
  if (event._tag === "Ready" && (await supervisor.status(name)).restarts > 0) {
    console.log(`  ${name} works`)
    open.delete(name)
  }
  if (open.size === 0) break
}
await supervisor.close()
