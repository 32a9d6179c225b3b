/** A process that fails again and again is restarted, ever more slowly, and given up; a job that ends well is left alone. */
import { describe } from "@nexobot/core/ProcessExit"
import { startSupervisor } from "@nexobot/process-supervisor/promise"

/** @param {string} code */
const program = (code) => ({ command: process.execPath, args: ["-e", code] })

await using supervisor = await startSupervisor({
  processes: [
    { name: "job", ...program(""), restartPolicy: { type: "transient" } },
    {
      name: "broken",
      ...program("setTimeout(() => process.exit(3), 50)"),
      restartPolicy: { intensity: { limit: 3, window: "1 minute" } }
    }
  ]
})
const open = new Set(["job", "broken"])
for await (const event of supervisor.events()) {
  const { name } = event
  if (event._tag === "Exited") console.log(`${name}: ${describe(event.exit)}`)
  if (event._tag === "RestartDecided") console.log(`  restart ${event.restarts}`)
  if (event._tag === "Ended") console.log("  that is fine, and the end")
  if (event._tag === "GaveUp") console.log(`  given up: ${event.reason}`)
  if (event._tag === "Ended" || event._tag === "GaveUp") open.delete(name)
  if (open.size === 0) break
}
for (const { lastExit, name, restarts, state } of await supervisor.list()) {
  console.log(`${name} is ${state} after ${restarts} restarts: ${lastExit?._tag}`)
}
