/** Documents: how what they are found by is stored, and how they are found by it. Writing them is a part of `append_1`. */
import { createHash } from 'node:crypto'
import { cursorOrdinal } from '../../core/argument.ts'
import { canonicalJson } from '../../core/encoding.ts'
import { CollectionClash } from '../../core/errors.ts'
import { limits } from '../../core/limits.ts'
import type {
  CollectionSpec,
  Document,
  DocumentKey,
  DocumentPage,
  DocumentPut,
  DocumentQuery,
  EraseProgress,
} from '../../core/storage.ts'
import { rowsOf, transact } from './driver.ts'
import { type Asking, read, type Session } from './session.ts'

interface DocumentRow {
  readonly key: string
  readonly version: string
  readonly body: string
}

/** What of a document stands in other tables: a place and an order for each index, and the streams it holds content of. */
export function attachedOf({ key, index, streams = [] }: DocumentPut) {
  const entries = index.map((entry) => [
    placeOf(key.collection, entry.index, entry.equals).toString('hex'),
    entry.order,
  ])
  return { index: entries, streams }
}

function placeOf(collection: string, index: string, equals: string): Buffer {
  return createHash('sha256')
    .update(canonicalJson([collection, index, equals]))
    .digest()
}

/** With the collection as one of the words, so that the index knows it too; no word of a text begins like it. */
export function wordsOfDocument(collection: string, words: readonly string[]): readonly string[] {
  return [collectionWord(collection), ...words]
}

function collectionWord(collection: string): string {
  return `:${Buffer.from(collection).toString('hex')}`
}

export async function getDocuments(
  session: Asking,
  keys: readonly DocumentKey[],
): Promise<readonly (Document | undefined)[]> {
  const values = [keys.map(({ collection }) => collection), keys.map(({ key }) => key)]
  const rows = await read<DocumentRow & { number: number }>(session, session.sql.getDocuments, values)
  const found = new Map(rows.map((row) => [row.number, row]))
  return keys.map(({ collection, key }, index) => {
    const row = found.get(index + 1)
    return row && { collection, key, version: row.version, body: row.body }
  })
}

/** False where one is not known yet. Throws `CollectionClash`. */
export async function isDeclared(session: Session, collections: readonly CollectionSpec[]): Promise<boolean> {
  const names = collections.map(({ collection }) => collection)
  const rows = await read<{ name: string; spec: string }>(session, session.sql.findCollections, [names])
  const stored = new Map(rows.map(({ name, spec }) => [name, spec]))
  for (const spec of collections) {
    const known = stored.get(spec.collection)
    if (known !== undefined && known !== canonicalJson(spec)) throw new CollectionClash(spec.collection)
  }
  return names.every((name) => stored.has(name))
}

export async function declareCollections(session: Session, collections: readonly CollectionSpec[]): Promise<void> {
  const names = collections.map(({ collection }) => collection)
  await rowsOf(session.pool, session.sql.insertCollections, [names, collections.map((spec) => canonicalJson(spec))])
  // Another process may have been first, with other indexes.
  await isDeclared(session, collections)
}

export function queryDocuments(session: Session, query: DocumentQuery): Promise<DocumentPage> {
  switch (query.by) {
    case 'index':
      return queryIndex(session, query)
    case 'words':
      return queryWords(session, query)
    case 'collection':
      return queryCollection(session, query)
  }
}

async function queryCollection(
  session: Session,
  { collection, cursor = '', limit }: DocumentQuery & { by: 'collection' },
): Promise<DocumentPage> {
  const rows = await read<DocumentRow>(session, session.sql.queryCollection, [collection, cursor, limit + 1])
  return pageOf(collection, rows, limit, ({ key }) => key)
}

/** Above every text that sorts: they begin with a letter up to "s". */
const beyond = 't'

async function queryIndex(session: Session, query: DocumentQuery & { by: 'index' }): Promise<DocumentPage> {
  const { collection, index, equals, from = '', to = beyond, direction, cursor, limit } = query
  const forwards = direction === 'forwards'
  // The key is never empty, so that the first page begins right before all with the first order, or right after the last.
  const start = forwards ? [from, ''] : [`${to}\u0001`, '']
  const [order = '', key = ''] = cursor === undefined ? start : (JSON.parse(cursor) as readonly string[])
  const values = [placeOf(collection, index, equals), order, key, forwards ? to : from, limit + 1]
  const rows = await read<DocumentRow & { ord: string }>(session, session.sql.queryIndex[direction], values)
  return pageOf(collection, rows, limit, ({ ord, key }) => JSON.stringify([ord, key]))
}

async function queryWords(session: Session, query: DocumentQuery & { by: 'words' }): Promise<DocumentPage> {
  const { collection, words, cursor = '0', limit } = query
  // Words are letters and digits only, so that nothing in them is query syntax.
  const asked = words.map((word, index) => (index === words.length - 1 ? `'${word}':*` : `'${word}'`))
  const match = [`'${collectionWord(collection)}'`, ...asked].join(' & ')
  const values = [match, cursorOrdinal(cursor), limit + 1]
  const rows = await read<DocumentRow & { document_no: number }>(session, session.sql.queryWords, values)
  return pageOf(collection, rows, limit, ({ document_no: number }) => String(number))
}

/** Of one row more than the page takes. */
function pageOf<Row extends DocumentRow>(
  collection: string,
  rows: readonly Row[],
  limit: number,
  cursorOf: (row: Row) => string,
): DocumentPage {
  const page = rows.slice(0, limit)
  const documents = page.map(({ key, version, body }) => ({ collection, key, version, body }))
  const last = page.at(-1)
  return rows.length > limit && last ? { documents, next: cursorOf(last) } : { documents }
}

/** Deletes documents that hold content of the stream, a bounded number. */
export function eraseHeld({ pool, sql }: Session, stream: string): Promise<EraseProgress> {
  return transact(pool, async (client) => {
    const values = [stream, limits.eraseRecords]
    const held = await rowsOf<DocumentKey & { document_no: number }>(client, sql.heldBy, values)
    await rowsOf(client, sql.lockDocuments, [held.map(({ collection, key }) => `${collection} ${key}`)])
    const numbers = held.map(({ document_no: number }) => number)
    const { length: erased } = await rowsOf(client, sql.deleteHeld, [stream, numbers])
    return { erased, done: held.length < limits.eraseRecords }
  })
}

/** Deletes documents of the collection, a bounded number, and after the last its declaration. */
export function eraseCollection({ pool, sql }: Session, collection: string): Promise<EraseProgress> {
  return transact(pool, async (client) => {
    const found = await rowsOf<{ key: string }>(client, sql.documentsOf, [collection, limits.eraseRecords])
    const keys = found.map(({ key }) => key)
    await rowsOf(client, sql.lockDocuments, [keys.map((key) => `${collection} ${key}`)])
    const { length: erased } = await rowsOf(client, sql.deleteDocuments, [collection, keys])
    const done = found.length < limits.eraseRecords
    if (done) await rowsOf(client, sql.deleteCollection, [collection])
    return { erased, done }
  })
}
