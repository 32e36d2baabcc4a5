/** A log on its way through storages of other kinds, by backups: it comes back as the same log. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { logAll, range } from '../src/conformance/kit.ts'
import { positionOf } from '../src/conformance/store/kit.ts'
import { entryOfRecord } from '../src/core/record-line.ts'
import { restoreBackup } from '../src/core/restore.ts'
import { entriesHash } from '../src/core/segment.ts'
import { type EmbeddedStore, openStore } from '../src/core/store.ts'
import { folderObjects } from '../src/objects/folder.ts'
import { openStorage } from '../src/open.ts'
import { places } from './engines/storages.ts'

const folder = mkdtempSync(join(tmpdir(), 'daybook-journey-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const missing = places.flatMap(({ missing }) => missing ?? [])
const why = missing.length > 0 ? ` (${missing.join('; ')})` : ''

test.skipIf(missing.length > 0)(
  `from SQLite to PostgreSQL to DynamoDB to SQLite the log has one digest${why}`,
  async () => {
    const objects = folderObjects(join(folder, 'archive'))
    const archive = { objects, retention: { old: { keepEvents: 1 } } }
    const [sqlite] = places
    const stops = [...places, ...(sqlite ? [sqlite] : [])]
    const digests: string[] = []
    const readings: unknown[] = []
    for (const [index, stop] of stops.entries()) {
      const place = await stop.next()
      try {
        const storage = await openStorage(place.url)
        if (index > 0) await restoreBackup(folderObjects(join(folder, `backup-${index - 1}`)), storage)
        await using store = await openStore(storage, { archive })
        if (index === 0) await live(store)
        const records = await logAll(storage, { evidence: true })
        digests.push(entriesHash(records))
        // Where an entry follows from the rest, storages may give it or not.
        const proven = records.map((record) => ({
          ...record,
          evidence: { ...record.evidence, entry: entryOfRecord(record) },
        }))
        readings.push([proven, (await store.readPage('old/1')).events, (await store.readPage('guest/3')).events])
        await store.backup(folderObjects(join(folder, `backup-${index}`)))
      } finally {
        await place.drop()
      }
    }
    expect(new Set(digests).size).toBe(1)
    for (const reading of readings) expect(reading).toEqual(readings[0])
  },
)

/** Something of all that can be in a log: many events, tags, archived ones, a forgotten stream. */
async function live(store: EmbeddedStore): Promise<void> {
  for (const guest of range(1, 20)) {
    const events = range(1, 10).map((data) => ({ type: 'Visited', tags: [`guest:${guest}`], data }))
    await store.append(`guest/${guest}`, events)
  }
  await store.append(
    'old/1',
    range(1, 4).map((data) => ({ type: 'Aged', data, meta: { by: 'ä😀' } })),
  )
  await positionOf(store, 'old/1')
  await store.forget('guest/2', { reasonCode: 'asked' })
  await positionOf(store, 'guest/2')
  expect((await store.archive.run())[0]?.events).toBe(3)
}
