/** What a restore of views does where it cannot come to its end as it began. */
import { expect, test } from 'vitest'
import { place } from '../cli/fixtures/command.ts'
import { range } from '../conformance/kit.ts'
import { folderObjects } from '../objects/folder.ts'
import { memoryStorage } from '../storage/memory/storage.ts'
import type { ObjectStore } from './object-store.ts'
import { projection } from './projection.ts'
import { manifestKey, packLines, printManifest, readManifest } from './state-snapshot.ts'
import { openStore } from './store.ts'

const seats = projection<{ type: 'Taken'; data: string }, { guest: string }>()({
  name: 'seats',
  lifecycle: 'async',
  streamTypes: ['seat'],
  on: { Taken: (_, { data }) => ({ guest: data }) },
  indexes: [{ name: 'guest', equals: ['guest'], unique: true }],
})

async function opened(states: ObjectStore) {
  const store = await openStore(memoryStorage(), { states, projections: [seats] })
  for (const seat of range(1, 3)) await store.append(`seat/${seat}`, [{ type: 'Taken', data: `guest ${seat}` }])
  await store.projections.rebuild('seats')
  await store.states.take()
  return store
}

const guests = async (store: Awaited<ReturnType<typeof opened>>) =>
  Promise.all(range(1, 3).map(async (seat) => (await store.views.get(seats, String(seat)))?.guest))

test('a restore that breaks off shows no part of it, and the views are built from the log', async () => {
  const states = folderObjects(place())
  let reads = 0
  // It was whole when it was checked.
  const failing: ObjectStore = {
    ...states,
    async get(key) {
      if (key.endsWith('.gz') && ++reads === 2) throw new Error('the network is gone')
      return states.get(key)
    },
  }
  await using store = await opened(failing)
  await expect(store.states.restore()).rejects.toMatchObject({ code: 'storage-failed' })
  await expect(store.views.get(seats, '1')).rejects.toMatchObject({ code: 'view-not-ready' })
  await store.projections.rebuild('seats')
  expect(await guests(store)).toEqual(['guest 1', 'guest 2', 'guest 3'])
  expect((await store.states.restore()).projections).toMatchObject([{ name: 'seats', position: 3 }])
})

test('views that were written down at two moments, and claim one unique value, are built from the log', async () => {
  const states = folderObjects(place())
  await using store = await opened(states)
  const manifest = await readManifest(states, 1)
  const [one] = manifest.projections
  const line = (seat: number, guest: string) =>
    JSON.stringify({ key: String(seat), body: { view: { guest }, at: seat, revisions: { [`seat/${seat}`]: 1 } } })
  const lines = [line(1, 'guest 1'), line(2, 'guest 1'), line(3, 'guest 3')]
  const chunk = await packLines(states, `${one?.chunks[0]?.key.replace('.ndjson.gz', '')}-2.ndjson.gz`, lines)
  const claimed = { ...manifest, projections: manifest.projections.map((each) => ({ ...each, chunks: [chunk] })) }
  await states.put(manifestKey(1), await printManifest(claimed))
  expect((await store.states.restore()).projections).toMatchObject([{ name: 'seats', position: 0 }])
  expect(await guests(store)).toEqual(['guest 1', 'guest 2', 'guest 3'])
})

test('a projection that is built anew while it is written down is written down again', async () => {
  const states = folderObjects(place())
  let rebuilt = 0
  const slow: ObjectStore = {
    ...states,
    async put(key, bytes, condition) {
      if (key.endsWith('.gz') && rebuilt++ === 1) await store.projections.rebuild('seats')
      return states.put(key, bytes, condition)
    },
  }
  await using store = await opened(slow)
  const taken = await store.states.take()
  expect(rebuilt).toBe(3)
  expect(taken.projections).toMatchObject([{ name: 'seats', views: 3, position: 3 }])
  expect((await store.states.restore()).projections).toMatchObject([{ position: 3 }])
  expect(await guests(store)).toEqual(['guest 1', 'guest 2', 'guest 3'])
})

test('parked views are parked again, and made whole once their handler is mended', async () => {
  const states = folderObjects(place())
  let broken = true
  const frail = {
    ...seats,
    on: {
      Taken: (_: unknown, { data }: { data: string }) => {
        if (broken && data === 'guest 2') throw new Error('no such guest')
        return { guest: data }
      },
    },
  }
  await using store = await openStore(memoryStorage(), { states, projections: [frail] })
  for (const seat of range(1, 3)) await store.append(`seat/${seat}`, [{ type: 'Taken', data: `guest ${seat}` }])
  await store.projections.rebuild('seats')
  await store.states.take()
  await store.states.restore()
  expect((await store.projections.parked('seats')).parked).toMatchObject([{ key: '2', stream: 'seat/2' }])
  broken = false
  expect(await store.projections.replayParked('seats')).toEqual({ replayed: 1, parked: 0 })
  expect((await store.views.get<{ guest: string }>('seats', '2'))?.guest).toBe('guest 2')
})
