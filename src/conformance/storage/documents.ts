/** Documents: guarded writes, declared indexes, unique values, paging, words, and the streams whose content they hold. */
import assert from 'node:assert/strict'
import { type DocumentToWrite, deleteDocument, indexQuery, putDocument, wordsQuery } from '../../core/document.ts'
import { compareUtf8 } from '../../core/encoding.ts'
import type { CollectionSpec, DocumentPage, DocumentQuery, DocumentWrite, Guard, Storage } from '../../core/storage.ts'
import { append, cases, commit, events, forget, is, type OpenStorage, range, readAll, write } from '../kit.ts'

const people: CollectionSpec = {
  collection: 'people',
  indexes: [
    { name: 'city', equals: ['address.city'], order: 'name' },
    { name: 'age', equals: [], order: 'age' },
    { name: 'email', equals: ['email'], unique: true },
  ],
  search: ['name', 'notes'],
}
const others: CollectionSpec = { collection: 'people2', indexes: [] }
const anything: Guard = { is: 'anything' }
const absent: Guard = { is: 'absent' }

export const documents = (open: OpenStorage) =>
  cases(open, {
    'A document comes back as it was put, with the id of its commit as its version': async (open) => {
      const storage = await declared(open)
      const body = { name: 'Ann', text: '\u0000 🎫', list: [1, { a: null }] }
      is(await put(storage, { key: 'ann', body, if: absent }, 'commit-1'), 'committed')
      const [ann, nobody] = await storage.getDocuments([idOf('ann'), idOf('bob')])
      assert.deepEqual({ ...ann, body: JSON.parse(ann?.body ?? '') }, { ...idOf('ann'), version: 'commit-1', body })
      assert.equal(nobody, undefined)
    },

    'A document is put, deleted or checked only where its guard holds; else the conflict tells its version': async (
      open,
    ) => {
      const storage = await declared(open)
      is(await put(storage, { key: 'ann', body: { v: 1 }, if: version('commit-0') }), 'document-conflict')
      is(await put(storage, { key: 'ann', body: { v: 1 }, if: absent }, 'commit-1'), 'committed')
      const conflict = is(await put(storage, { key: 'ann', body: { v: 2 }, if: absent }), 'document-conflict')
      assert.deepEqual([conflict.key, conflict.version], [idOf('ann'), 'commit-1'])
      is(await put(storage, { key: 'ann', body: { v: 2 }, if: version('commit-1') }, 'commit-2'), 'committed')
      is(await put(storage, { key: 'ann', body: { v: 3 }, if: version('commit-1') }), 'document-conflict')
      const check = (guard: Guard): DocumentWrite => ({ kind: 'check', key: idOf('ann'), if: guard })
      const note = (key: string): readonly DocumentWrite[] => putDocument(people, { key, body: {}, if: anything })
      is(await commit(storage, [], { documents: [check(version('commit-1')), ...note('n')] }), 'document-conflict')
      is(await commit(storage, [], { documents: [check(version('commit-2')), ...note('n')] }), 'committed')
      const gone = deleteDocument(people, { key: 'ann', if: version('commit-2') })
      is(await commit(storage, [], { documents: [...gone, ...note('m')] }), 'committed')
      assert.deepEqual(await storage.getDocuments([idOf('ann')]), [undefined])
      is(await put(storage, { key: 'ann', body: {}, if: version('commit-2') }), 'document-conflict')
    },

    'All documents of a collection come page by page, each once, and none of another': async (open) => {
      const storage = await declared(open)
      const keys = ['ä', 'Z', 'a', '🎫', 'b']
      for (const key of keys) is(await put(storage, { key, body: { key }, if: absent }), 'committed')
      is(await commit(storage, [], { documents: putDocument(others, { key: 'c', body: {}, if: absent }) }), 'committed')
      const found: string[] = []
      for (let cursor: string | undefined, more = true; more; ) {
        const asked = {
          by: 'collection',
          collection: 'people',
          limit: 2,
          ...(cursor !== undefined && { cursor }),
        } as const
        const { documents, next } = await storage.queryDocuments(asked)
        assert.ok(documents.length <= 2)
        found.push(...documents.map(({ body }) => JSON.parse(body).key))
        cursor = next
        more = next !== undefined
      }
      assert.deepEqual(found.toSorted(compareUtf8), keys.toSorted(compareUtf8))
      assert.deepEqual(
        await storage.queryDocuments({ by: 'collection', collection: 'nothing', limit: 2 }).then(lastOf),
        [],
      )
    },

    'Events and documents are committed together or not at all': async (open) => {
      const storage = await declared(open)
      await put(storage, { key: 'ann', body: { v: 1 }, if: absent }, 'commit-1')
      const body = { v: 2 }
      const stale = putDocument(people, { key: 'ann', body, if: version('old') })
      is(await commit(storage, [append('person/ann', 0, ...events(1))], { documents: stale }), 'document-conflict')
      assert.deepEqual(await readAll(storage, 'person/ann'), [])
      const fresh = putDocument(people, { key: 'ann', body, if: version('commit-1') })
      is(await commit(storage, [append('person/ann', 5, ...events(1))], { documents: fresh }), 'conflict')
      assert.deepEqual(await bodies(storage, ['ann']), [{ v: 1 }])
      is(await commit(storage, [append('person/ann', 0, ...events(1))], { documents: fresh }), 'committed')
      assert.deepEqual(await bodies(storage, ['ann']), [{ v: 2 }])
    },

    'Commits handed over together chain on the versions of those before them': async (open) => {
      const storage = await declared(open)
      const put = (id: string, guard: Guard) => {
        return { id, appends: [], documents: putDocument(people, { key: 'ann', body: { id }, if: guard }) }
      }
      const outcomes = await storage.commit([
        put('a', absent),
        put('b', version('a')),
        put('c', version('a')),
        put('d', version('b')),
      ])
      assert.deepEqual(
        outcomes.map(({ outcome }) => outcome),
        ['committed', 'committed', 'document-conflict', 'committed'],
      )
      assert.deepEqual(await bodies(storage, ['ann']), [{ id: 'd' }])
    },

    'A commit of documents alone is known again by its id, and is a conflict once it was overwritten': async (open) => {
      const storage = await declared(open)
      const first = {
        id: 'commit-1',
        appends: [],
        documents: putDocument(people, { key: 'ann', body: { v: 1 }, if: absent }),
      }
      assert.equal(is((await storage.commit([first]))[0], 'committed').repeated, false)
      assert.equal(is((await storage.commit([first]))[0], 'committed').repeated, true)
      is(await put(storage, { key: 'ann', body: { v: 2 }, if: anything }), 'committed')
      is((await storage.commit([first]))[0], 'document-conflict')
      assert.deepEqual(await bodies(storage, ['ann']), [{ v: 2 }])
    },

    'Of many writers that guard by the version they have read, none overwrites another': async (open) => {
      const handles = [await declared(open), await open()]
      await put(handles[0] ?? assert.fail(), { key: 'counter', body: { count: 0 }, if: absent })
      const writers = range(1, 10).map(async (writer) => {
        const storage = handles[writer % 2] ?? assert.fail()
        for (let done = 0; done < 10; ) {
          const [document] = await storage.getDocuments([idOf('counter')])
          assert.ok(document)
          const { count } = JSON.parse(document.body) as { count: number }
          const outcome = await put(storage, {
            key: 'counter',
            body: { count: count + 1 },
            if: version(document.version),
          })
          if (outcome.outcome === 'committed') done++
          else is(outcome, 'document-conflict')
        }
      })
      await Promise.all(writers)
      assert.deepEqual(await bodies(handles[0] ?? assert.fail(), ['counter']), [{ count: 100 }])
    },

    'An index answers by all its values, a range of its order and a direction, page by page': async (open) => {
      const storage = await declared(open)
      const names = ['Zoe', 'ann', 'Bob', 'Ärger', '🎫', '\uffee', 'Bobby']
      for (const name of names) {
        await put(storage, { key: name, body: { name, address: { city: 'Paris' } }, if: absent })
      }
      await put(storage, { key: 'x', body: { name: 'Elsewhere', address: { city: 'Rome' } }, if: absent })
      await put(storage, { key: 'y', body: { name: 'Nowhere' }, if: absent })
      const sorted = names.toSorted(compareUtf8)
      const find = async (query: object) => {
        const all = await every(storage, (cursor) =>
          indexQuery(people, { index: 'city', equals: ['Paris'], limit: 2, ...cursor, ...query }),
        )
        return all.map(({ key }) => key)
      }
      assert.deepEqual(await find({}), sorted)
      assert.deepEqual(await find({ direction: 'backwards' }), sorted.toReversed())
      assert.deepEqual(await find({ from: 'Bob', to: 'Zoe' }), ['Bob', 'Bobby', 'Zoe'])
      assert.deepEqual(await find({ from: 'Bob', to: 'Zoe', direction: 'backwards' }), ['Zoe', 'Bobby', 'Bob'])
      assert.deepEqual(await find({ from: '\u{10ffff}' }), [])
      assert.deepEqual(await find({ equals: ['Nowhere'] }), [])
    },

    'Numbers sort by value: negative, fractional, huge': async (open) => {
      const storage = await declared(open)
      const ages = [0, -1, 10, 9, 0.5, -0.5, 1e300, -1e300, 123456789, 5e-324, -5e-324]
      for (const age of ages) await put(storage, { key: String(age), body: { age }, if: absent })
      const find = async (query: object) => {
        const all = await every(storage, (cursor) =>
          indexQuery(people, { index: 'age', equals: [], limit: 3, ...cursor, ...query }),
        )
        return all.map(({ key }) => Number(key))
      }
      const sorted = ages.toSorted((a, b) => a - b)
      assert.deepEqual(await find({}), sorted)
      assert.deepEqual(
        await find({ from: -0.5, to: 10 }),
        sorted.filter((age) => age >= -0.5 && age <= 10),
      )
    },

    'An index follows its document: changed values move it, a delete takes it out': async (open) => {
      const storage = await declared(open)
      const inCity = async (city: string) => {
        const page = await storage.queryDocuments(indexQuery(people, { index: 'city', equals: [city] }))
        return page.documents.map(({ key }) => key)
      }
      await put(storage, { key: 'ann', body: { name: 'Ann', address: { city: 'Paris' } }, if: absent })
      await put(storage, { key: 'ann', body: { name: 'Ann', address: { city: 'Rome' } }, if: anything })
      assert.deepEqual([await inCity('Paris'), await inCity('Rome')], [[], ['ann']])
      const documents = [
        ...deleteDocument(people, { key: 'ann', if: anything }),
        ...putDocument(people, { key: 'n', body: {}, if: anything }),
      ]
      is(await commit(storage, [], { documents }), 'committed')
      assert.deepEqual(await inCity('Rome'), [])
    },

    'A unique value belongs to one document, and is free again once that gives it up': async (open) => {
      const storage = await declared(open)
      const ann = { email: 'a@example.org' }
      is(await put(storage, { key: 'ann', body: ann, if: absent }), 'committed')
      is(await put(storage, { key: 'bob', body: ann, if: absent }), 'document-conflict')
      assert.deepEqual(await storage.getDocuments([idOf('bob')]), [undefined])
      const moved = { email: 'ann@example.org' }
      is(await put(storage, { key: 'ann', body: moved, previous: ann, if: anything }), 'committed')
      is(await put(storage, { key: 'bob', body: ann, if: absent }), 'committed')
      const documents = [
        ...deleteDocument(people, { key: 'ann', previous: moved, if: anything }),
        ...putDocument(people, { key: 'n', body: {}, if: anything }),
      ]
      is(await commit(storage, [], { documents }), 'committed')
      is(await put(storage, { key: 'eve', body: moved, if: absent }), 'committed')
    },

    'Words find the documents that hold them all, the last one as a beginning, whatever their case and accents': async (
      open,
    ) => {
      const storage = await declared(open)
      const all: Readonly<Record<string, object>> = {
        a: { name: 'Zoë Müller', notes: ['likes Jazz', 'left-handed'] },
        b: { name: 'Zoe Smith', notes: ['jazzy'] },
        c: { name: 'Иван', notes: ['ДЖАЗ'] },
        d: { name: '" OR * NEAR(', notes: 'AND NOT collection:people' },
      }
      for (const [key, body] of Object.entries(all)) await put(storage, { key, body, if: absent })
      const find = async (text: string) => {
        const found = await every(storage, (cursor) => wordsQuery(people, { text, limit: 1, ...cursor }))
        return found.map(({ key }) => key).sort()
      }
      assert.equal(storage.abilities.search, true)
      assert.deepEqual(await find('zoe'), ['a', 'b'])
      assert.deepEqual(await find('jazz zoe'), ['a'])
      assert.deepEqual(await find('zoe jazz'), ['a', 'b'])
      assert.deepEqual(await find('ZOË mul'), ['a'])
      assert.deepEqual(await find('джа'), ['c'])
      assert.deepEqual(await find('left handed'), ['a'])
      assert.deepEqual(await find('collection:people'), ['d'])
      assert.deepEqual(await find('nothing'), [])
      await put(storage, { key: 'a', body: { name: 'Renamed' }, if: anything })
      assert.deepEqual(await find('jazz'), ['b'])
      assert.deepEqual(await find('renamed'), ['a'])
    },

    'Documents of one collection are not seen by queries of another': async (open) => {
      const storage = await declared(open)
      const others: CollectionSpec = { ...people, collection: 'people too' }
      await storage.declare([others])
      await put(storage, { key: 'ann', body: { name: 'Ann', age: 1 }, if: absent })
      const byAge = await storage.queryDocuments(indexQuery(others, { index: 'age', equals: [] }))
      const byWord = await storage.queryDocuments(wordsQuery(others, { text: 'ann' }))
      assert.deepEqual([byAge.documents, byWord.documents], [[], []])
    },

    'A collection is declared once for good, also for other handles: with other indexes it is refused': async (
      open,
    ) => {
      const storage = await declared(open)
      await storage.declare([people])
      const other = await open()
      await other.declare([people])
      const clash = { ...people, indexes: people.indexes.slice(1) }
      for (const handle of [storage, other]) {
        await assert.rejects(handle.declare([clash]), { code: 'collection-clash', collection: 'people' })
      }
    },

    'Forgetting a stream deletes the documents that hold its content, in bounded steps, and no others': async (
      open,
    ) => {
      const storage = await declared(open)
      await write(storage, 'person/ann', ...events(1))
      await put(storage, {
        key: 'ann',
        body: { name: 'Ann Secret' },
        streams: ['person/ann', 'person/eve'],
        if: absent,
      })
      await put(storage, { key: 'moved', body: {}, streams: ['person/ann'], if: absent })
      await put(storage, { key: 'moved', body: {}, streams: ['person/bob'], if: anything })
      await put(storage, { key: 'bob', body: { name: 'Bob' }, if: absent })
      await forget(storage, 'person/ann')
      let erased = 0
      for (let done = false; !done; ) {
        const step = await storage.erase({ erase: 'documents', stream: 'person/ann' })
        erased += step.erased
        done = step.done
      }
      assert.equal(erased, 1)
      const left = await storage.getDocuments([idOf('ann'), idOf('moved'), idOf('bob')])
      assert.deepEqual(
        left.map((document) => document !== undefined),
        [false, true, true],
      )
      assert.deepEqual((await storage.queryDocuments(wordsQuery(people, { text: 'secret' }))).documents, [])
      assert.deepEqual(await storage.erase({ erase: 'documents', stream: 'person/ann' }), { erased: 0, done: true })
    },
  })

async function declared(open: () => Promise<Storage>): Promise<Storage> {
  const storage = await open()
  await storage.declare([people])
  return storage
}

function put(storage: Storage, document: DocumentToWrite, id: string = crypto.randomUUID()) {
  return commit(storage, [], { id, documents: putDocument(people, document) })
}

function idOf(key: string) {
  return { collection: 'people', key }
}

function version(version: string): Guard {
  return { is: 'version', version }
}

async function bodies(storage: Storage, keys: readonly string[]): Promise<readonly unknown[]> {
  const found = await storage.getDocuments(keys.map(idOf))
  return found.map((document) => document && JSON.parse(document.body))
}

/** Of a page that may have an empty one before it. */
function lastOf({ documents }: DocumentPage) {
  return documents
}

/** All pages of a query; none may be empty but the only one. */
async function every(storage: Storage, query: (cursor: { cursor?: string }) => DocumentQuery) {
  const documents: DocumentPage['documents'][number][] = []
  let cursor: string | undefined
  do {
    const page = await storage.queryDocuments(query(cursor === undefined ? {} : { cursor }))
    assert.ok(page.documents.length > 0 || cursor === undefined)
    documents.push(...page.documents)
    cursor = page.next
  } while (cursor !== undefined)
  return documents
}
