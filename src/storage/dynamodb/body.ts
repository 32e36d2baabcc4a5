/**
 * A record's events as the item's attributes, and back. Contents are canonical JSON, which never holds a line break, so
 * they stand a line each; a trimmed event leaves a stub on its line, a forgotten one nothing.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { parseContent } from '../../core/content.ts'
import { entryOf } from '../../core/leaf.ts'
import type { Evidence, LogRecord, Position, PreparedEvent, Revision } from '../../core/storage.ts'
import type { Table } from './driver.ts'
import { type ChunkItem, chunkKey, numberOf, type RecordItem } from './items.ts'
import { inSight } from './sight.ts'

/** Bytes of contents and proofs that one record holds; a larger event has a record of its own. */
const recordBytes = 280_000
/** Bytes of one chunk of what is larger than that, deflated. */
const chunkBytes = 300_000
/** Below this nothing is saved: the engine counts kilobytes. */
const deflateFromBytes = 700
const proofBytes = 64
const hash = 32

/** The events of an append as they are cut into records. */
export function cutEvents(events: readonly PreparedEvent[]): readonly (readonly PreparedEvent[])[] {
  const records: PreparedEvent[][] = []
  let bytes = recordBytes
  for (const event of events) {
    const size = event.contentBytes + proofBytes
    if (bytes + size > recordBytes) {
      records.push([])
      bytes = 0
    }
    records.at(-1)?.push(event)
    bytes += size
  }
  return records
}

/** One record, whose contents need no chunks. */
export function fitsOneItem(events: readonly PreparedEvent[]): boolean {
  return events.reduce((bytes, { contentBytes }) => bytes + contentBytes + proofBytes, 0) <= recordBytes
}

/** The attributes of a new record, and the chunks that go with it. */
export function packEvents(
  stream: string,
  revision: Revision,
  events: readonly PreparedEvent[],
): { readonly body: Pick<RecordItem, 'b' | 'k' | 's' | 'c'>; readonly chunks: readonly ChunkItem[] } {
  const s = Buffer.concat(events.map(({ salt }) => salt))
  const c = Buffer.concat(events.map(({ commitment }) => commitment))
  const b = packLines(events.map(({ content }) => content))
  if (b.length <= chunkBytes) return { body: { b, s, c }, chunks: [] }
  const bytes = typeof b === 'string' ? Buffer.from(b) : b
  const k = Math.ceil(bytes.length / chunkBytes)
  const chunks = Array.from({ length: k }, (_, chunk) => ({
    ...chunkKey(stream, revision, chunk),
    b: bytes.subarray(chunk * chunkBytes, (chunk + 1) * chunkBytes),
  }))
  return { body: { k, s, c }, chunks }
}

/** Texts stay texts where deflating does not pay; what is chunked is always deflated. */
export function packLines(lines: readonly string[]): string | Uint8Array {
  const text = lines.join('\n')
  const bytes = Buffer.byteLength(text)
  if (bytes < deflateFromBytes) return text
  const deflated = deflateRawSync(text)
  return deflated.length < bytes || bytes > recordBytes ? deflated : text
}

/** One event of a record. */
export interface Slot {
  readonly stream: string
  readonly revision: Revision
  readonly time: number
  readonly state: LogRecord['state']
  /** Empty where it is trimmed or forgotten. */
  readonly content: string
  readonly id?: string | undefined
  readonly stub?: Stub | undefined
  readonly salt?: Uint8Array | undefined
  readonly commitment?: Uint8Array | undefined
  readonly entry?: Uint8Array | undefined
}

/** What a trimmed event leaves. */
export interface Stub {
  readonly id: string
  readonly type: string
  readonly tags: readonly string[]
  readonly segment: string
}

export interface Body {
  readonly record: RecordItem
  readonly lines: readonly string[]
}

/** A record's lines; with the record as it is by now, where its chunks have gone since. */
export async function bodyOf(table: Table, stream: string, record: RecordItem): Promise<Body> {
  const { n, b, k } = record
  if (k === undefined) return { record, lines: b === undefined ? Array<string>(n).fill('') : unpackLines(b) }
  const keys = Array.from({ length: k }, (_, chunk) => chunkKey(stream, numberOf(record), chunk))
  const { now, chunks } = await inSight(
    table,
    async () => {
      const chunks = await table.getMany(keys)
      return { chunks, now: chunks.includes(undefined) ? ((await table.get(record)) as RecordItem) : record }
    },
    ({ now, chunks }) => now.k === undefined || !chunks.includes(undefined),
  )
  if (now.k === undefined) return bodyOf(table, stream, now)
  return { record, lines: unpackLines(Buffer.concat((chunks as readonly ChunkItem[]).map(({ b }) => b))) }
}

function unpackLines(body: string | Uint8Array): readonly string[] {
  return (typeof body === 'string' ? body : inflateRawSync(body).toString()).split('\n')
}

export async function slotsOf(table: Table, stream: string, records: readonly RecordItem[]): Promise<readonly Slot[]> {
  const bodies = await Promise.all(records.map((record) => bodyOf(table, stream, record)))
  return bodies.flatMap((body) => slotsIn(stream, body))
}

export function slotsIn(stream: string, { record, lines }: Body): readonly Slot[] {
  return lines.map((line, at) => slotOf(record, { stream, revision: numberOf(record) + at, at, line }))
}

function slotOf(
  record: RecordItem,
  { stream, revision, at, line }: { stream: string; revision: Revision; at: number; line: string },
): Slot {
  const part = (bytes: Uint8Array | undefined) => bytes?.slice(at * hash, (at + 1) * hash)
  const key = { stream, revision, time: record.t }
  if (line === '') return { ...key, state: 'forgotten', content: '', entry: part(record.e) }
  const proof = { salt: part(record.s), commitment: part(record.c) }
  if (line.startsWith('{')) {
    const stub = JSON.parse(line) as Stub
    return {
      ...key,
      ...proof,
      state: 'trimmed',
      content: '',
      id: stub.id,
      stub,
      entry: entryOfSlot({ ...key, ...proof }),
    }
  }
  return { ...key, ...proof, state: record.z ? 'tombstone' : 'stored', content: line }
}

export function entryOfSlot({
  stream,
  revision,
  time,
  commitment,
  entry,
}: Pick<Slot, 'stream' | 'revision' | 'time' | 'commitment' | 'entry'>): Uint8Array {
  if (entry !== undefined) return entry
  if (commitment === undefined) throw new Error(`revision ${revision} of "${stream}" has neither entry nor commitment`)
  return entryOf({ stream, revision, time, commitment })
}

export function idOfSlot({ id, content }: Slot): string | undefined {
  return id ?? (content === '' ? undefined : parseContent(content).id)
}

/** Type and tags, by which it is found; undefined once it is forgotten. */
export function labelsOf({
  stub,
  content,
}: Slot): { readonly type: string; readonly tags: readonly string[] } | undefined {
  if (stub) return stub
  return content === '' ? undefined : parseContent(content)
}

/** `hidden`: its stream is closed, so that it reads as forgotten before it is emptied. */
export function recordOf(
  slot: Slot,
  { position, hidden, evidence }: { position?: Position | undefined; hidden?: boolean; evidence?: true | undefined },
): LogRecord {
  const { stream, revision, time, state, content, stub, salt, commitment } = slot
  const key = { stream, revision, ...(position !== undefined && { position }), time }
  const give = <Given extends Evidence>(proof: Given) => (evidence ? { evidence: proof } : {})
  if (state === 'forgotten' || (hidden && state !== 'tombstone')) {
    return { ...key, state: 'forgotten', ...give({ entry: entryOfSlot(slot) }) }
  }
  if (stub) return { ...key, state: 'trimmed', ...stub, ...give({ salt, commitment, entry: entryOfSlot(slot) }) }
  return {
    ...key,
    state: state === 'tombstone' ? state : 'stored',
    content,
    ...give({ salt, commitment, entry: undefined }),
  }
}

/** What a filter of the feed may ask of a record, in keyed hashes of 4 bytes: more may look alike, none is missed. */
export function wordsOf(
  keyed: (text: string) => string,
  labels: readonly { type: string; tags: readonly string[] }[],
): Uint8Array {
  const texts = new Set(labels.flatMap(({ type, tags }) => [typeWord(type), ...tags.map(tagWord)]))
  return Buffer.concat([...texts].map((text) => wordOf(keyed, text)))
}

export const typeWord = (type: string): string => `type ${type}`
export const tagWord = (tag: string): string => `tag ${tag}`

const wordBytes = 4

export function wordOf(keyed: (text: string) => string, text: string): Uint8Array {
  return Buffer.from(keyed(text), 'base64url').subarray(0, wordBytes)
}

export function hasWord(words: Uint8Array, word: Uint8Array): boolean {
  for (let at = 0; at < words.length; at += wordBytes) {
    if (word.every((byte, index) => words[at + index] === byte)) return true
  }
  return false
}
