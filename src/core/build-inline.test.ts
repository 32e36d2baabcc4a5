/** Builds of inline projections that break off anywhere, while others go on appending between any two of their writes. */
import { expect, test } from 'vitest'
import { type MemoryLog, memoryLog, memoryStorage } from '../storage/memory/storage.ts'
import { type AnyProjection, projection } from './projection.ts'
import type { Commit, EraseStep, Storage } from './storage.ts'
import { openStore, type Store } from './store.ts'

type Paid = { readonly type: 'Paid'; readonly data: { readonly amount: number } }

const sums = (version: number): AnyProjection =>
  projection<Paid, { sum: number }>()({
    name: 'sums',
    version,
    lifecycle: 'inline',
    streamTypes: ['payment'],
    on: { Paid: (view, { data }) => ({ sum: (view?.sum ?? 0) + data.amount * version }) },
  })
const both = [sums(1), sums(2)]

function opened(log: MemoryLog, change: (storage: Storage) => Partial<Storage> = () => ({})): Promise<Store> {
  const storage = memoryStorage({ log })
  return openStore({ ...storage, ...change(storage) }, { projections: both })
}

const deeds: Readonly<Record<string, (store: Store) => Promise<unknown>>> = {
  'in its place': (store) => store.projections.rebuild('sums', { version: 1, termMs: 100 }),
  'beside it': async (store) => {
    await store.projections.drop('sums', { version: 2 }).catch(() => {})
    await store.projections.rebuild('sums', { termMs: 100 })
  },
  'once more, after it was dropped': async (store) => {
    await store.projections.switch('sums', { version: 2 }).catch(() => {})
    await store.projections.drop('sums', { version: 1 }).catch(() => {})
    await store.projections.rebuild('sums', { version: 1, termMs: 100 })
  },
}

for (const [how, deed] of Object.entries(deeds)) {
  test(`built ${how}, and broken off anywhere, an inline projection has every event once`, async () => {
    const total = await broken(deed, Number.POSITIVE_INFINITY)
    expect(total).toBeGreaterThan(4)
    for (let most = 0; most < total; most++) await broken(deed, most)
  }, 120_000)
}

/** Answers how many writes it was. */
async function broken(deed: (store: Store) => Promise<unknown>, most: number): Promise<number> {
  const log = memoryLog()
  await using writer = await opened(log)
  let appended = 0
  // Of a stream of its own each, so that none brings about that what is missing of another is folded.
  const append = () => writer.append(`payment/${++appended}`, [{ type: 'Paid', data: { amount: appended } }])
  for (let count = 0; count < 5; count++) await append()
  // Where one version is kept while another is built nobody has to be waited for.
  await writer.projections.rebuild('sums', { switch: 'by-hand' })
  await writer.projections.rebuild('sums', { version: 1 })
  const mortal = (life: { left: number; writes: number }) => (storage: Storage) => {
    const between = async <Answer>(run: () => Promise<Answer>): Promise<Answer> => {
      if (life.left-- <= 0) throw new Error('killed')
      life.writes++
      await append()
      const answer = await run()
      await append()
      return answer
    }
    return {
      commit: (commits: readonly Commit[]) => between(() => storage.commit(commits)),
      erase: (step: EraseStep) => between(() => storage.erase(step)),
    }
  }
  const life = { left: Number.POSITIVE_INFINITY, writes: 0 }
  const dying = await opened(log, mortal(life))
  Object.assign(life, { left: most, writes: 0 })
  const died = deed(dying).catch(() => {})
  if (Number.isFinite(most)) await Promise.race([died, new Promise((resolve) => setTimeout(resolve, 150))])
  else await died
  const { writes } = life
  await dying.close().catch(() => {})
  const next = await opened(log, mortal({ left: Number.POSITIVE_INFINITY, writes: 0 }))
  await deed(next)
  for (const { version, whole } of (await next.projections.status('sums')).versions) {
    if (!whole) continue
    for (let amount = 1; amount <= appended; amount++) {
      const document = log.documents.get({ collection: `sums@${version}`, key: `${amount}` })
      const held = document && (JSON.parse(document.body) as { readonly view?: unknown }).view
      expect(held, `payment/${amount} in version ${version}, after ${most} writes`).toEqual({ sum: amount * version })
    }
  }
  await next.close()
  return writes
}

test('after whatever was built again in place of what was read, rolling back goes to a version that was kept', async () => {
  const log = memoryLog()
  await using store = await opened(log)
  const append = (id: number) => store.append(`payment/${id}`, [{ type: 'Paid', data: { amount: id } }])
  await append(1)
  await store.projections.rebuild('sums', { version: 2 })
  await store.projections.rebuild('sums', { version: 1, switch: 'by-hand' })
  const signal = AbortSignal.abort()
  await expect(store.projections.rebuild('sums', { version: 2, signal })).rejects.toThrow()
  expect(await store.projections.switch('sums', { version: 1 })).toMatchObject({ reads: 1 })
  expect((await store.projections.status('sums')).before).toBeUndefined()
  expect(await store.projections.rebuild('sums', { version: 2 })).toMatchObject({ reads: 2, before: 1 })
  await append(2)
  await store.projections.rollBack('sums')
  expect(await store.views.get('sums', '2')).toEqual({ sum: 2 })
})
