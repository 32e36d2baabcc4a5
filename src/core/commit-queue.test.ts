import { expect, test } from 'vitest'
import { memoryStorage } from '../storage/memory/storage.ts'
import { makeEvent } from './append.ts'
import { createCommitQueue } from './commit-queue.ts'
import { StoreClosed } from './errors.ts'
import { newId, secureRandom } from './id.ts'
import { limits } from './limits.ts'
import type { Commit, CommitOutcome, Storage } from './storage.ts'

const random = secureRandom()

function appendTo(stream: string, data: unknown = null): Commit {
  const event = makeEvent({ newId: () => newId(random), random }, { type: 'Happened', data }, 'event')
  return { id: newId(random), appends: [{ stream, expected: 'any', events: [event] }] }
}

/** A storage whose commits go through `commit`, which may look on, wait or fail. */
function storageWith(
  commit: (commits: readonly Commit[], inner: Storage) => Promise<readonly CommitOutcome[]>,
): Storage {
  const inner = memoryStorage()
  return { ...inner, commit: (commits) => commit(commits, inner) }
}

test('what arrives in one turn is handed over together, and what arrives meanwhile by the next', async () => {
  const batches: number[] = []
  const queue = createCommitQueue(
    storageWith(async (commits, inner) => {
      batches.push(commits.length)
      await new Promise((resolve) => setTimeout(resolve, 20))
      return inner.commit(commits)
    }),
  )
  const first = Array.from({ length: 5 }, () => queue.add(appendTo('seat/1')))
  await new Promise((resolve) => setTimeout(resolve, 5))
  const second = Array.from({ length: 7 }, () => queue.add(appendTo('seat/1')))
  await Promise.all([...first, ...second])
  expect(batches).toEqual([5, 7])
})

test('a batch ends at its number of commits and at its bytes', async () => {
  const batches: number[] = []
  const queue = createCommitQueue(
    storageWith((commits, inner) => {
      batches.push(commits.length)
      return inner.commit(commits)
    }),
  )
  await Promise.all(Array.from({ length: limits.batchCommits + 1 }, () => queue.add(appendTo('seat/1'))))
  expect(batches).toEqual([limits.batchCommits, 1])
  batches.length = 0
  const large = 'x'.repeat(1_000_000)
  await Promise.all(Array.from({ length: 20 }, () => queue.add(appendTo('seat/1', large))))
  expect(Math.max(...batches)).toBe(8)
})

test('commits that were rejected are handed over again with the same ids, so that nothing is written twice', async () => {
  let calls = 0
  const storage = storageWith(async (commits, inner) => {
    calls++
    const outcomes = await inner.commit(commits)
    if (calls < limits.commitTries) throw new Error('the connection was lost after the commit')
    return outcomes
  })
  const queue = createCommitQueue(storage)
  const outcome = await queue.add(appendTo('seat/1'))
  expect(outcome).toMatchObject({ outcome: 'committed', repeated: true })
  expect((await storage.readStream('seat/1', { after: 0, direction: 'forwards', limit: 9 })).head?.revision).toBe(1)
})

test('a storage that goes on failing leaves the outcome unknown, and tells the ids to repeat with', async () => {
  const cause = new Error('gone')
  const queue = createCommitQueue(storageWith(() => Promise.reject(cause)))
  const commit = appendTo('seat/1')
  const ids = commit.appends[0]?.events.map(({ id }) => id)
  await expect(queue.add(commit)).rejects.toMatchObject({ code: 'outcome-unknown', ids, cause })
})

test.each<CommitOutcome>([
  { outcome: 'busy', retryAfterMs: 1 },
  { outcome: 'failed', cause: new Error('full') },
])(
  'after a try that was lost, "$outcome" leaves the outcome unknown, for it speaks of the last try alone',
  async (outcome) => {
    let lost = false
    const storage = storageWith(async (commits, inner) => {
      if (lost) return [outcome]
      lost = true
      await inner.commit(commits)
      throw new Error('the connection was lost after the commit')
    })
    const queue = createCommitQueue(storage)
    await expect(queue.add(appendTo('seat/1'))).rejects.toMatchObject({
      code: 'outcome-unknown',
      cause: { message: 'the connection was lost after the commit' },
    })
  },
)

test('after a try that was lost, an error of our own leaves the outcome unknown too', async () => {
  const errors = [new Error('lost'), new StoreClosed()]
  const queue = createCommitQueue(storageWith(() => Promise.reject(errors.shift())))
  await expect(queue.add(appendTo('seat/1'))).rejects.toMatchObject({ code: 'outcome-unknown' })
})

test('a queue that is full refuses at once and says when to come again', async () => {
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const queue = createCommitQueue(
    storageWith(async (commits, inner) => {
      await held
      return inner.commit(commits)
    }),
  )
  const commit = appendTo('seat/1')
  const taken = [queue.add(commit)]
  await new Promise((resolve) => setTimeout(resolve, 5))
  for (let index = 0; index < limits.queueCommits; index++) taken.push(queue.add(commit))
  await expect(queue.add(commit)).rejects.toMatchObject({ code: 'store-busy', retryAfterMs: 100 })
  release()
  expect((await Promise.all(taken)).every(({ outcome }) => outcome === 'committed')).toBe(true)
})

test('closing takes nothing more and waits for what was taken', async () => {
  const queue = createCommitQueue(memoryStorage())
  let done = false
  void queue.add(appendTo('seat/1')).then(() => {
    done = true
  })
  await queue.close()
  expect(done).toBe(true)
  await expect(queue.add(appendTo('seat/1'))).rejects.toMatchObject({ code: 'store-closed' })
})
