/** Writers, and a subscriber with connections of its own, that go on through whatever happens to their server meanwhile. */
import { expect } from 'vitest'
import { range } from '../../src/conformance/kit.ts'
import { until } from '../../src/conformance/store/kit.ts'
import { isStoreError } from '../../src/core/errors.ts'
import { openStore } from '../../src/core/store.ts'
import { postgresStorage } from '../../src/storage/postgres/storage.ts'

export interface Load {
  /** Appends that were acknowledged until now. */
  acknowledged(): number
  /** Resolves when so many more were. */
  more(count: number): Promise<void>
}

/** Ends when `meanwhile` does; then all that was acknowledged must be there once, and must have been seen once. */
export async function underLoad(url: string, meanwhile: (load: Load) => Promise<void>): Promise<void> {
  const open = async () => openStore(await postgresStorage({ url }))
  const [writing, following] = [await open(), await open()]
  const ended = new AbortController()
  const seen: (number | undefined)[] = []
  const subscription = (async () => {
    const options = { signal: ended.signal, onTrouble() {} }
    for await (const { position } of following.subscribe(options)) seen.push(position)
  })()
  const acknowledged = new Map<string, number>()
  let writes = true

  async function write(writer: number): Promise<void> {
    for (let turn = 1; writes; turn++) {
      const mine = [{ id: `${writer}-${turn}`, type: 'Happened' }]
      for (let done = false; !done; ) {
        try {
          const { ids, position = 0 } = await writing.append(`seat/${writer}`, mine, { expected: turn - 1 })
          for (const id of ids) acknowledged.set(id, position)
          done = true
        } catch (error) {
          // Safe to repeat with the same ids, for ever.
          if (!isStoreError(error, 'outcome-unknown') && !isStoreError(error, 'store-busy')) throw error
        }
      }
    }
  }

  const writers = range(1, 6).map(write)
  await meanwhile({
    acknowledged: () => acknowledged.size,
    more: (count) => {
      const enough = acknowledged.size + count
      return until(() => acknowledged.size >= enough)
    },
  }).finally(() => {
    writes = false
  })
  await Promise.all(writers)
  const { head } = await writing.info()
  expect([...acknowledged.values()].toSorted((a, b) => a - b)).toEqual(range(1, head))
  for await (const entry of writing.readLog()) {
    expect(entry.forgotten ? undefined : acknowledged.get(entry.id)).toBe(entry.position)
  }
  await until(() => seen.length >= head)
  expect(seen).toEqual(range(1, head))
  await following.append('seat/after', [{ type: 'Happened' }])
  await until(() => seen.length === head + 1)
  ended.abort()
  await subscription
  for (const store of [writing, following]) await store.close()
}
