#!/usr/bin/env -S node --disable-warning=ExperimentalWarning --max-semi-space-size=4
// The command line. In the repository it runs from source, in the package from the build. A small young generation keeps
// an export of a million events under 150 MB, and makes it faster too.
import { existsSync } from 'node:fs'
import { registerHooks } from 'node:module'

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 22 || (major === 22 && minor < 18)) {
  console.error(`Daybook needs Node 22.18 or newer; this is ${process.version}`)
  process.exit(1)
}
const source = new URL('../src/cli/main.ts', import.meta.url)
if (existsSync(source)) {
  // An application's `import 'daybook'` must find the source too, for here there is no build.
  registerHooks({
    resolve: (name, context, next) => next(name, { ...context, conditions: [...context.conditions, 'daybook-source'] }),
  })
}
await import(existsSync(source) ? source.href : new URL('../dist/cli/main.js', import.meta.url).href)
