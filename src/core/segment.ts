/**
 * Segments: sealed stretches of the archive. A segment is two objects: compressed NDJSON with the events of one stream type
 * in order of position, and a manifest that says what is in it. What the store must know of it is a document.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import { putDocument } from './document.ts'
import { canonicalJson, utf8 } from './encoding.ts'
import { ObjectDamaged } from './errors.ts'
import { gunzip, gzip, hashOf } from './gzip.ts'
import { getObject, type ObjectStore } from './object-store.ts'
import { entryOfRecord, lineOf, recordOfLine } from './record-line.ts'
import type { CollectionSpec, Document, DocumentKey, DocumentWrite, Guard, LogRecord } from './storage.ts'

export interface Segment {
  readonly id: string
  readonly streamType: string
  /** Of the first and the last event in it; others of the type may lie between. */
  readonly first: number
  readonly last: number
  readonly events: number
  /** Of the object. */
  readonly bytes: number
  /** Of its text, in UTF-8. */
  readonly textBytes: number
  /** SHA-256 of the object's bytes, in hex. */
  readonly sha256: string
  /** SHA-256 of the ledger's entries of its events, one after the other, in hex. */
  readonly entries: string
}

/** What stands beside the segment for whoever has no store. */
export interface SegmentManifest extends Segment {
  readonly format: 1
  /** Of the log that it was taken from. */
  readonly logId: string
  readonly streams: readonly SegmentRange[]
}

export interface SegmentRange {
  readonly stream: string
  readonly from: number
  readonly to: number
}

/**
 * `writing`: its objects may be there in part; `sealed`: they are whole, and held against the log, so that records may be
 * emptied; `trimmed`: they were.
 */
export type SegmentState = 'writing' | 'sealed' | 'trimmed'

export type SegmentBody = (Segment & { readonly state: 'sealed' | 'trimmed' }) | UnwrittenSegment
type UnwrittenSegment = Pick<Segment, 'id' | 'streamType' | 'first' | 'last'> & { readonly state: 'writing' }

export const segments: CollectionSpec = {
  collection: '$segments',
  indexes: [
    { name: 'type', equals: ['streamType'], order: 'first' },
    { name: 'state', equals: ['streamType', 'state'], order: 'first' },
  ],
}

export function segmentDocument(id: string): DocumentKey {
  return { collection: segments.collection, key: id }
}

export function putSegment(body: SegmentBody, guard: Guard): readonly DocumentWrite[] {
  return putDocument(segments, { key: body.id, body, if: guard })
}

export function segmentBodyOf(document: Document): SegmentBody {
  return JSON.parse(document.body) as SegmentBody
}

/** The keys of its objects. */
export function segmentKeys({ streamType, id }: Pick<Segment, 'streamType' | 'id'>) {
  return { content: `segments/${streamType}/${id}.ndjson.gz`, manifest: `segments/${streamType}/${id}.json` }
}

/** Of records that were read with their evidence, in order of position. */
export async function sealSegment(
  { id, streamType, logId }: Pick<SegmentManifest, 'id' | 'streamType' | 'logId'>,
  records: readonly LogRecord[],
): Promise<{ readonly content: Uint8Array; readonly segment: Segment; readonly manifest: Uint8Array }> {
  const text = records.map((record) => `${lineOf(record)}\n`).join('')
  const content = await gzip(text)
  const segment: Segment = {
    ...{ id, streamType, first: positionOf(records[0]), last: positionOf(records.at(-1)), events: records.length },
    ...{ bytes: content.length, textBytes: utf8(text).length, sha256: await hashOf(content) },
    entries: entriesHash(records),
  }
  const manifest: SegmentManifest = { format: 1, logId, ...segment, streams: rangesOf(records) }
  return { content, segment, manifest: utf8(`${canonicalJson(manifest)}\n`) }
}

/** The segment's lines, once its bytes are those that were sealed. Throws `ObjectDamaged` where they are not. */
export async function readLines(
  objects: ObjectStore,
  segment: Pick<Segment, 'streamType' | 'id' | 'sha256' | 'textBytes'>,
): Promise<readonly string[]> {
  const key = segmentKeys(segment).content
  const bytes = await getObject(objects, key)
  return linesOf({ ...segment, key, place: objects.name, bytes })
}

/** Lines out of a compressed object of known hash. Throws `ObjectDamaged`. */
export async function linesOf(object: {
  readonly key: string
  readonly place: string
  readonly bytes: Uint8Array
  readonly sha256: string
  readonly textBytes: number
}): Promise<readonly string[]> {
  const { key, place, bytes, sha256, textBytes } = object
  const found = await hashOf(bytes)
  if (found !== sha256) {
    throw new ObjectDamaged({ key, place, reason: `its SHA-256 is ${found}, and was ${sha256} when it was written` })
  }
  try {
    const lines = (await gunzip(bytes, textBytes)).split('\n')
    lines.pop()
    return lines
  } catch (error) {
    throw new ObjectDamaged({ key, place, reason: `it is no gzip of ${textBytes} bytes of text` }, error)
  }
}

/** Its records, each with the evidence that follows from its line. Throws `ObjectDamaged` for what they cannot be. */
export async function readSegment(objects: ObjectStore, segment: Segment): Promise<readonly LogRecord[]> {
  const { content: key, manifest: manifestKey } = segmentKeys(segment)
  const damaged = (reason: string, cause?: unknown, at = key) =>
    new ObjectDamaged({ key: at, place: objects.name, reason }, cause)
  const lines = await readLines(objects, segment)
  const records = lines.map((line, index) => {
    try {
      return recordOfLine(line)
    } catch (error) {
      throw damaged(`line ${index + 1} is no record of a log`, error)
    }
  })
  if (entriesHash(records) !== segment.entries || records.length !== segment.events) {
    throw damaged('it holds other events than those that were sealed')
  }
  const manifest = parseManifest(await getObject(objects, manifestKey))
  const differs = manifest && facts.find((name) => manifest[name] !== segment[name])
  if (manifest === undefined) throw damaged('it is no manifest of a segment', undefined, manifestKey)
  if (differs) throw damaged(`its "${differs}" is not that of the segment`, undefined, manifestKey)
  return records
}

/** What manifest and document both say. */
const facts = ['id', 'streamType', 'first', 'last', 'events', 'bytes', 'textBytes', 'sha256', 'entries'] as const

function parseManifest(bytes: Uint8Array): SegmentManifest | undefined {
  try {
    const manifest = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as SegmentManifest
    return manifest?.format === 1 ? manifest : undefined
  } catch {
    return undefined
  }
}

/** The revisions of each stream among the records, which come in their order. */
export function rangesOf(records: readonly LogRecord[]): readonly SegmentRange[] {
  const ranges: { stream: string; from: number; to: number }[] = []
  const open = new Map<string, { stream: string; from: number; to: number }>()
  for (const { stream, revision } of records) {
    const range = open.get(stream)
    if (range?.to === revision - 1) {
      range.to = revision
      continue
    }
    const next = { stream, from: revision, to: revision }
    open.set(stream, next)
    ranges.push(next)
  }
  return ranges
}

export function entriesHash(records: readonly LogRecord[]): string {
  const hash = sha256.create()
  for (const record of records) hash.update(entryOfRecord(record))
  return bytesToHex(hash.digest())
}

function positionOf(record: LogRecord | undefined): number {
  if (record?.position === undefined) throw new TypeError('A segment is made of events that have a position')
  return record.position
}
