/**
 * Documents: small JSON bodies beside the log, committed with it, found by key, by declared index or by words. Views,
 * snapshots, jobs and leases are documents. This file turns values into what the port takes: texts that every engine
 * sorts alike, by UTF-8 bytes.
 */
import { canonicalJson, utf8Length } from './encoding.ts'
import { InvalidArgument, LimitExceeded } from './errors.ts'
import { limits } from './limits.ts'
import { checkName } from './name.ts'
import type {
  CollectionSpec,
  Direction,
  Document,
  DocumentKey,
  DocumentQuery,
  DocumentWrite,
  Guard,
  IndexEntry,
  IndexSpec,
  Storage,
} from './storage.ts'

/** What an index can hold. A document without a value in one of the `equals` fields is not in that index. */
export type IndexValue = string | number | boolean

export interface DocumentToWrite {
  readonly key: string
  readonly body: object
  /** The body that `if` guards; needed where the collection has a unique index. */
  readonly previous?: object | undefined
  readonly streams?: readonly string[] | undefined
  readonly if: Guard
}

/** Throws `InvalidArgument` or `LimitExceeded` for a collection that no storage could serve. */
export function checkCollection(spec: CollectionSpec): void {
  const path = `collection ${JSON.stringify(spec.collection)}`
  checkName(spec.collection, path, 'collection name', limits.streamTypeCharacters)
  atMost('collectionIndexes', spec.indexes.length, path)
  const names = new Set<string>()
  for (const index of spec.indexes) {
    const where = `${path}, index ${JSON.stringify(index.name)}`
    checkName(index.name, where, 'index name', limits.streamTypeCharacters)
    if (names.has(index.name)) throw new InvalidArgument(where, 'stands twice')
    names.add(index.name)
    atMost('indexFields', index.equals.length, where)
    if (index.unique && index.equals.length === 0) throw new InvalidArgument(where, 'is unique, and names no field')
  }
}

/** The writes that put one document: itself, and a document for each unique value that it takes or gives back. */
export function putDocument(spec: CollectionSpec, document: DocumentToWrite): readonly DocumentWrite[] {
  const { key, body, previous, streams } = document
  const place = `document ${JSON.stringify(key)}`
  checkKey(key, place)
  const text = canonicalJson(body, place)
  const bytes = utf8Length(text)
  if (bytes > limits.documentBytes) {
    throw new LimitExceeded({ limit: 'documentBytes', allowed: limits.documentBytes, actual: bytes }, place)
  }
  atMost('documentStreams', streams?.length ?? 0, place)
  const put: DocumentWrite = {
    kind: 'put',
    key: { collection: spec.collection, key },
    body: text,
    index: indexEntries(spec, body, place),
    ...(spec.search && { words: wordsOf(spec.search.map((field) => textAt(body, field)).join(' ')) }),
    ...(streams && { streams }),
    if: document.if,
  }
  return [put, ...uniqueWrites(spec, key, previous, body, streams)]
}

export function deleteDocument(
  spec: CollectionSpec,
  { key, previous, if: guard }: { readonly key: string; readonly previous?: object | undefined; readonly if: Guard },
): readonly DocumentWrite[] {
  return [
    { kind: 'delete', key: { collection: spec.collection, key }, if: guard },
    ...uniqueWrites(spec, key, previous, undefined, undefined),
  ]
}

/** A unique value is a document of its own, which must be absent when it is taken: so every storage keeps it unique. */
function uniqueWrites(
  spec: CollectionSpec,
  key: string,
  previous: object | undefined,
  next: object | undefined,
  streams: readonly string[] | undefined,
): readonly DocumentWrite[] {
  return spec.indexes
    .filter((index) => index.unique)
    .flatMap((index): readonly DocumentWrite[] => {
      const before = previous && equalsText(index, previous)
      const after = next && equalsText(index, next)
      if (before === after) return []
      const taken: DocumentWrite[] = []
      if (after !== undefined) {
        taken.push({
          kind: 'put',
          key: uniqueKey(spec, index, after),
          body: canonicalJson({ key }),
          index: [],
          ...(streams && { streams }),
          if: { is: 'absent' },
        })
      }
      if (before !== undefined) {
        taken.push({ kind: 'delete', key: uniqueKey(spec, index, before), if: { is: 'anything' } })
      }
      return taken
    })
}

/** Of the documents that an index's unique values are. A collection's name is printable, so no user's can be called this. */
export function uniqueCollection({ collection }: CollectionSpec, index: string): string {
  return `${collection}\u0001${index}`
}

function uniqueKey(spec: CollectionSpec, index: IndexSpec, equals: string): DocumentKey {
  return { collection: uniqueCollection(spec, index.name), key: equals }
}

export function indexEntries(spec: CollectionSpec, body: object, place: string): readonly IndexEntry[] {
  return spec.indexes.flatMap((index) => {
    const equals = equalsText(index, body)
    if (equals === undefined) return []
    const value = index.order === undefined ? undefined : valueAt(body, index.order)
    const order = value === undefined ? '' : orderText(value)
    for (const text of [equals, order]) {
      const actual = utf8Length(text)
      if (actual > limits.indexValueBytes) {
        const facts = { limit: 'indexValueBytes', allowed: limits.indexValueBytes, actual }
        throw new LimitExceeded(facts, `${place}, index ${JSON.stringify(index.name)}`)
      }
    }
    return [{ index: index.name, equals, order }]
  })
}

interface IndexAsked {
  readonly index: string
  readonly equals: readonly IndexValue[]
  readonly from?: IndexValue
  readonly to?: IndexValue
  readonly direction?: Direction
  readonly cursor?: string
  readonly limit?: number
}

/** That the document is as it was found, or not there as it was not. */
export function guardOf(found: { readonly version: string } | undefined): Guard {
  return found ? { is: 'version', version: found.version } : { is: 'absent' }
}

/** Asks one declared index: all its `equals` values, one inclusive range of its order. Throws where no index serves it. */
export function indexQuery(spec: CollectionSpec, query: IndexAsked): DocumentQuery {
  const index = spec.indexes.find(({ name }) => name === query.index)
  const path = `collection ${JSON.stringify(spec.collection)}`
  if (index === undefined) {
    const known = spec.indexes.map(({ name }) => name).join(', ') || 'none'
    throw new InvalidArgument(path, `has no index ${JSON.stringify(query.index)} (declared: ${known})`)
  }
  if (query.equals.length !== index.equals.length) {
    throw new InvalidArgument(
      `${path}, index ${JSON.stringify(index.name)}`,
      `needs values for ${index.equals.join(', ')}`,
    )
  }
  return {
    by: 'index',
    collection: spec.collection,
    index: index.name,
    equals: canonicalJson(query.equals),
    ...(query.from !== undefined && { from: orderText(query.from) }),
    ...(query.to !== undefined && { to: orderText(query.to) }),
    direction: query.direction ?? 'forwards',
    ...(query.cursor !== undefined && { cursor: query.cursor }),
    limit: query.limit ?? limits.pageRecordsDefault,
  }
}

/** Every document that an index gives, page after page. */
export async function* allIndexed(
  storage: Pick<Storage, 'queryDocuments'>,
  spec: CollectionSpec,
  query: Omit<IndexAsked, 'cursor'>,
): AsyncGenerator<Document> {
  let cursor: string | undefined
  do {
    const asked = { ...query, ...(cursor !== undefined && { cursor }) }
    const page = await storage.queryDocuments(indexQuery(spec, asked))
    yield* page.documents
    cursor = page.next
  } while (cursor !== undefined)
}

/** Documents that hold every word of the text, the last one as a beginning. Throws where the collection has no search. */
export function wordsQuery(
  spec: CollectionSpec,
  query: { readonly text: string; readonly cursor?: string; readonly limit?: number },
): DocumentQuery {
  const path = `collection ${JSON.stringify(spec.collection)}`
  if (!spec.search) throw new InvalidArgument(path, 'declares no search')
  const words = wordsOf(query.text)
  if (words.length === 0) throw new InvalidArgument('text', 'holds no word')
  atMost('searchWords', words.length, 'text')
  return {
    by: 'words',
    collection: spec.collection,
    words,
    ...(query.cursor !== undefined && { cursor: query.cursor }),
    limit: query.limit ?? limits.pageRecordsDefault,
  }
}

/** Lower-cased runs of letters and digits, without accents, each once; the last one stays last. */
export function wordsOf(text: string): readonly string[] {
  const plain = text
    .normalize('NFKD')
    .replace(/[\u0300-\u036f]/g, '')
    .normalize('NFKC')
    .toLowerCase()
  const words = (plain.match(/[\p{L}\p{N}\p{M}]+/gu) ?? []).map((word) =>
    word.slice(0, limits.wordCharacters).toWellFormed(),
  )
  return [...new Set(words.reverse())].reverse()
}

function equalsText(index: IndexSpec, body: object): string | undefined {
  const values = index.equals.map((field) => valueAt(body, field))
  return values.includes(undefined) ? undefined : canonicalJson(values)
}

/** Texts after numbers after booleans; within a kind in its natural order. */
function orderText(value: IndexValue): string {
  switch (typeof value) {
    case 'boolean':
      return value ? 'b1' : 'b0'
    case 'number':
      return `n${orderedDouble(value)}`
    case 'string':
      // PostgreSQL's text cannot hold U+0000; the escape keeps the order.
      return `s${value.replaceAll('\u0001', '\u0001\u0002').replaceAll('\0', '\u0001\u0001')}`
  }
}

/** 16 hex digits that sort as the numbers do: the sign bit flipped, and of a negative number all the others too. */
function orderedDouble(value: number): string {
  const view = new DataView(new ArrayBuffer(8))
  view.setFloat64(0, value === 0 ? 0 : value)
  const bits = view.getBigUint64(0)
  const ordered = bits >> 63n === 0n ? bits | (1n << 63n) : ~bits & 0xffff_ffff_ffff_ffffn
  return ordered.toString(16).padStart(16, '0')
}

/** The value of a field such as `address.city`, where an index can hold it. */
function valueAt(body: object, field: string): IndexValue | undefined {
  let value: unknown = body
  for (const name of field.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
    value = (value as Record<string, unknown>)[name]
  }
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : undefined
}

/** The text of a field, or of all the texts in its list. */
function textAt(body: object, field: string): string {
  let value: unknown = body
  for (const name of field.split('.')) {
    value = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined
  }
  return (Array.isArray(value) ? value : [value]).filter((item) => typeof item === 'string').join(' ')
}

/** Throws `InvalidArgument` or `LimitExceeded`. */
export function checkKey(key: string, place: string): void {
  if (typeof key !== 'string' || key === '' || !key.isWellFormed() || key.includes('\0')) {
    throw new InvalidArgument(place, 'must have a key: a text that is not empty and holds no U+0000')
  }
  const actual = utf8Length(key)
  if (actual > limits.documentKeyBytes) {
    throw new LimitExceeded({ limit: 'documentKeyBytes', allowed: limits.documentKeyBytes, actual }, place)
  }
}

function atMost(
  limit: 'collectionIndexes' | 'documentStreams' | 'indexFields' | 'searchWords',
  actual: number,
  path: string,
): void {
  if (actual > limits[limit]) throw new LimitExceeded({ limit, allowed: limits[limit], actual }, path)
}
