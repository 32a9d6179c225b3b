// Bundles argv[2] and prints the path of the bundle. For suites: a bundle cannot hold the bundler.
import { bundle } from "./bundle.ts"

process.stdout.write(await bundle(process.argv[2]))
