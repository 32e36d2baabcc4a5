/** What is encrypted is plain text in no copy of a store, and in none that is left once its subject was forgotten. */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { type MasterKey, masterKeyOf, openStore, restoreBackup, type Subjects } from 'daybook'
import { memoryStorage } from 'daybook/memory'
import { folderObjects } from 'daybook/objects/folder'
import { sqliteStorage } from 'daybook/sqlite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openStorage } from '../src/open.ts'
import { openChanges } from './engines/changes.ts'
import { missingDynamo, newClient, newTable } from './engines/dynamodb.ts'
import { missingPostgres, newDatabase } from './engines/postgres.ts'
import { startServer } from './engines/server.ts'

const folder = mkdtempSync(join(tmpdir(), 'daybook-copies-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const [first, second] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)]
const old = masterKeyOf([first])
const subjects: Subjects = {
  streams: { customer: {} },
  events: { OrderPlaced: { subject: 'customer/{/customer}', fields: ['/name'] } },
}
const secrets = ['Zaubernuss', 'Rabenstein']
const live = join(folder, 'live')
const copy = join(folder, 'copy')
mkdirSync(live)

async function open(place: string, masterKey: MasterKey, more = {}) {
  const storage = await sqliteStorage({ file: join(place, 'store.db') })
  const objects = await folderObjects(join(place, 'archive'))
  const archive = { objects, retention: { customer: { keepEvents: 1 }, order: { keepEvents: 1 } } }
  return openStore(storage, { subjects, encryption: { masterKey }, archive, ...more })
}

/** All bytes below a folder, unpacked where they are packed. */
function bytesIn(place: string): Buffer {
  const files = readdirSync(place, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return Buffer.concat(
    files.map((entry) => {
      const bytes = readFileSync(join(entry.parentPath, entry.name))
      return entry.name.endsWith('.gz') ? gunzipSync(bytes) : bytes
    }),
  )
}

const placed = (customer: number) => ({ type: 'OrderPlaced', data: { customer, name: 'Rabenstein', total: 3 } })
let wrappedKey = ''

beforeAll(async () => {
  await using store = await open(live, old)
  for (let n = 0; n < 5; n++) await store.append('customer/42', [{ type: 'Moved', data: { to: 'Zaubernuss', n } }])
  for (let n = 0; n < 5; n++) await store.append('order/1', [placed(n < 4 ? 42 : 43)])
  await store.archive.run()
  await store.backup(await folderObjects(join(live, 'backup')))
  // While it is open: the write-ahead log is a copy as well.
  cpSync(live, copy, { recursive: true })
  const keys = readdirSync(join(copy, 'backup/backup/keys'))
    .map((name) => gunzipSync(readFileSync(join(copy, 'backup/backup/keys', name))).toString())
    .join('')
  wrappedKey = /"key":"([^"]+)","master":"[^"]*","part":"[^"]*","subject":"customer\/42"/.exec(keys)?.[1] ?? ''
  expect(wrappedKey).not.toBe('')
  await store.forget({ subject: 'customer/42', reasonCode: 'gdpr-art-17' })
  await store.backup(await folderObjects(join(live, 'backup')))
})

describe('copies of an encrypted store', () => {
  test('neither copies from before nor what is there now hold it as plain text: file, write-ahead log, archive, backup', () => {
    for (const place of [copy, live]) {
      const bytes = bytesIn(place)
      expect(bytes.includes('order/1')).toBe(true)
      for (const secret of secrets) expect(bytes.includes(secret), `${secret} in ${place}`).toBe(false)
    }
  })

  test('the key is nowhere after it was destroyed, in the file as in the backup', () => {
    expect(bytesIn(copy).includes(wrappedKey)).toBe(true)
    expect(bytesIn(live).includes(wrappedKey)).toBe(false)
  })

  test('the backup from before, with the keys of today, restores what reads as masks, and has the same digest', async () => {
    const mixed = join(folder, 'mixed')
    cpSync(join(copy, 'backup'), mixed, { recursive: true })
    rmSync(join(mixed, 'backup/keys'), { recursive: true })
    cpSync(join(live, 'backup/backup/keys'), join(mixed, 'backup/keys'), { recursive: true })
    const there = memoryStorage()
    await restoreBackup(await folderObjects(mixed), there)
    const objects = await folderObjects(join(copy, 'archive'))
    await using store = await openStore(there, { encryption: { masterKey: old }, archive: { objects, retention: {} } })
    const { events } = await store.readPage('order/1')
    expect(events.map(({ data }) => (data as { name: string | null }).name)).toEqual([
      null,
      null,
      null,
      null,
      'Rabenstein',
    ])
    expect((await store.readPage('customer/42')).events.map(({ data }) => data)).toEqual(Array(5).fill(null))
    expect(await store.ledger.verify()).toMatchObject({ verified: 10 })
  })

  test('a backup with its keys and the master key restores all of it, and has the same digest', async () => {
    const [there, source] = [memoryStorage(), await sqliteStorage({ file: join(copy, 'store.db'), readOnly: true })]
    await restoreBackup(await folderObjects(join(copy, 'backup')), there)
    const objects = await folderObjects(join(copy, 'archive'))
    await using store = await openStore(there, { encryption: { masterKey: old }, archive: { objects, retention: {} } })
    for (const [stream, secret] of [
      ['customer/42', 'Zaubernuss'],
      ['order/1', 'Rabenstein'],
    ] as const) {
      const { events } = await store.readPage(stream)
      expect(events.every(({ data }) => JSON.stringify(data).includes(secret))).toBe(true)
      expect(events).toHaveLength(5)
    }
    const evidence = async (storage: typeof there) => {
      const { records } = await storage.readLog({ after: 0, direction: 'forwards', limit: 100, evidence: true })
      return records.map(({ evidence }) => Buffer.from(evidence?.commitment ?? []).toString('hex'))
    }
    expect(await evidence(there)).toEqual(await evidence(source))
    await source.close()
    expect((await store.ledger.verify()).fault).toBeUndefined()
  })

  test('once the master key is rotated and the old one thrown away, a copy of the file cannot be read either', async () => {
    const fresh = masterKeyOf([second])
    {
      await using store = await open(live, masterKeyOf([second, first]))
      await store.encryption.rotate()
    }
    await using store = await open(live, fresh)
    expect((await store.readPage('order/1')).events.at(-1)?.data).toEqual(placed(43).data)
    await expect(open(copy, fresh)).rejects.toMatchObject({ code: 'master-key-wrong', keyId: old.id })
    await using without = await openStore(await sqliteStorage({ file: join(copy, 'store.db') }))
    await expect(without.readPage('customer/42', { after: 4 })).rejects.toMatchObject({ code: 'master-key-missing' })
  })
})

/** What an engine keeps of its own accord, beyond the reach of any forgetting. */
describe('what an engine keeps', () => {
  const missing = { postgres: missingPostgres(), dynamo: missingDynamo() }

  /** The plain text beside shows that the search would find it. */
  async function live(url: string): Promise<void> {
    await using store = await openStore(await openStorage(url), { subjects, encryption: { masterKey: old } })
    await store.append('customer/42', [{ type: 'Moved', data: { to: 'Zaubernuss' } }])
    await store.append('order/1', [{ ...placed(42), meta: { note: 'Sichtbar' } }])
    await store.forget({ subject: 'customer/42', reasonCode: 'gdpr-art-17' })
  }

  function expectNoSecret(bytes: Buffer): void {
    expect(bytes.includes('Sichtbar')).toBe(true)
    for (const secret of secrets) expect(bytes.includes(secret), secret).toBe(false)
  }

  test.skipIf(missing.postgres !== undefined)(
    `PostgreSQL has none of it in its write-ahead log${missing.postgres ? ` (${missing.postgres})` : ''}`,
    async () => {
      const server = await startServer()
      await live((await newDatabase(server.url)).url)
      expectNoSecret(bytesIn(join(server.data, 'pg_wal')))
      await server.remove()
    },
  )

  test.skipIf(missing.dynamo !== undefined)(
    `DynamoDB has none of it in its change stream${missing.dynamo ? ` (${missing.dynamo})` : ''}`,
    async () => {
      const { url } = await newTable(undefined, 'changes')
      await live(url)
      const client = newClient()
      const changes = await openChanges(client, /^dynamodb:([^?]+)/.exec(url)?.[1] ?? '')
      const seen: string[] = []
      for (let some = await changes.next(); some.length > 0; some = await changes.next()) {
        JSON.stringify(some, (name, value) => {
          if (typeof value === 'string') seen.push(name === 'B' ? Buffer.from(value, 'base64').toString() : value)
          return value
        })
      }
      changes.close()
      client.destroy()
      expect(seen.length).toBeGreaterThan(0)
      expectNoSecret(Buffer.from(seen.join('\n')))
    },
  )
})
