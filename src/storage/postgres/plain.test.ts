/** Batches of plain appends go another way than all others; nobody can tell by the outcome. */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { missingPostgres, newDatabase } from '../../../test/engines/postgres.ts'
import { append, commitOf, event, logAll } from '../../conformance/kit.ts'
import { indexQuery, putDocument, wordsQuery } from '../../core/document.ts'
import type { Commit, DocumentWrite, Guard, Storage } from '../../core/storage.ts'
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
  /** Of commits whose ids are numbers; a version is that of a commit before, which may have put the document or not. */
  const documents = fc.uniqueArray(
    fc.record({
      key: fc.constantFrom('x', 'y', 'z'),
      kind: fc.constantFrom('put' as const, 'put' as const, 'delete' as const, 'check' as const),
      guard: fc.constantFrom('anything' as const, 'absent' as const, 'version' as const),
      back: fc.integer({ min: 1, max: 3 }),
      city: fc.constantFrom('Bern', 'Basel'),
      streams: fc.subarray(['seat/1', 'show/1']),
    }),
    { maxLength: 3, selector: ({ key }) => key },
  )
  const spec = { collection: 'places', indexes: [{ name: 'city', equals: ['city'] }], search: ['city'] }
  const condition = { query: [{ tags: ['none:1'] }] }
  let ids = 0
  const batchWithDocuments = fc.array(fc.tuple(appends, documents), { minLength: 1, maxLength: 6 }).map((all) =>
    all.map(([appends, documents]): Commit => {
      const id = `commit ${++ids}`
      const events = (tags: readonly string[][]) => tags.map((tags) => event('Happened', { tags }))
      const made = appends.map(({ stream, expected, tags }) => append(stream, expected, ...events([[], ...tags])))
      return {
        id,
        appends: made,
        documents: documents.flatMap(({ key, kind, guard, back, city, streams }): readonly DocumentWrite[] => {
          const version = `commit ${ids - back}`
          const holds: Guard = guard === 'version' ? { is: guard, version } : { is: guard }
          if (kind === 'put') return putDocument(spec, { key, body: { city, id }, streams, if: holds })
          return [{ kind, key: { collection: spec.collection, key }, if: holds }]
        }),
      }
    }),
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

  test('so it is where commits write documents, which others of the batch go on from', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(batchWithDocuments, { minLength: 1, maxLength: 4 }), async (batches) => {
        const [together, alone] = [await opened(), await opened()]
        try {
          for (const commits of batches) {
            const expected = []
            // A condition keeps a commit from going the short way.
            for (const commit of commits) expected.push((await alone.commit([{ ...commit, condition }]))[0])
            expect(await together.commit(commits)).toEqual(expected)
          }
          const all = async (storage: Storage) => {
            const keys = ['x', 'y', 'z'].map((key) => ({ collection: spec.collection, key }))
            const documents = await storage.getDocuments(keys)
            const found = await Promise.all(
              ['Bern', 'Basel'].flatMap((city) => [
                storage.queryDocuments(indexQuery(spec, { index: 'city', equals: [city] })),
                storage.queryDocuments(wordsQuery(spec, { text: city })),
              ]),
            )
            return [documents, found, await logAll(storage)]
          }
          expect(await all(together)).toEqual(await all(alone))
          const erased = async (storage: Storage) =>
            (await storage.erase({ erase: 'documents', stream: 'show/1' })).erased
          expect(await erased(together)).toEqual(await erased(alone))
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
