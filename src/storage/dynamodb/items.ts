/**
 * Every item of the table: its key, and what lies under it. Keys are permanent: what goes is emptied, so that a frozen
 * writer never finds a place free that was taken. Sort keys are texts, since words and numbers share the table; numbers
 * are padded. Texts of users stand in keys as keyed hashes, but for the names of streams, which survive forgetting, and
 * the keys and orders of documents, which go with them.
 */
import type { Position, Revision } from '../../core/storage.ts'

export interface Key {
  readonly pk: string
  readonly sk: string
}

/** Any of them. */
export type Item = Key

/** A run of events of one stream and one commit; its sort key is the first one's revision. */
export interface RecordItem extends Key {
  /** Events. */
  readonly n: number
  /** Record time, epoch milliseconds. */
  readonly t: number
  /** Revision at which the record before it in the stream begins; absent in the first one. */
  readonly q?: number
  /** The events' contents, a line each, deflated where that is shorter; absent once all are forgotten. */
  readonly b?: string | Uint8Array
  /** Chunks in which the contents lie, instead of `b`. */
  readonly k?: number
  /** Salts and commitments, 32 bytes an event; zeros for a forgotten one. */
  readonly s?: Uint8Array
  readonly c?: Uint8Array
  /** Entries, 32 bytes an event, once one is forgotten. */
  readonly e?: Uint8Array
  /** Keyed hashes of its event types and tags, 4 bytes each: what a filter of the feed is held against. */
  readonly y?: Uint8Array
  /** Boundary tags, as keyed hashes, and the ordinal of the record's link under each. */
  readonly l?: readonly (readonly [string, number])[]
  /** Stream and first revision of all records of the commit, in its order, where they are several. */
  readonly w?: readonly (readonly [string, Revision])[]
  /** It is a tombstone. */
  readonly z?: 1
  /** How often it was rewritten. */
  readonly u?: number
}

/** The sequencer's mark on a record: the position of its first event. */
export interface MarkItem extends Key {
  readonly p: Position
  readonly n: number
}

/** A record under one of its boundary tags. The types go when the record is forgotten. */
export interface LinkItem extends Key {
  readonly st: string
  readonly r: Revision
  readonly ty?: readonly string[]
}

/** A part of a large record's contents, deflated. */
export interface ChunkItem extends Key {
  readonly b: Uint8Array
}

/** Where the append that begins with this event id lies, or is about to. */
export interface ClaimItem extends Key {
  readonly st: string
  readonly r: Revision
}

/** A run of positions; its sort key is the first. */
export interface PageItem extends Key {
  /** Last position. */
  readonly end: Position
  /** The latest record time up to here, epoch milliseconds. */
  readonly t: number
  /** `PageEntry` after `PageEntry`, as JSON. */
  readonly e: string
  /** Entry hashes of all events, 32 bytes each. */
  readonly h: Uint8Array
}

/** Stream, first revision, events, record time, and (in base64) what the record's `y` holds. */
export type PageEntry = readonly [stream: string, revision: Revision, count: number, time: number, words: string]

/** A stream's newest positioned record, as listings show it. */
export interface HeadItem extends Key {
  readonly st: string
  /** Stream type, and the position of the stream's last event: the keys of the index `updated`. */
  readonly lt: string
  readonly lp: Position
  readonly r: Revision
  readonly t: number
  readonly z?: 1
}

export interface DocumentItem extends Key {
  readonly co: string
  readonly ke: string
  readonly v: string
  readonly body: string
  readonly words?: readonly string[]
  /** Keys of the items that lead to it: index entries, words, streams. */
  readonly x: readonly (readonly [string, string])[]
}

/** An index entry, a word, or a stream whose content the document holds. */
export interface DocumentPointer extends Key {
  readonly co: string
  readonly ke: string
}

/** What the table is. */
export interface LogItem extends Key {
  readonly id: string
  readonly schema: number
  readonly secret: Uint8Array
  /** Beginnings of the tags that are boundary tags. */
  readonly tags: readonly string[]
  /** Records are being restored, and nothing was committed yet. */
  readonly restoring?: 1
}

/** The specification that a collection was declared with, as JSON. */
export interface CollectionItem extends Key {
  readonly spec: string
}

/** A stream that is closed and not emptied yet. */
export interface ClosingItem extends Key {
  readonly st: string
}

/** How far listings have been brought up. */
export interface ListedItem extends Key {
  readonly p: Position
}

/** Whose turn it is to sequence (nobody's where empty), and a count that rises with every sign of life. */
export interface TurnItem extends Key {
  readonly by: string
  readonly beat: number
}

/** A process that is writing, and its signs of life. */
export interface WriterItem extends Key {
  readonly beat: number
}

/** When a sequencer that is fed by the table's changes was last at work, epoch milliseconds. */
export interface LifeItem extends Key {
  readonly t: number
}

/** When the last sweep began, epoch milliseconds, and whether it came to its end. */
export interface SweepItem extends Key {
  readonly t: number
  readonly done?: 1
}

const widest = 16

export function padded(number: number): string {
  return String(number).padStart(widest, '0')
}

/** The number that a padded sort key holds behind its letter. */
export function numberOf({ sk }: Key): number {
  return Number(sk.slice(1))
}

export const recordKey = (stream: string, revision: Revision): Key => ({
  pk: `s#${stream}`,
  sk: `r${padded(revision)}`,
})
export const markKey = (stream: string, revision: Revision): Key => ({ pk: `s#${stream}`, sk: `p${padded(revision)}` })
export const chunkKey = (stream: string, revision: Revision, chunk: number): Key => ({
  pk: `c#${padded(revision)}#${stream}`,
  sk: `k${padded(chunk)}`,
})
export const linkKey = (tag: string, ordinal: number): Key => ({ pk: `t#${tag}`, sk: `v${padded(ordinal)}` })
export const claimKey = (id: string): Key => ({ pk: `i#${id}`, sk: 'claim' })
export const headKey = (stream: string): Key => ({ pk: `h#${stream}`, sk: 'head' })
export const typeKey = (type: string): Key => ({ pk: 'l#types', sk: type })
export const logKey: Key = { pk: 'm#', sk: 'log' }
export const collectionKey = (collection: string): Key => ({ pk: 'm#', sk: `collection ${collection}` })
export const turnKey: Key = { pk: 'f#turn', sk: 'turn' }
export const listedKey: Key = { pk: 'f#listed', sk: 'listed' }
export const writerKey = (writer: string): Key => ({ pk: 'f#writers', sk: writer })
export const lifeKey: Key = { pk: 'f#signs', sk: 'life' }
export const sweepKey: Key = { pk: 'f#signs', sk: 'sweep' }
export const closingKey = (stream: string): Key => ({ pk: 'z#closing', sk: hashedSortKey(stream) })

/** Positions of one partition of the feed. A page stands where its first position does. */
export const bucketPositions = 100_000
export const bucketOf = (position: Position): number => Math.floor((position - 1) / bucketPositions)
export const bucketKey = (bucket: number): string => `f#${bucket}`
export const pageKey = (first: Position): Key => ({ pk: bucketKey(bucketOf(first)), sk: `p${padded(first)}` })

/** A collection's name holds no line break. */
export const documentKey = (collection: string, key: string): Key => ({ pk: `d#${collection}\n${key}`, sk: 'document' })

/** Bytes of a sort key, less than the 1,024 that the engine takes. */
const sortKeyBytes = 1_000

/** Sorts by `order`, then by `key`; of what is too long for a sort key only the end is told apart by other means. */
export function sortKey(order: string, key: string): string {
  return hashedSortKey(`${order}\0${key}`)
}

/** FNV-1a tells apart what begins alike for 900 bytes and more; a key of the partition is the whole text's hash or name. */
function hashedSortKey(text: string): string {
  const bytes = Buffer.from(text)
  if (bytes.length <= sortKeyBytes) return text
  let hash = 0xcbf29ce484222325n
  for (const byte of bytes) hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn
  return `${bytes.subarray(0, sortKeyBytes - 20).toString()}${hash.toString(16)}`
}
