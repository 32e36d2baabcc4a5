/** Batches of plain appends go another way than all others; nobody can tell by the outcome. */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { missingPostgres, newDatabase } from '../../../test/engines/postgres.ts'
import { append, commitOf, event, logAll } from '../../conformance/kit.ts'
import type { Commit, Storage } from '../../core/storage.ts'
import { postgresStorage } from './storage.ts'

const missing = missingPostgres()

describe.skipIf(missing !== undefined)(`plain batches on PostgreSQL${missing ? ` (${missing})` : ''}`, () => {
  let database: Awaited<ReturnType<typeof newDatabase>>
  beforeAll(async () => {
    database = await newDatabase()
  })
  afterAll(() => database.drop())
  let schemas = 0
  const opened = () => postgresStorage({ url: database.url, schema: `schema_${++schemas}`, clock: () => 1 })

  const appends = fc.uniqueArray(
    fc.record({
      stream: fc.constantFrom('seat/1', 'seat/2', 'show/1'),
      expected: fc.constantFrom('any' as const, 'any' as const, 'exists' as const, 0, 1, 2, 3),
      tags: fc.subarray([['row:1'], ['row:1', 'zone:a'], []]),
    }),
    { minLength: 1, maxLength: 2, selector: ({ stream }) => stream },
  )
  const batch = fc.array(appends, { minLength: 1, maxLength: 6 }).map((all) =>
    all.map((appends): Commit => {
      const events = (tags: readonly string[][]) => tags.map((tags) => event('Happened', { tags }))
      return commitOf(appends.map(({ stream, expected, tags }) => append(stream, expected, ...events([[], ...tags]))))
    }),
  )

  test('a batch has the outcomes, and leaves the log, of its commits one after the other', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(batch, { minLength: 1, maxLength: 4 }), async (batches) => {
        const [together, alone] = [await opened(), await opened()]
        try {
          for (const commits of batches) {
            const one = async (commit: Commit) => (await alone.commit([commit]))[0]
            const expected = []
            for (const commit of commits) expected.push(await one(commit))
            expect(await together.commit(commits)).toEqual(expected)
          }
          const all = (storage: Storage) => Promise.all([logAll(storage), logAll(storage, { tags: ['row:1'] })])
          expect(await all(together)).toEqual(await all(alone))
        } finally {
          await together.close()
          await alone.close()
        }
      }),
      { numRuns: 25 },
    )
  })
})
