// Runs the bundled suite argv[2] in a process of its own and prints its rows as one JSON array.
import { pathToFileURL } from "node:url"

const { run } = await import(pathToFileURL(process.argv[2]).href)
process.stdout.write(JSON.stringify(await run()))
