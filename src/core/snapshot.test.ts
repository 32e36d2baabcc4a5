/** Whatever is wrong with a snapshot, a load comes to the state of a full fold. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type MemoryLog, memoryLog, memoryStorage } from '../storage/memory/storage.ts'
import type { Fold } from './decider.ts'
import { canonicalJson } from './encoding.ts'
import { contentOf, putSnapshot, type SnapshotContent, snapshotKey } from './snapshot.ts'
import { openStore, type Store } from './store.ts'

const stream = 'counter/1'
const decider: Fold<{ type: string; data: number }, readonly number[]> = {
  initialState: () => [],
  evolve: (state, event) => [...state, event.data],
  snapshot: { name: 'counter', version: 1 },
}
const { snapshot: _, ...plain } = decider
const key = { decider: 'counter', version: 1, stream }
const own = snapshotKey(key)

async function add(store: Store, numbers: readonly number[]): Promise<void> {
  if (numbers.length === 0) return
  await store.append(
    stream,
    numbers.map((data) => ({ type: 'Added', data })),
  )
}

function bodyOf(log: MemoryLog): string {
  return log.documents.get(own)?.body ?? ''
}

/** Put where the store looks for its own, past all that the store checks. */
async function forge(log: MemoryLog, body: string): Promise<void> {
  const storage = memoryStorage({ log, clock: Date.now })
  const put = { kind: 'put', key: own, body, index: [], if: { is: 'anything' } } as const
  await storage.commit([{ id: crypto.randomUUID(), appends: [], documents: [put] }])
}

/** As another program would have taken it: whole, and yet of something else. */
function taken(content: object): string {
  const [put] = putSnapshot(content as SnapshotContent, { is: 'anything' })
  return put?.kind === 'put' ? put.body : ''
}

function currentContent(body: string): SnapshotContent {
  return JSON.parse((JSON.parse(body) as { content: string }).content) as SnapshotContent
}

/** What can be wrong, from the snapshot that is right. */
const wrong: Readonly<Record<string, (body: string, content: SnapshotContent, at: number) => string>> = {
  'a byte is another': (body, _, at) => {
    const place = at % body.length
    return `${body.slice(0, place)}${body[place] === '7' ? '8' : '7'}${body.slice(place + 1)}`
  },
  'the end is missing': (body, _, at) => body.slice(0, at % body.length),
  'it is of another shape': (_, content, at) => [`{}`, `[]`, `7`, `null`, canonicalJson({ content })][at % 5] ?? '',
  'its content is no JSON': (_, __, at) => taken({ ...key, state: at }).replace('"state', 'state'),
  'it is of another stream': (_, content) => taken({ ...content, stream: 'counter/2' }),
  'it is of another decider': (_, content) => taken({ ...content, decider: 'other', state: ['other'] }),
  'it is of another version': (_, content) => taken({ ...content, version: 2, state: ['other'] }),
  'it is of another log': (_, content) => taken({ ...content, logId: 'other', state: ['other'] }),
  'it is of other forms': (_, content) => taken({ ...content, forms: 'other', state: ['other'] }),
  'its event is another': (_, content) => taken({ ...content, event: 'other', state: ['other'] }),
  'it is too new': (_, content, at) =>
    taken({ ...content, revision: content.revision + 1 + (at % 3), state: ['other'] }),
  'its revision is of another event': (_, content) => taken({ ...content, revision: content.revision - 1 }),
  'it is whole': (body) => body,
}

test('with a snapshot that is corrupt, stale, foreign or too new the state is that of a full fold', async () => {
  const numbers = fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 5 })
  const how = fc.constantFrom(...Object.keys(wrong))
  await fc.assert(
    fc.asyncProperty(fc.tuple(numbers, numbers, numbers), how, fc.nat(), async ([before, after, later], how, at) => {
      const log = memoryLog()
      await using store = await openStore(memoryStorage({ log, clock: Date.now }))
      await add(store, [1, ...before])
      await store.snapshots.take(decider, stream)
      await add(store, after)
      const body = bodyOf(log)
      await forge(log, wrong[how]?.(body, currentContent(body), at) ?? '')
      for (const options of [{}, { at: 1 + before.length + after.length }, { at: at % 5 }, { at: new Date() }]) {
        expect(await store.load(stream, decider, options)).toEqual(await store.load(stream, plain, options))
      }
      // The next one that is taken stands in its place.
      await add(store, later)
      const { revision } = await store.snapshots.take(decider, stream)
      expect(await store.load(stream, decider)).toEqual(await store.load(stream, plain))
      expect(currentContent(bodyOf(log)).revision).toBe(revision)
    }),
    // The example: what lists show of it is damaged, and the content beside is whole.
    { numRuns: 400, examples: [[[[], [], []], 'a byte is another', 2111825886]] },
  )
})

test('a snapshot of a log that has lost its tail, and has come on otherwise, does not hold', async () => {
  const log = memoryLog()
  await using store = await openStore(memoryStorage({ log, clock: Date.now }))
  await add(store, [1, 2, 3])
  await store.snapshots.take(decider, stream)
  const content = currentContent(bodyOf(log))
  const other = memoryLog()
  await using restored = await openStore(memoryStorage({ log: other, clock: Date.now }))
  await add(restored, [1, 2, 9, 9])
  const { logId } = await restored.info()
  await forge(other, taken({ ...content, logId }))
  expect(await restored.load(stream, decider)).toEqual({ state: [1, 2, 9, 9], revision: 4 })
})

test('a snapshot holds only where every part of it is as it must be', () => {
  const content = { ...key, logId: 'log', forms: '', revision: 3, event: 'e', time: 0, state: { sum: 1 } }
  const document = { ...own, version: 'v', body: taken(content) }
  expect(contentOf(document, { ...key, logId: 'log', forms: '' })).toEqual(content)
  for (const other of [{ logId: 'x' }, { forms: 'x' }, { decider: 'x' }, { version: 2 }, { stream: 'x/1' }]) {
    expect(contentOf(document, { ...key, logId: 'log', forms: '', ...other })).toBeUndefined()
  }
})
