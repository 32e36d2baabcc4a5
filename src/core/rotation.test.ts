import { beforeEach, describe, expect, test } from 'vitest'
import { memoryLog, memoryStorage } from '../storage/memory/storage.ts'
import { type MasterKey, masterKeyFrom, masterKeyOf } from './master-key.ts'
import { openStore } from './store.ts'

const [first, second] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)]
const [old, both, fresh] = [masterKeyOf([first]), masterKeyOf([second, first]), masterKeyOf([second])]
const subjects = { streams: { customer: {} } }

let log: ReturnType<typeof memoryLog>
beforeEach(() => {
  log = memoryLog()
})
const open = (masterKey: MasterKey) => openStore(memoryStorage({ log }), { subjects, encryption: { masterKey } })
const moved = (n: number) => [{ type: 'Moved', data: { n } }]

describe('rotating the master key', () => {
  test('wraps all keys anew while others write, and then the old one is not needed', async () => {
    {
      await using store = await open(old)
      for (let n = 0; n < 120; n++) await store.append(`customer/${n}`, moved(n))
      await store.forget({ subject: 'customer/7', reasonCode: 'left' })
    }
    await using store = await open(both)
    await using other = await open(masterKeyOf([first, second]))
    await other.append('customer/200', moved(200))
    expect(await store.encryption.status()).toEqual({
      ...{ masterKey: fresh.id, keys: [{ masterKey: old.id, subjects: 120 }], plain: 0, forgotten: 1 },
    })
    const rotating = store.encryption.rotate()
    await Promise.all(Array.from({ length: 20 }, (_, n) => other.append(`customer/${n + 10}`, moved(n))))
    expect(await rotating).toEqual({ masterKey: fresh.id, rotated: 120 })
    expect(await store.encryption.rotate()).toMatchObject({ rotated: 0 })
    await other.append('customer/1', moved(1))
    await expect(open(old)).rejects.toMatchObject({ code: 'master-key-wrong', keyId: fresh.id })
    await using alone = await open(fresh)
    const { entries } = await alone.readLogPage({ streamTypes: ['customer'], limit: 1_000 })
    expect(entries.filter((entry) => !entry.forgotten && entry.data !== null)).toHaveLength(120 + 20 + 1)
  })

  test('goes on when it is called again after it was ended', async () => {
    {
      await using store = await open(old)
      for (let n = 0; n < 60; n++) await store.append(`customer/${n}`, moved(n))
    }
    await using store = await open(both)
    const ending = new AbortController()
    const onProgress = () => ending.abort()
    await expect(store.encryption.rotate({ signal: ending.signal, onProgress })).rejects.toThrow()
    const { keys } = await store.encryption.status()
    expect(keys).toHaveLength(2)
    await using both2 = await open(both)
    expect((await both2.encryption.rotate()).rotated).toBe(keys.find(({ masterKey }) => masterKey === old.id)?.subjects)
    await using alone = await open(fresh)
    expect((await alone.readPage('customer/59')).events[0]?.data).toEqual({ n: 59 })
  })

  test('is refused without a master key, and keys are read strictly', async () => {
    await using store = await openStore(memoryStorage({ log }))
    await expect(store.encryption.rotate()).rejects.toMatchObject({ code: 'unsupported' })
    const text = Buffer.from(second).toString('base64')
    expect(masterKeyFrom(`# ours\n${text}, ${'01'.repeat(32)}\n`).id).toBe(fresh.id)
    for (const wrong of ['', '# none', 'abc', text.slice(0, -4), `${text} x`]) {
      expect(() => masterKeyFrom(wrong, '--master-key-file')).toThrow(/--master-key-file/)
    }
  })
})
