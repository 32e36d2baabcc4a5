/**
 * What the application's store is opened with and worked for, by its server, by hand and by the command line:
 * `npx daybook work --app examples/login-order-join/definitions.ts`.
 */
import { type AppDefinition, defineApp, type EmbeddedStore } from 'daybook'
import { open, openObjects } from 'daybook/open'
import pino from 'pino'
import { loginOrderJoin } from './app.ts'
import { settingsOf } from './settings.ts'

const { DAYBOOK_STORE, DAYBOOK_ARCHIVE } = process.env
export const storeUrl = DAYBOOK_STORE || 'sqlite:./login-order-join.db'
/** One log, one archive: beside the file, where there is one. */
const archiveUrl = storeUrl.startsWith('sqlite:')
  ? `file:${storeUrl.slice('sqlite:'.length)}.archive`
  : 'file:./login-order-join.archive'

export const log = pino()
export const join = loginOrderJoin(settingsOf(process.env))

export const definitions = {
  projections: join.projections,
  retention: join.retention,
  places: { archive: DAYBOOK_ARCHIVE || archiveUrl },
  jobs: (store) => join.upkeep(store, log).handlers,
  onFolded: (store) => join.upkeep(store, log).onFolded,
} satisfies AppDefinition

export default defineApp(definitions)

export async function openJoin(): Promise<EmbeddedStore> {
  const { projections, retention, places } = definitions
  return open(storeUrl, { projections, archive: { objects: await openObjects(places.archive), retention } })
}
