/** The store that the environment names, with the archive beside it. */
import type { EmbeddedStore } from 'daybook'
import { open, openObjects } from 'daybook/open'
import { type LoginOrderJoin, loginOrderJoin } from './app.ts'
import { settingsOf } from './settings.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export function storeUrl({ DAYBOOK_STORE }: Environment): string {
  return DAYBOOK_STORE || 'sqlite:./login-order-join.db'
}

export async function openJoin(
  env: Environment,
): Promise<{ readonly store: EmbeddedStore; readonly join: LoginOrderJoin }> {
  const url = storeUrl(env)
  const join = loginOrderJoin(settingsOf(env))
  const { projections, retention } = join
  const archive = { objects: await openObjects(env['DAYBOOK_ARCHIVE'] || archiveUrl(url)), retention }
  return { store: await open(url, { projections, archive }), join }
}

/** One log, one archive: beside the file, where there is one. */
function archiveUrl(url: string): string {
  return url.startsWith('sqlite:') ? `file:${url.slice('sqlite:'.length)}.archive` : 'file:./login-order-join.archive'
}
