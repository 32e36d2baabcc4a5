import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { event, write } from '../conformance/kit.ts'
import { memoryStorage } from '../storage/memory/storage.ts'
import { isStoreError } from './errors.ts'
import { openStore, type Store } from './store.ts'

describe('an event whose content has gone to an archive that is not there', () => {
  const open = async () => {
    const storage = memoryStorage()
    await write(storage, 'seat/1', event('Reserved', { tags: ['seat:1'] }), event('Freed', { tags: ['seat:1'] }))
    await storage.erase({ erase: 'trim', stream: 'seat/1', from: 1, to: 1, segment: 'segment-7' })
    return openStore(storage)
  }
  const archived = { code: 'event-archived', stream: 'seat/1', revision: 1, segment: 'segment-7' }
  const all = async (items: AsyncIterable<unknown>) => {
    for await (const _ of items);
  }

  test('is an error that names its segment, by whatever way it is read', async () => {
    const store = await open()
    await expect(all(store.read('seat/1'))).rejects.toMatchObject(archived)
    await expect(store.readPage('seat/1')).rejects.toMatchObject(archived)
    await expect(all(store.readLog())).rejects.toMatchObject(archived)
    await expect(all(store.subscribe())).rejects.toMatchObject(archived)
    await expect(store.readBoundary([{ tags: ['seat:1'] }])).rejects.toMatchObject(archived)
  })

  test('is never folded past', async () => {
    const store = await open()
    const fold = { initialState: () => 0, evolve: (count: number) => count + 1 }
    await expect(store.load('seat/1', fold)).rejects.toMatchObject(archived)
    const decider = { ...fold, decide: () => [{ type: 'Reserved' }] }
    await expect(store.execute(decider, 'seat/1', 'reserve')).rejects.toMatchObject(archived)
    expect((await store.details('seat/1'))?.revision).toBe(2)
  })

  test('does not stand in the way of what comes after it', async () => {
    const store = await open()
    const types: string[] = []
    for await (const { type } of store.read('seat/1', { after: 1 })) types.push(type)
    expect(types).toEqual(['Freed'])
  })
})

describe('any argument at all', () => {
  const odd = fc.oneof(
    fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true, withSparseArray: true }),
    fc.constantFrom(
      undefined,
      null,
      '',
      'seat/1',
      0,
      -1,
      Number.NaN,
      [],
      {},
      () => 1,
      Symbol('x'),
      new Date(Number.NaN),
    ),
    fc.record(
      {
        after: fc.anything(),
        until: fc.anything(),
        limit: fc.anything(),
        direction: fc.anything(),
        expected: fc.anything(),
        condition: fc.anything(),
        types: fc.anything(),
        tags: fc.anything(),
        streamTypes: fc.anything(),
        reasonCode: fc.anything(),
        tombstone: fc.anything(),
        cursor: fc.anything(),
        updatedAfter: fc.anything(),
        at: fc.anything(),
        tries: fc.anything(),
        meta: fc.anything(),
      },
      { requiredKeys: [] },
    ),
    fc.array(
      fc.record(
        { type: fc.anything(), data: fc.anything(), tags: fc.anything(), meta: fc.anything(), id: fc.anything() },
        { requiredKeys: [] },
      ),
    ),
    fc.array(
      fc.record(
        {
          stream: fc.anything(),
          events: fc.anything(),
          expected: fc.anything(),
          types: fc.anything(),
          tags: fc.anything(),
        },
        { requiredKeys: [] },
      ),
    ),
  )
  const names = [
    'append',
    'appendMany',
    'read',
    'readPage',
    'details',
    'streams',
    'streamsPage',
    'readBoundary',
    'readLog',
    'readLogPage',
    'subscribe',
    'load',
    'execute',
    'forget',
  ] as const

  test.each(names)('to %s leads to an answer or to a typed error, and breaks nothing', async (name) => {
    const store = await openStore(memoryStorage())
    await store.append('seat/1', [{ type: 'Reserved', id: 'first' }])
    const call = store[name] as (...args: readonly unknown[]) => unknown
    const run = async (args: readonly unknown[]) => {
      const answer = call(...args)
      if (name === 'subscribe' || typeof answer !== 'object' || answer === null || !(Symbol.asyncIterator in answer)) {
        return answer
      }
      for await (const _ of answer as AsyncIterable<unknown>) break
      return undefined
    }
    const streamFirst = fc.tuple(fc.oneof(fc.constant('seat/1'), odd), odd, odd, odd)
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.array(odd, { maxLength: 4 }), streamFirst), async (args) => {
        try {
          await run(args)
        } catch (error) {
          if (!isStoreError(error)) throw error
          expect(error.message).toBeTypeOf('string')
        }
      }),
      { numRuns: 400 },
    )
    await checkWhole(store)
  })

  async function checkWhole(store: Store): Promise<void> {
    let position = 0
    for await (const entry of store.readLog()) expect(entry.position).toBe(++position)
    await store.append('show/1', [{ type: 'Opened' }], { expected: 'any' })
  }
})
