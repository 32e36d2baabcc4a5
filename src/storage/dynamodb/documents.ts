/**
 * Documents: an item each, and pointers to it from its index entries, its words and the streams whose content it holds.
 * All change in one transaction, so a query never finds what is not there.
 */
import { compareUtf8 } from '../../core/encoding.ts'
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
  DocumentWrite,
  EraseProgress,
} from '../../core/storage.ts'
import { type Guard, idOf, put, type TableWrite, transactionItems } from './driver.ts'
import {
  type CollectionItem,
  collectionKey,
  type DocumentItem,
  type DocumentPointer,
  documentKey,
  type Item,
  type Key,
  sortKey,
} from './items.ts'
import type { Session } from './session.ts'

export async function getDocuments(
  session: Session,
  keys: readonly DocumentKey[],
): Promise<readonly (Document | undefined)[]> {
  return (await getItems(session, keys)).map((item) => item && documentOf(item))
}

export async function getItems(
  { table }: Session,
  keys: readonly DocumentKey[],
): Promise<readonly (DocumentItem | undefined)[]> {
  const items = await table.getMany(keys.map(({ collection, key }) => documentKey(collection, key)))
  return items as readonly (DocumentItem | undefined)[]
}

function documentOf({ co, ke, v, body }: DocumentItem): Document {
  return { collection: co, key: ke, version: v, body }
}

/** The commit was here before, or one of its guards fails, or nothing stands against it. `found` is in the writes' order. */
export function checkDocuments(
  { id, appends, documents = [] }: Commit,
  found: readonly (DocumentItem | undefined)[],
): CommitOutcome | undefined {
  const puts = documents.flatMap(({ kind }, index) => (kind === 'put' ? [found[index]] : []))
  const mine = puts.filter((item) => item?.v === id)
  if (mine.length > 0 && mine.length === puts.length && appends.every(({ events }) => events.length === 0)) {
    return { outcome: 'committed', repeated: true, streams: [] }
  }
  for (const [index, write] of documents.entries()) {
    const version = found[index]?.v
    const holds =
      write.if.is === 'anything' || (write.if.is === 'absent' ? version === undefined : version === write.if.version)
    if (!holds) return { outcome: 'document-conflict', key: write.key, ...(version !== undefined && { version }) }
  }
  return undefined
}

/** What one write changes, guarded by what was found, so that nobody's pointers are left behind. */
export function writesOf(
  session: Session,
  write: DocumentWrite,
  { id, found }: { readonly id: string; readonly found: DocumentItem | undefined },
): readonly TableWrite[] {
  const key = documentKey(write.key.collection, write.key.key)
  const guard: Guard = found ? { is: 'equal', attribute: 'v', value: found.v } : { is: 'absent' }
  if (write.kind === 'check') return write.if.is === 'anything' ? [] : [{ write: 'check', key, if: guard }]
  if (write.kind === 'delete') return found ? deletesOf(found, guard) : []
  const pointers = pointersOf(session, write)
  const kept = new Set(pointers.map(idOf))
  const had = new Set(found?.x.map(([pk, sk]) => idOf({ pk, sk })))
  const { collection: co, key: ke } = write.key
  const item: DocumentItem = {
    ...{ ...key, co, ke, v: id, body: write.body },
    ...(write.words && { words: write.words }),
    x: pointers.map(({ pk, sk }) => [pk, sk] as const),
  }
  return [
    put(item, guard),
    ...pointers
      .filter((pointer) => !had.has(idOf(pointer)))
      .map((pointer) => put({ ...pointer, co, ke }, { is: 'anything' })),
    ...(found?.x ?? [])
      .map(([pk, sk]): Key => ({ pk, sk }))
      .filter((pointer) => !kept.has(idOf(pointer)))
      .map((pointer): TableWrite => ({ write: 'delete', key: pointer, if: { is: 'anything' } })),
  ]
}

function deletesOf(found: DocumentItem, guard: Guard): readonly TableWrite[] {
  const pointers = found.x.map(([pk, sk]): TableWrite => ({ write: 'delete', key: { pk, sk }, if: { is: 'anything' } }))
  return [{ write: 'delete', key: { pk: found.pk, sk: found.sk }, if: guard }, ...pointers]
}

function pointersOf(session: Session, { key, index, words = [], streams = [] }: DocumentPut): readonly Key[] {
  const { collection } = key
  return [
    ...index.map((entry) => ({ pk: indexKey(session, { ...entry, collection }), sk: sortKey(entry.order, key.key) })),
    ...words.map((word) => ({ pk: wordsKey(session, collection, word), sk: sortKey(word, key.key) })),
    ...streams.map((stream) => ({ pk: holdersKey(stream), sk: sortKey(collection, key.key) })),
  ]
}

function indexKey(
  { hash }: Session,
  { collection, index, equals }: { readonly collection: string; readonly index: string; readonly equals: string },
): string {
  return `x#${hash(JSON.stringify(['index', collection, index, equals]))}`
}

/** Words of one beginning share a partition, so that the beginning of a word can be asked for. */
function wordsKey({ hash }: Session, collection: string, word: string): string {
  return `w#${hash(JSON.stringify(['words', collection, [...word][0]]))}`
}

function holdersKey(stream: string): string {
  return `b#${stream}`
}

/** Sorts behind every key that begins with the same order or word. */
const behind = '\u{10ffff}'

export function queryDocuments(session: Session, query: DocumentQuery): Promise<DocumentPage> {
  return query.by === 'collection' ? queryCollection(session, query) : queryPointers(session, query)
}

/**
 * What of the collection lies on one page of the table. Nothing lists a collection, for that would cost every document a
 * write more; so all of the table is looked through.
 */
async function queryCollection(
  { table }: Session,
  { collection, cursor, limit }: DocumentQuery & { by: 'collection' },
): Promise<DocumentPage> {
  const after = cursor === undefined ? undefined : (JSON.parse(cursor) as Key)
  for await (const items of table.scan({ segment: 0, total: 1, after })) {
    const found = (items as readonly DocumentItem[]).filter(({ sk, co }) => sk === 'document' && co === collection)
    const last = found.length > limit ? found[limit - 1] : items.at(-1)
    const documents = found.slice(0, limit).map(documentOf)
    return last ? { documents, next: JSON.stringify({ pk: last.pk, sk: last.sk }) } : { documents }
  }
  return { documents: [] }
}

/** What pointers lead to. */
type PointerQuery = Exclude<DocumentQuery, { by: 'collection' }>

async function queryPointers(session: Session, query: PointerQuery): Promise<DocumentPage> {
  const documents: Document[] = []
  let cursor = query.cursor
  for (;;) {
    const { pointers, more } = await findPointers(session, query, {
      cursor,
      limit: query.limit - documents.length + 1,
    })
    const items = await getItems(
      session,
      pointers.map(({ co, ke }) => ({ collection: co, key: ke })),
    )
    for (const [index, pointer] of pointers.entries()) {
      const item = items[index]
      if (item === undefined || !isFound(query, pointer, item)) continue
      // One more than the page holds says that there is another.
      if (documents.length === query.limit) return { documents, next: cursor ?? '' }
      documents.push(documentOf(item))
      cursor = pointer.sk
    }
    if (!more) return { documents }
    cursor = pointers.at(-1)?.sk ?? cursor
  }
}

async function findPointers(
  session: Session,
  query: PointerQuery,
  { cursor, limit }: { cursor: string | undefined; limit: number },
): Promise<{ readonly pointers: readonly DocumentPointer[]; readonly more: boolean }> {
  const range = query.by === 'index' ? indexRange(session, query) : wordsRange(session, query)
  const direction = query.by === 'index' ? query.direction : 'forwards'
  const from = cursor !== undefined && direction === 'forwards' ? cursor : range.from
  const to = cursor !== undefined && direction === 'backwards' ? cursor : range.to
  if (compareUtf8(from, to) > 0) return { pointers: [], more: false }
  // The cursor's own pointer comes again.
  const { items, more } = await session.table.query({ pk: range.pk, from, to, direction, limit: limit + 1 })
  return { pointers: (items as readonly DocumentPointer[]).filter(({ sk }) => sk !== cursor), more }
}

function indexRange(session: Session, query: DocumentQuery & { by: 'index' }) {
  const { from = '', to } = query
  // An entry's key is its order, U+0000 and the document's key.
  return { pk: indexKey(session, query), from: `${from}\0`, to: to === undefined ? behind : `${to}\u0001` }
}

/** By the longest of the whole words, or by the beginning of one where there is no other. */
function wordsRange(session: Session, { collection, words }: DocumentQuery & { by: 'words' }) {
  const [longest] = words.slice(0, -1).toSorted((a, b) => b.length - a.length)
  const word = longest ?? words.at(-1) ?? ''
  const from = longest === undefined ? word : `${word}\0`
  return {
    pk: wordsKey(session, collection, word),
    from,
    to: longest === undefined ? `${word}${behind}` : `${word}\u0001`,
  }
}

/** A document is found once, by the first of its words that begins so. */
function isFound(query: PointerQuery, pointer: DocumentPointer, item: DocumentItem): boolean {
  if (query.by === 'index') return item.x.some(([pk, sk]) => pk === pointer.pk && sk === pointer.sk)
  const { words = [] } = item
  const beginning = query.words.at(-1) ?? ''
  const beginnings = words.filter((word) => word.startsWith(beginning)).sort(compareUtf8)
  if (beginnings.length === 0 || !query.words.slice(0, -1).every((word) => words.includes(word))) return false
  return query.words.length > 1 || pointer.sk === sortKey(beginnings[0] ?? '', item.ke)
}

/** Each collection once for good: all in one request where they are known, in two where none is. */
export async function declareCollections({ table }: Session, specs: readonly CollectionSpec[]): Promise<void> {
  const items = specs.map((spec) => ({ ...collectionKey(spec.collection), spec: JSON.stringify(spec) }))
  const known = await table.getMany(specs.map(({ collection }) => collectionKey(collection)))
  const unknown = items.filter((_, index) => known[index] === undefined)
  const missing = [...new Map(unknown.map((item) => [item.sk, item])).values()].slice(0, transactionItems)
  const together =
    missing.length > 1 && (await table.transact(missing.map((item) => put(item, { is: 'absent' })))).written
  for (const [index, item] of items.entries()) {
    if (together && missing.includes(item)) continue
    const found = known[index] ?? (await declareOne(table, item))
    if (found !== undefined && (found as CollectionItem).spec !== item.spec) {
      throw new CollectionClash(specs[index]?.collection ?? '')
    }
  }
}

async function declareOne(table: Session['table'], item: CollectionItem) {
  const result = await table.write(put(item, { is: 'absent' }))
  return result.written ? undefined : result.found
}

/** Documents that one step deletes. */
const eraseDocuments = 25

/** Deletes documents that hold content of the stream. */
export async function eraseHolders(session: Session, stream: string): Promise<EraseProgress> {
  const { table } = session
  const all = { pk: holdersKey(stream), from: '\0', to: behind, direction: 'forwards' as const }
  const { items, more } = await table.query({ ...all, limit: eraseDocuments })
  const pointers = items as readonly DocumentPointer[]
  const found = await getItems(
    session,
    pointers.map(({ co, ke }) => ({ collection: co, key: ke })),
  )
  const collections: string[] = []
  let missed = false
  for (const item of found) {
    if (item === undefined) continue
    const { written } = await table.transact(deletesOf(item, { is: 'equal', attribute: 'v', value: item.v }))
    if (written) collections.push(item.co)
    else missed = true
  }
  if (missed) await table.pause(1)
  return { erased: collections.length, collections, done: !more && !missed }
}

/**
 * Deletes documents of the collection that lie on one page of the table, and after the last page its declaration.
 */
export async function eraseCollection(
  { table }: Session,
  collection: string,
  cursor: string | undefined,
): Promise<EraseProgress> {
  const after = cursor === undefined ? undefined : (JSON.parse(cursor) as Key)
  let page: readonly Item[] = []
  for await (const items of table.scan({ segment: 0, total: 1, after })) {
    page = items
    break
  }
  const found = (page as readonly DocumentItem[]).filter(({ sk, co }) => sk === 'document' && co === collection)
  let erased = 0
  for (let start = 0; start < found.length; start += eraseDocuments) {
    const results = found.slice(start, start + eraseDocuments).map((item) => {
      return table.transact(deletesOf(item, { is: 'equal', attribute: 'v', value: item.v }))
    })
    erased += (await Promise.all(results)).filter(({ written }) => written).length
  }
  if (erased < found.length) {
    // Somebody else has changed one of them: the same page again.
    await table.pause(1)
    return { erased, done: false, ...(cursor !== undefined && { cursor }) }
  }
  const last = page.at(-1)
  if (last !== undefined) return { erased, done: false, cursor: JSON.stringify({ pk: last.pk, sk: last.sk }) }
  await table.write({ write: 'delete', key: collectionKey(collection), if: { is: 'anything' } })
  return { erased, done: true }
}
