/** Documents, their index entries, the streams whose content they hold, and their words: all in the commit's transaction. */

import { cursorOrdinal } from '../../core/argument.ts'
import { canonicalJson } from '../../core/encoding.ts'
import { CollectionClash } from '../../core/errors.ts'
import type {
  CollectionSpec,
  Commit,
  CommitOutcome,
  Document,
  DocumentKey,
  DocumentPage,
  DocumentPut,
  DocumentQuery,
  EraseProgress,
  IndexEntry,
} from '../../core/storage.ts'
import type { DocumentRow, Session } from './session.ts'

/** What of a document is stored elsewhere, so that it can be taken away again. */
interface Attached {
  readonly index: readonly IndexEntry[]
  readonly streams: readonly string[]
  readonly words: boolean
}

export function getDocument({ sql }: Session, { collection, key }: DocumentKey): Document | undefined {
  const row = sql.getDocument.get(collection, key) as Pick<Document, 'version' | 'body'> | undefined
  return row && { collection, key, version: row.version, body: row.body }
}

/** As the documents of a commit are before it, in its order. */
export type DocumentRows = readonly (DocumentRow | undefined)[]

export function findDocuments(session: Session, { documents = [] }: Commit): DocumentRows {
  return documents.map(({ key }) => findDocument(session, key))
}

/** What commits look at is mostly the same: who works under a lease, whose data it is, the view that was just written. */
function findDocument({ sql, documents }: Session, { collection, key }: DocumentKey): DocumentRow | undefined {
  // A map of its own for each collection: a name made of both would be hashed anew each time.
  const known = documents.get(collection)?.get(key)
  if (known !== undefined) return known
  const found = sql.findDocument.get(collection, key) as DocumentRow | undefined
  if (found) remember(documents, { collection, key }, found)
  return found
}

function remember(documents: Session['documents'], { collection, key }: DocumentKey, row: DocumentRow): void {
  const rows = documents.get(collection) ?? new Map<string, DocumentRow>()
  if (rows.size >= rememberedMost) rows.clear()
  documents.set(collection, rows.set(key, row))
}

const rememberedMost = 5_000

/** The commit was here before, or one of its guards fails, or nothing stands against it. */
export function checkDocuments({ id, appends, documents = [] }: Commit, rows: DocumentRows): CommitOutcome | undefined {
  if (documents.length === 0) return undefined
  if (appends.every(({ events }) => events.length === 0)) {
    const puts = documents.flatMap((write, index) => (write.kind === 'put' ? [rows[index]?.version] : []))
    const again = puts.length > 0 && puts.every((version) => version === id)
    if (again) return { outcome: 'committed', repeated: true, streams: [] }
  }
  for (const [index, { key, if: guard }] of documents.entries()) {
    const version = rows[index]?.version
    const holds = guard.is === 'anything' || (guard.is === 'absent' ? version === undefined : version === guard.version)
    if (!holds) return { outcome: 'document-conflict', key, ...(version !== undefined && { version }) }
  }
  return undefined
}

export function writeDocuments(session: Session, { id, documents = [] }: Commit, rows: DocumentRows): void {
  for (const [index, write] of documents.entries()) {
    if (write.kind === 'put') putDocument(session, write, { version: id, row: rows[index] })
    if (write.kind === 'delete') deleteDocument(session, write.key)
  }
}

function putDocument(
  session: Session,
  { key, body, index, streams = [], words }: DocumentPut,
  { version, row }: { readonly version: string; readonly row: DocumentRow | undefined },
): void {
  const { sql, documents } = session
  const attached = JSON.stringify({ index, streams, words: words !== undefined } satisfies Attached)
  const number = row
    ? row.document_no
    : Number(sql.insertDocument.run(key.collection, key.key, version, body, attached).lastInsertRowid)
  remember(documents, key, { document_no: number, version, attached })
  if (row) {
    sql.updateDocument.run(version, body, attached, number)
    // A document mostly keeps its index values; words are not kept to compare them with.
    if (row.attached === attached && words === undefined) return
    detach(session, key, row)
  }
  for (const entry of index) {
    sql.insertIndex.run(key.collection, entry.index, entry.equals, entry.order, key.key, number)
  }
  for (const stream of streams) sql.insertHeld.run(stream, number)
  if (words) sql.insertWords.run(number, collectionWord(key.collection), words.join(' '))
}

export function deleteDocument(session: Session, key: DocumentKey): void {
  const row = findDocument(session, key)
  if (row === undefined) return
  session.documents.get(key.collection)?.delete(key.key)
  detach(session, key, row)
  session.sql.deleteDocument.run(row.document_no)
}

function detach(
  { sql }: Session,
  { collection, key }: DocumentKey,
  { document_no: number, attached }: DocumentRow,
): void {
  const { index, streams, words } = JSON.parse(attached) as Attached
  for (const entry of index) sql.deleteIndex.run(collection, entry.index, entry.equals, entry.order, key)
  for (const stream of streams) sql.deleteHeld.run(stream, number)
  if (words) sql.deleteWords.run(number)
}

/** Deletes up to `limit` documents that hold content of the stream. */
export function eraseHeld(session: Session, stream: string, limit: number): EraseProgress {
  const held = session.sql.heldBy.all(stream, limit) as unknown as DocumentKey[]
  for (const key of held) deleteDocument(session, key)
  const collections = held.map(({ collection }) => collection)
  return { erased: held.length, collections, done: held.length < limit }
}

/** Deletes up to `limit` documents of the collection, and after the last its declaration. */
export function eraseCollection(session: Session, collection: string, limit: number): number {
  const found = session.sql.documentsOf.all(collection, limit) as { key: string }[]
  for (const { key } of found) deleteDocument(session, { collection, key })
  if (found.length < limit) session.sql.deleteCollection.run(collection)
  return found.length
}

export function declareCollections({ sql }: Session, collections: readonly CollectionSpec[]): void {
  for (const spec of collections) {
    const text = canonicalJson(spec)
    const row = sql.findCollection.get(spec.collection) as { spec: string } | undefined
    if (row !== undefined && row.spec !== text) throw new CollectionClash(spec.collection)
    if (row === undefined) sql.insertCollection.run(spec.collection, text)
  }
}

export function isDeclared({ sql }: Session, spec: CollectionSpec): boolean {
  return (sql.findCollection.get(spec.collection) as { spec: string } | undefined)?.spec === canonicalJson(spec)
}

export function queryDocuments(session: Session, query: DocumentQuery): DocumentPage {
  switch (query.by) {
    case 'index':
      return queryIndex(session, query)
    case 'words':
      return queryWords(session, query)
    case 'collection':
      return queryCollection(session, query)
  }
}

function queryCollection(
  { sql }: Session,
  { collection, cursor = '', limit }: DocumentQuery & { by: 'collection' },
): DocumentPage {
  const rows = sql.queryCollection.all(collection, cursor, limit + 1) as unknown as Omit<Document, 'collection'>[]
  const documents = rows.slice(0, limit).map(({ key, version, body }) => ({ collection, key, version, body }))
  const last = documents.at(-1)
  return rows.length > limit && last ? { documents, next: last.key } : { documents }
}

/** Above every text that sorts: they begin with a letter up to "s". */
const beyond = 't'

function queryIndex({ sql }: Session, query: DocumentQuery & { by: 'index' }): DocumentPage {
  const { collection, index, equals, from = '', to = beyond, direction, cursor, limit } = query
  const forwards = direction === 'forwards'
  const [statement, end] = forwards ? ([sql.queryForwards, to] as const) : ([sql.queryBackwards, from] as const)
  // The key is never empty, so that the first page begins right before all with the first order, or right after the last.
  const start = forwards ? [from, ''] : [`${to}\u0001`, '']
  const [order = '', key = ''] = cursor === undefined ? start : (JSON.parse(cursor) as readonly string[])
  const rows = statement.all(collection, index, equals, order, key, end, limit + 1) as {
    key: string
    ord: string
    version: string
    body: string
  }[]
  const page = rows.slice(0, limit)
  const documents = page.map(({ key, version, body }) => ({ collection, key, version, body }))
  const last = page.at(-1)
  return rows.length > limit && last ? { documents, next: JSON.stringify([last.ord, last.key]) } : { documents }
}

function queryWords(
  { sql }: Session,
  { collection, words, cursor = '0', limit }: DocumentQuery & { by: 'words' },
): DocumentPage {
  // Words are letters and digits only, so that nothing in them is query syntax.
  const asked = words.map((word, index) => (index === words.length - 1 ? `"${word}"*` : `"${word}"`)).join(' ')
  const match = `collection : "${collectionWord(collection)}" AND words : (${asked})`
  const rows = sql.queryWords.all(match, cursorOrdinal(cursor), limit + 1) as {
    document_no: number
    key: string
    version: string
    body: string
  }[]
  const page = rows.slice(0, limit)
  const documents = page.map(({ key, version, body }) => ({ collection, key, version, body }))
  return rows.length > limit ? { documents, next: String(page.at(-1)?.document_no) } : { documents }
}

/** The collection's name as one word of letters and digits, whatever it holds. */
function collectionWord(collection: string): string {
  return Buffer.from(collection).toString('hex')
}
