/** An application's definitions, out of the file that `--app` names. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type AppDefinition, defineApp } from '../core/app.ts'
import { InvalidArgument, isStoreError } from '../core/errors.ts'

/** Throws `InvalidArgument` where there is no such file, where it does not load, and where it exports no application. */
export async function loadApp(file: string): Promise<AppDefinition> {
  const place = resolve(file)
  const wrong = (why: string) => new InvalidArgument('--app', `${file} ${why}`)
  if (!existsSync(place)) throw wrong(`is not there (looked for ${place})`)
  const module = await import(pathToFileURL(place).href).catch((error) => {
    throw wrong(`does not load: ${toldOf(error)}`)
  })
  const app: unknown = module.default
  if (app === undefined) {
    const named = Object.keys(module).join(', ') || 'nothing'
    throw wrong(`has no default export (it exports ${named}); write: export default defineApp({ projections: [ … ] })`)
  }
  try {
    return defineApp(app as AppDefinition)
  } catch (error) {
    throw wrong(`exports no application: ${toldOf(error)}`)
  }
}

/** What a module throws is the application's own, so the place in it is what its author wants to know. */
function toldOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const place = /file:\/\/[^\s)]*:\d+(?::\d+)?/.exec(error.stack ?? '')?.[0]
  return place === undefined || isStoreError(error) ? error.message : `${error.message} (${place})`
}
