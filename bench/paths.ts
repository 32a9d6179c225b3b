import { fileURLToPath } from "node:url"

/** A path within this folder. A suite runs from one bundled file elsewhere: the folder is told to it by `main.ts`. */
export const inBench = (path: string): string =>
  fileURLToPath(new URL(path, process.env["BENCH_FOLDER"] ?? import.meta.url))
