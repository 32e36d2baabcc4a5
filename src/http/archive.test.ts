/** Archive and backups over HTTP: in the places that the server has, by whoever may manage it. */
import pino from 'pino'
import { afterEach, expect, test } from 'vitest'
import { place } from '../cli/fixtures/command.ts'
import { range } from '../conformance/kit.ts'
import { projection } from '../core/projection.ts'
import { openStore } from '../core/store.ts'
import type { StoreOptions } from '../core/store-options.ts'
import { serve } from '../hosts/node.ts'
import { folderObjects } from '../objects/folder.ts'
import { memoryStorage } from '../storage/memory/storage.ts'
import { createApp } from './app.ts'
import { createClient } from './client.ts'

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function open(options: StoreOptions) {
  const store = await openStore(memoryStorage(), options)
  const server = await serve({ store, port: 0, logger: pino({ level: 'silent' }) })
  const client = createClient({ url: server.url })
  closers.push(
    () => store.close(),
    () => server.close(),
    () => client.close(),
  )
  for (const data of range(1, 3)) await store.append('order/1', [{ type: 'Changed', data }])
  return { store, client, url: server.url }
}

test('a client plans, runs, lists and verifies the archive of the server, and reads through it', async () => {
  const archive = { objects: folderObjects(place()), retention: { order: { keepEvents: 1 } } }
  const { client } = await open({ archive })
  expect(await client.archive.plan()).toEqual([{ streamType: 'order', events: 2, bytes: expect.any(Number) }])
  const told: unknown[] = []
  const reports = [{ streamType: 'order', events: 2, segments: 1 }]
  expect(await client.archive.run({ onProgress: (progress) => told.push(progress) })).toEqual(reports)
  expect(told).toEqual(reports)
  expect((await client.archive.run({ streamTypes: ['order'] }))[0]?.events).toBe(0)
  const { segments } = await client.archive.segments({ streamType: 'order' })
  expect(segments).toMatchObject([{ streamType: 'order', state: 'trimmed', events: 2, first: 1, last: 2 }])
  expect(await client.archive.verify()).toEqual({ segments: 1, events: 2, damaged: [], unknown: [] })
  expect((await client.readPage('order/1')).events.map(({ data }) => data)).toEqual([1, 2, 3])
  await expect(client.archive.run({ streamTypes: ['guest'] })).rejects.toMatchObject({ path: 'streamTypes[0]' })
})

test('a client takes backups in the place that the server has, and can name no other', async () => {
  const { client, store, url } = await open({ backups: [folderObjects(place())] })
  const first = await client.backups.take()
  expect(first).toMatchObject({ number: 1, from: 0, to: 3 })
  expect(await client.backups.take()).toEqual(first)
  await store.append('order/1', [{ type: 'Changed' }])
  const told: unknown[] = []
  const second = await client.backups.take({ onProgress: (progress) => told.push(progress) })
  expect(told).toEqual([{ position: 4, head: 4 }])
  expect(await client.backups.list()).toEqual([first, second])
  const response = await fetch(`${url}/backups`, { method: 'POST', body: JSON.stringify({ to: '/tmp/elsewhere' }) })
  expect(await response.json()).toMatchObject({ number: 2 })
})

test('a client takes, lists, restores and prunes state snapshots of the server', async () => {
  const orders = projection<{ type: 'Changed'; data: number }, { last: number }>()({
    ...{ name: 'orders', lifecycle: 'async', streamTypes: ['order'] },
    on: { Changed: (_, { data }) => ({ last: data }) },
  })
  const { client, store } = await open({ states: folderObjects(place()), projections: [orders] })
  await store.projections.rebuild('orders')
  const taken = await client.states.take({ projections: ['orders'] })
  expect(taken).toMatchObject({ number: 1, position: 3, projections: [{ name: 'orders', version: 1, views: 1 }] })
  await store.append('order/1', [{ type: 'Changed', data: 4 }])
  const phases: unknown[] = []
  const restored = await client.states.restore({ onProgress: ({ phase }) => phases.push(phase) })
  expect(restored).toEqual({ number: 1, projections: [{ name: 'orders', version: 1, views: 1, position: 3 }] })
  expect(phases[0]).toBe('restoring')
  expect(await client.views.get(orders, '1')).toEqual({ last: 4 })
  await client.states.take()
  expect(await client.states.prune({ keep: 1 })).toEqual({ pruned: [1] })
  expect((await client.states.list()).map(({ number }) => number)).toEqual([2])
  await expect(client.states.restore({ number: 1 })).rejects.toThrow('there is no state snapshot 1')
  await expect(client.states.restore({ projections: ['others'] })).rejects.toThrow('has no views of "others"')
})

test('who may only look moves nothing, takes nothing and restores nothing', async () => {
  const objects = folderObjects(place())
  const { store } = await open({ archive: { objects }, backups: [objects], states: objects })
  const app = createApp({
    store,
    version: '0',
    access: { keys: async () => ({ name: 'key:monitor', scopes: ['operate'] }) },
  })
  const ask = async (method: string, path: string) => {
    const headers = { authorization: 'Bearer daybook_x' }
    return (await app.fetch(new Request(`http://localhost${path}`, { method, headers }))).status
  }
  for (const path of ['/archive/run', '/archive/verify', '/backups', '/states', '/states/restore', '/states/prune']) {
    const status = await ask('POST', path)
    // What needs a body is refused for the lack of it first.
    expect([path, status]).toEqual([path, path === '/states/prune' ? 400 : 403])
  }
  for (const path of ['/archive/order/segments', '/backups', '/states']) expect(await ask('GET', path)).toBe(200)
  expect(await ask('POST', '/archive/plan')).toBe(200)
})

test('a server that has no place for them says so', async () => {
  const { client } = await open({})
  await expect(client.archive.run()).rejects.toMatchObject({ code: 'unsupported', ability: 'archive' })
  await expect(client.backups.take()).rejects.toMatchObject({ code: 'unsupported', ability: 'backups' })
})
