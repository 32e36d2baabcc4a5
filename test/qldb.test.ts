/** A QLDB export goes into every storage, whole and once, whatever becomes of the process that imports it. */
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { call, place, run, start } from '../src/cli/fixtures/command.ts'
import { range } from '../src/conformance/kit.ts'
import { collect, until } from '../src/conformance/store/kit.ts'
import { open } from '../src/open.ts'
import { journalOf, type TransactionSpec, writeExport } from '../src/qldb/fixtures/journal.ts'
import { places } from './engines/storages.ts'

const documents = range(1, 40).map((number) => `d${number}`)
const versions = [0, 1, 2]

/** Each document inserted, updated and deleted, in blocks of several tables. */
function exported(): string {
  const block = (id: string, version: number): TransactionSpec => ({
    statements: [version === 0 ? 'INSERT INTO Car ?' : version === 1 ? 'UPDATE Car' : 'DELETE FROM Car'],
    documents: { [id]: { table: 'Car', statements: [0] } },
    revisions: [{ id, version, ...(version < 2 && { data: `{at:${version}}` }) }],
  })
  const folder = place()
  mkdirSync(folder)
  writeExport(folder, journalOf(versions.flatMap((version) => documents.map((id) => block(id, version)))))
  return folder
}

const all = documents.length * versions.length

describe.each(places)('on $name', ({ missing, next }) => {
  test.skipIf(missing !== undefined)(
    `an import that is killed goes on, and a second one changes nothing${missing ? ` (${missing})` : ''}`,
    async () => {
      const folder = exported()
      const { url, drop } = await next()
      const import_ = ['import', folder, '--from', 'qldb-export']
      try {
        const child = start([...import_, '--store', url])
        await sleep(500)
        child.kill('SIGKILL')
        if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
        const [whole] = (await run(url, [...import_, '--json'])).json()
        expect(whole.recorded + whole.repeated).toBe(all)
        expect((await call(url, ...import_, '--json')).json()).toMatchObject([{ recorded: 0, repeated: all }])
        await using store = await open(url)
        await until(async () => (await store.info()).head === all)
        for (const id of documents.slice(0, 5)) {
          expect((await collect(store.read(`car/${id}`))).map(({ type, data }) => [type, data])).toEqual([
            ['CarInserted', { at: 0 }],
            ['CarUpdated', { at: 1 }],
            ['CarDeleted', null],
          ])
        }
      } finally {
        await drop()
      }
    },
  )
})

test('in memory it is proven and recorded too', async () => {
  expect((await call('memory:', 'import', exported(), '--from', 'qldb-export', '--json')).json()).toMatchObject([
    { recorded: all, repeated: 0 },
  ])
})
