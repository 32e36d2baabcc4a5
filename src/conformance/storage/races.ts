/** What rivals may not break: one winner for each revision and boundary, and a feed that misses and repeats nothing. */
import assert from 'node:assert/strict'
import type { LogRecord, Storage } from '../../core/storage.ts'
import {
  append,
  cases,
  commit,
  event,
  events,
  is,
  logAll,
  type OpenStorage,
  positionsOf,
  range,
  readAll,
  revisionsOf,
} from '../kit.ts'

export const races = (open: OpenStorage) =>
  cases(open, {
    'Of many writers at one revision one wins, and each of the others learns the actual one': async (open) => {
      const handles = [await open(), await open()]
      for (const expected of range(0, 9)) {
        const writers = range(1, 16).map((writer) =>
          commit(handles[writer % 2] ?? assert.fail(), [append('seat/1', expected, ...events(1, `by-${writer}`))]),
        )
        const outcomes = await Promise.all(writers)
        assert.equal(outcomes.filter(({ outcome }) => outcome === 'committed').length, 1)
        for (const outcome of outcomes.filter(({ outcome }) => outcome !== 'committed')) {
          assert.equal(is(outcome, 'conflict').actual, expected + 1)
        }
      }
      assert.deepEqual(revisionsOf(await readAll(handles[0] ?? assert.fail(), 'seat/1')), range(1, 10))
    },

    'Many writers that read and append at what they read all get through, without gaps': async (open) => {
      const handles = [await open(), await open()]
      const writers = range(1, 8).map(async (writer) => {
        const storage = handles[writer % 2] ?? assert.fail()
        for (let done = 0; done < 10; ) {
          const { head } = await storage.readStream('seat/1', { after: 0, direction: 'backwards', limit: 1 })
          const outcome = await commit(storage, [append('seat/1', head?.revision ?? 0, ...events(1))])
          if (outcome.outcome === 'committed') done++
          else is(outcome, 'conflict')
        }
      })
      await Promise.all(writers)
      assert.deepEqual(revisionsOf(await readAll(handles[0] ?? assert.fail(), 'seat/1')), range(1, 80))
    },

    'Of many writers with one condition one wins, wherever they write': async (open) => {
      const handles = [await open(), await open()]
      for (const seat of range(1, 10)) {
        const condition = { query: [{ types: ['Reserved'], tags: [`seat:${seat}`] }] }
        const writers = range(1, 12).map((writer) => {
          const reserved = event('Reserved', { tags: [`seat:${seat}`] })
          return commit(handles[writer % 2] ?? assert.fail(), [append(`order/${seat}-${writer}`, 0, reserved)], {
            condition,
          })
        })
        const outcomes = (await Promise.all(writers)).map(({ outcome }) => outcome)
        assert.deepEqual(outcomes.sort(), ['committed', ...Array(11).fill('condition-failed')])
      }
    },

    'Readers of the feed, in pages of 10, 100 and 1,000, miss and repeat nothing while 32 writers append': async (
      open,
    ) => {
      const handles = [await open(), await open()]
      const writer = handles[0] ?? assert.fail()
      const total = 32 * 25 * 2
      const written = range(1, 32).map(async (id) => {
        for (const turn of range(1, 25)) {
          const storage = handles[turn % 2] ?? assert.fail()
          is(
            await commit(storage, [
              append(`seat/${id}`, 'any', ...events(1)),
              append(`show/${id}`, 'any', ...events(1)),
            ]),
            'committed',
          )
        }
      })
      const readers = [10, 100, 1_000].flatMap((limit) => handles.map((storage) => follow(storage, limit, total)))
      await Promise.all(written)
      // Where positions come later, all have theirs once the readers are through.
      const all = await Promise.all(readers)
      const expected = (await logAll(writer)).map(keyOf)
      assert.equal(expected.length, total)
      for (const seen of all) {
        assert.deepEqual(positionsOf(seen), range(1, total))
        assert.deepEqual(seen.map(keyOf), expected)
      }
    },

    'All records of one commit become visible together': async (open) => {
      const [writer, reader] = [await open(), await open()]
      let writing = true
      const written = (async () => {
        for (const id of range(1, 60)) {
          is(
            await commit(writer, [append(`seat/${id}`, 0, ...events(7)), append(`show/${id}`, 0, ...events(3))]),
            'committed',
          )
          if (id % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
        }
        writing = false
      })()
      let looks = 0
      while (writing) {
        const { head } = await reader.readLog({ after: 0, direction: 'backwards', limit: 1 })
        assert.equal(head % 10, 0)
        looks++
        await new Promise((resolve) => setImmediate(resolve))
      }
      await written
      assert.ok(looks > 0)
    },
  })

/** Reads the feed as it grows until it has `total` records. */
async function follow(storage: Storage, limit: number, total: number): Promise<readonly LogRecord[]> {
  const seen: LogRecord[] = []
  for (let after = 0; seen.length < total; ) {
    const page = await storage.readLog({ after, direction: 'forwards', limit })
    seen.push(...page.records)
    after = page.scannedTo
    await new Promise((resolve) => setImmediate(resolve))
  }
  return seen
}

function keyOf({ stream, revision }: LogRecord): string {
  return `${stream} ${revision}`
}
