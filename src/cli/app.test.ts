import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { startWorkers } from '../hosts/workers.ts'
import { open } from '../open.ts'
import { loadApp } from './app.ts'

const folder = mkdtempSync(join(tmpdir(), 'daybook-app-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function fileOf(source: string): string {
  const file = join(folder, `${crypto.randomUUID()}.mjs`)
  writeFileSync(file, source)
  return file
}

describe('the file of an application', () => {
  test.each([
    [
      'export const projections = []',
      'has no default export (it exports projections); write: export default defineApp(',
    ],
    ['export default 7', 'exports no application: app: must be an object'],
    [
      'export default { projektions: [] }',
      'app.projektions: is no part of an application; these are: projections, dec',
    ],
    ['export default { projections: {} }', 'app.projections: must be a list'],
    ['export default { jobs: {} }', 'app.jobs: must be a function of the store'],
    ['throw new Error("no luck")', 'does not load: no luck'],
    ['import "./not-there.mjs"', 'does not load: Cannot find module'],
  ])('%s is refused by what is wrong with it, in which file', async (source, reason) => {
    const file = fileOf(source)
    const refused = await loadApp(file).catch((error) => error)
    expect(refused).toMatchObject({ code: 'invalid-argument', path: '--app' })
    expect(refused.message).toContain(`--app: ${file} `)
    expect(refused.message).toContain(reason)
  })

  test('that is not there is told with the place at which it was looked for', async () => {
    const place = join(process.cwd(), 'nowhere.ts')
    await expect(loadApp('nowhere.ts')).rejects.toThrow(`--app: nowhere.ts is not there (looked for ${place})`)
  })

  test.each([
    ['{ jobs: () => ({ mail: 7 }) }', 'app.jobs(store).mail: must be a function'],
    ['{ consumers: () => [{}] }', 'app.consumers(store)[0].handler: must be a function'],
    ['{ onFolded: () => 7 }', 'app.onFolded(store): must be a function'],
    ['{ schedules: { nightly: { cron: "x y", kind: "k" } } }', 'cron: must be a pattern'],
    ['{ consumers: () => [{ name: "a b", async handler() {} }] }', 'name: of a consumer must be'],
  ])('with %s is refused when its workers start, and none of them runs', async (app, reason) => {
    await using store = await open('memory:')
    const starting = startWorkers({ store, app: await loadApp(fileOf(`export default ${app}`)) })
    await expect(starting).rejects.toThrow(reason)
    expect(await store.consumers.list()).toEqual([])
  })
})
