/** Processes that stand and fall together: when one crashes, those after it are restarted too, in order. */
import { describe } from "@nexobot/core/ProcessExit"
import { startSupervisor } from "@nexobot/process-supervisor/promise"

const program = { command: process.execPath, args: ["-e", "setInterval(() => {}, 1000)"] }
const supervisor = await startSupervisor({
  processes: [
    {
      name: "stack",
      strategy: "rest_for_one",
      members: [
        { name: "db", ...program },
        { name: "api", ...program, dependsOn: ["db"] },
        { name: "web", ...program }
      ]
    },
    { name: "other", ...program }
  ]
})
const crash = async () => {
  console.log("api crashes")
  await supervisor.signal("api", "SIGSEGV")
}
let restarted = 0
for await (const event of supervisor.events()) {
  if (event._tag === "Spawned") console.log(`  ${event.name} starts`)
  if (event._tag === "Exited") console.log(`  ${event.name} has ended: ${describe(event.exit)}`)
  if (event._tag !== "Ready") continue
  if (event.name === "web") restarted += 1
  if (event.name === "web" && restarted === 1) await crash()
  if (restarted === 2) break
}
for (const { name, restarts } of await supervisor.list()) console.log(`${name}: ${restarts} restarts`)

console.log("the end, in reverse order")
const { signalled, survivors } = await supervisor.stop("stack")
console.log(`  ${signalled.length} processes were told to stop, ${survivors.length} are left`)
await supervisor.close()
