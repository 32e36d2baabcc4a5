/** The documents of the memory storage: a map, looked through from end to end for every query. */
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
} from '../../core/storage.ts'

export interface MemoryDocuments {
  get(key: DocumentKey): Document | undefined
  /** The commit was here before, or one of its guards fails, or nothing stands against it. */
  check(commit: Commit): CommitOutcome | undefined
  write(commit: Commit): void
  query(query: DocumentQuery): DocumentPage
  declare(specs: readonly CollectionSpec[]): void
  /** Deletes what holds content of the stream; says how many. */
  eraseStream(stream: string): number
  /** Deletes up to so many of its documents, and after the last its declaration; says how many. */
  eraseCollection(collection: string, limit: number): number
}

interface Row extends Omit<DocumentPut, 'kind' | 'if'> {
  readonly version: string
}

export function memoryDocuments(): MemoryDocuments {
  const rows = new Map<string, Row>()
  const specs = new Map<string, string>()
  const rowOf = (key: DocumentKey) => rows.get(idOf(key))

  return {
    get(key) {
      const row = rowOf(key)
      return row && documentOf(row)
    },
    check({ id, appends, documents = [] }) {
      const puts = documents.filter((write) => write.kind === 'put')
      const mine = puts.filter((put) => rowOf(put.key)?.version === id)
      if (mine.length > 0 && mine.length === puts.length && appends.every(({ events }) => events.length === 0)) {
        return { outcome: 'committed', repeated: true, streams: [] }
      }
      const broken = documents.find((write) => {
        const version = rowOf(write.key)?.version
        return write.if.is === 'absent'
          ? version !== undefined
          : write.if.is === 'version' && write.if.version !== version
      })
      if (broken === undefined) return undefined
      const version = rowOf(broken.key)?.version
      return { outcome: 'document-conflict', key: broken.key, ...(version !== undefined && { version }) }
    },
    write({ id, documents = [] }) {
      for (const write of documents) {
        if (write.kind === 'put') rows.set(idOf(write.key), { ...write, version: id })
        if (write.kind === 'delete') rows.delete(idOf(write.key))
      }
    },
    query(query) {
      const found = [...rows.values()]
        .filter((row) => row.key.collection === query.collection)
        .flatMap((row) => {
          const cursor = placeIn(row, query)
          return cursor === undefined ? [] : [{ row, cursor }]
        })
        .sort((a, b) => compareUtf8(a.cursor, b.cursor))
      if (query.by === 'index' && query.direction === 'backwards') found.reverse()
      const start = query.cursor === undefined ? 0 : found.findIndex(({ cursor }) => isBeyond(cursor, query))
      const page = start < 0 ? [] : found.slice(start, start + query.limit)
      const documents = page.map(({ row }) => documentOf(row))
      const last = page.at(-1)
      return last && last !== found.at(-1) ? { documents, next: last.cursor } : { documents }
    },
    declare(collections) {
      for (const spec of collections) {
        const known = specs.get(spec.collection)
        if (known !== undefined && known !== JSON.stringify(spec)) throw new CollectionClash(spec.collection)
        specs.set(spec.collection, JSON.stringify(spec))
      }
    },
    eraseStream(stream) {
      const held = [...rows].filter(([, row]) => row.streams?.includes(stream))
      for (const [key] of held) rows.delete(key)
      return held.length
    },
    eraseCollection(collection, limit) {
      const found = [...rows].filter(([, row]) => row.key.collection === collection).slice(0, limit)
      for (const [key] of found) rows.delete(key)
      if (found.length < limit) specs.delete(collection)
      return found.length
    },
  }
}

function idOf({ collection, key }: DocumentKey): string {
  return `${collection}\0${key}`
}

function documentOf({ key, version, body }: Row): Document {
  return { ...key, version, body }
}

/** By which it sorts; undefined where it is not asked for. */
function placeIn(row: Row, query: DocumentQuery): string | undefined {
  switch (query.by) {
    case 'collection':
      return row.key.key
    case 'words':
      return matchWords(row, query)
    case 'index':
      return matchIndex(row, query)
  }
}

/** The row's place in the index, by which it sorts; undefined where it is not asked for. */
function matchIndex(row: Row, query: DocumentQuery & { by: 'index' }): string | undefined {
  const entry = row.index.find(({ index, equals }) => index === query.index && equals === query.equals)
  if (entry === undefined) return undefined
  if (query.from !== undefined && compareUtf8(entry.order, query.from) < 0) return undefined
  if (query.to !== undefined && compareUtf8(entry.order, query.to) > 0) return undefined
  return `${entry.order}\0${row.key.key}`
}

function matchWords(row: Row, query: DocumentQuery & { by: 'words' }): string | undefined {
  const words = row.words ?? []
  const prefix = query.words.at(-1) ?? ''
  const all = query.words.slice(0, -1).every((word) => words.includes(word))
  return all && words.some((word) => word.startsWith(prefix)) ? row.key.key : undefined
}

function isBeyond(cursor: string, query: DocumentQuery): boolean {
  const order = compareUtf8(cursor, query.cursor ?? '')
  return query.by === 'index' && query.direction === 'backwards' ? order < 0 : order > 0
}
