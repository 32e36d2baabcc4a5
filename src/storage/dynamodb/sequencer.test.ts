import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { missingDynamo, newClient } from '../../../test/engines/dynamodb.ts'
import { append, commit, event, logPage, write } from '../../conformance/kit.ts'
import { openTable, put } from './driver.ts'
import { type WriterItem, writerKey } from './items.ts'
import { createTable, type DynamoOptions, dynamoStorage } from './storage.ts'
import { connect } from './table.ts'

const missing = missingDynamo()
afterEach(() => {
  vi.useRealTimers()
})

async function newTable() {
  const place = { table: `t-${crypto.randomUUID()}`, client: newClient() }
  await createTable(place)
  const { sdk, client } = await connect(place)
  const open = async (options: Partial<DynamoOptions> = {}) => {
    const storage = await dynamoStorage({ ...place, ...options })
    onTestFinished(() => storage.close())
    return storage
  }
  const table = openTable(sdk, client, place.table)
  const { pk } = writerKey('')
  const writers = async () =>
    (await table.query({ pk, from: '\0', to: '~', direction: 'forwards', limit: 100 })).items.map(({ sk }) => sk)
  return { table, open, writers }
}

/** Five seconds, and what is done in them, again and again until it holds: only the clock of the signs is turned. */
async function untilSigns(holds: () => Promise<boolean>): Promise<number> {
  for (let seconds = 0; seconds < 120; seconds += 5) {
    if (await holds()) return seconds
    vi.advanceTimersByTime(5_000)
    // The signs are read and written at the engine's own pace.
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
  }
  throw new Error('it does not hold after two minutes')
}

describe.skipIf(missing !== undefined)(`sequencers among each other${missing ? ` (${missing})` : ''}`, () => {
  test('what a writer left without a position when it died gets one from the others, and its name goes', async () => {
    const { table, open, writers } = await newTable()
    // It died between its record and the next step: its sign is there, and nobody else knows of the record.
    const dead = await open({ sequencer: 'elsewhere' })
    await write(dead, 'seat/1', event('Reserved'))
    const sign: WriterItem = { ...writerKey('dead'), beat: 7 }
    await table.write(put(sign, { is: 'anything' }))
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
    const other = await open()
    expect((await logPage(other)).head).toBe(0)
    const seconds = await untilSigns(async () => (await writers()).length === 0)
    expect(seconds).toBeGreaterThanOrEqual(20)
    expect((await logPage(other)).head).toBe(1)
  })

  test('a writer that lives is left alone however long it writes, and one that is idle or closed has no name', async () => {
    const { open, writers } = await newTable()
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
    const [one, other] = [await open(), await open()]
    await write(one, 'seat/1', event('Reserved'))
    const [name] = await writers()
    let written = 0
    await untilSigns(async () => {
      await write(one, 'seat/1', event('Reserved'))
      expect(await writers()).toContain(name)
      return ++written > 8
    })
    await untilSigns(async () => (await writers()).length === 0)
    await write(one, 'seat/1', event('Reserved'))
    expect(await writers()).toEqual([name])
    await one.close()
    expect(await writers()).toEqual([])
    await other.close()
  })

  test('a writer that was stopped for long, and taken for dead, shows itself before it writes again', async () => {
    const { table, open, writers } = await newTable()
    let now = Date.now()
    const stopped = await open({ clock: () => now })
    await write(stopped, 'seat/1', event('Reserved'))
    const [name = ''] = await writers()
    // What the others do that take it for dead.
    await table.write({ write: 'delete', key: writerKey(name), if: { is: 'anything' } })
    now += 60_000
    await commit(stopped, [append('seat/1', 1, event('Paid'))])
    expect(await writers()).toEqual([name])
  })
})
