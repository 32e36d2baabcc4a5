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
import { checkStreamType } from './name.ts'
import { getObject, listObjects, type ObjectStore } from './object-store.ts'
import { entryOfRecord, lineOf, recordOfLine } from './record-line.ts'
import type { CollectionSpec, Document, DocumentKey, DocumentWrite, Guard, LogRecord } from './storage.ts'

export interface Segment {
  readonly id: string
  /** In the names of its objects, once it was written anew because something in it was forgotten. */
  readonly object?: string
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

/** Throws `ObjectDamaged` where the document is not one that archiving has written: what it says of the segment cannot be used. */
export function segmentBodyOf({ key, body }: Pick<Document, 'key' | 'body'>): SegmentBody {
  try {
    const segment = JSON.parse(body) as SegmentBody
    checkStreamType(segment.streamType, 'streamType')
    if (segment.id !== key || !states.includes(segment.state)) throw new Error('it is of another segment')
    const { sha256 = '', textBytes = 0 } = segment.state === 'writing' ? {} : segment
    if (typeof sha256 === 'string' && Number.isSafeInteger(textBytes)) return segment
    throw new Error('it lacks the hash')
  } catch (error) {
    const reason = 'what the store knows of it was not written by archiving'
    throw new ObjectDamaged({ key: `segment ${key}`, place: 'the store', reason }, error)
  }
}

const states: readonly SegmentState[] = ['writing', 'sealed', 'trimmed']

export function putSegment(body: SegmentBody, guard: Guard): readonly DocumentWrite[] {
  return putDocument(segments, { key: body.id, body, if: guard })
}

type Named = Pick<Segment, 'streamType' | 'id' | 'object'>

/** The keys of its objects. */
export function segmentKeys({ object, ...segment }: Named) {
  const name = `${segmentPrefix(segment)}${object === undefined ? '' : `${object}.`}`
  return { content: `${name}ndjson.gz`, manifest: `${name}json` }
}

/** With which the keys of all its objects begin. */
export function segmentPrefix({ streamType, id }: Pick<Segment, 'streamType' | 'id'>): string {
  return `segments/${streamType}/${id}.`
}

/** Of records that were read with their evidence, in order of position. */
export async function sealSegment(
  { logId, ...named }: Named & Pick<SegmentManifest, 'logId'>,
  records: readonly LogRecord[],
): Promise<{ readonly content: Uint8Array; readonly segment: Segment; readonly manifest: Uint8Array }> {
  const text = records.map((record) => `${lineOf(record)}\n`).join('')
  const content = await gzip(text)
  const segment: Segment = {
    ...{ ...named, first: positionOf(records[0]), last: positionOf(records.at(-1)), events: records.length },
    ...{ bytes: content.length, textBytes: utf8(text).length, sha256: await hashOf(content) },
    entries: entriesHash(records),
  }
  const manifest: SegmentManifest = { format: 1, logId, ...segment, streams: rangesOf(records) }
  return { content, segment, manifest: utf8(`${canonicalJson(manifest)}\n`) }
}

interface Opened {
  readonly segment: Segment
  readonly lines: readonly string[]
}

/**
 * The segment's lines, once its bytes are those that were sealed, and what it is now: a log that was restored from an older
 * backup, or a reader who is late, may know it as it was before something in it was forgotten. Throws `ObjectDamaged`.
 */
export async function openSegment(objects: ObjectStore, segment: Segment): Promise<Opened> {
  const key = segmentKeys(segment).content
  const object = await objects.get(key)
  if (object) return { segment, lines: await linesOf({ ...segment, key, place: objects.name, bytes: object.bytes }) }
  for await (const { key } of listObjects(objects, segmentPrefix(segment))) {
    const listed = key.endsWith('.json') ? await objects.get(key) : undefined
    const manifest = listed && parseManifest(listed.bytes)
    if (manifest === undefined || lasting.some((name) => manifest[name] !== segment[name])) continue
    const { format: _, logId: __, streams: ___, ...current } = manifest
    const keys = segmentKeys(current)
    const found = keys.manifest === key ? await objects.get(keys.content) : undefined
    if (found === undefined) continue
    const lines = await linesOf({ ...current, key: keys.content, place: objects.name, bytes: found.bytes })
    recordsOf(lines, current, objects.name)
    return { segment: current, lines }
  }
  throw new ObjectDamaged({ key, place: objects.name, reason: 'it is missing' })
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

/**
 * Its records, each with the evidence that follows from its line, and what the segment is now. Throws `ObjectDamaged` for
 * what they cannot be.
 */
export async function readSegment(
  objects: ObjectStore,
  known: Segment,
): Promise<{ readonly segment: Segment; readonly records: readonly LogRecord[] }> {
  const { segment, lines } = await openSegment(objects, known)
  const records = recordsOf(lines, segment, objects.name)
  const { manifest: key } = segmentKeys(segment)
  const manifest = parseManifest(await getObject(objects, key))
  const damaged = (reason: string) => new ObjectDamaged({ key, place: objects.name, reason })
  if (manifest === undefined) throw damaged('it is no manifest of a segment')
  const differs = facts.find((name) => manifest[name] !== segment[name])
  if (differs) throw damaged(`its "${differs}" is not that of the segment`)
  return { segment, records }
}

function recordsOf(lines: readonly string[], segment: Segment, place: string): readonly LogRecord[] {
  const key = segmentKeys(segment).content
  const records = lines.map((line, index) => {
    try {
      return recordOfLine(line)
    } catch (error) {
      throw new ObjectDamaged({ key, place, reason: `line ${index + 1} is no record of a log` }, error)
    }
  })
  if (entriesHash(records) === segment.entries && records.length === segment.events) return records
  throw new ObjectDamaged({ key, place, reason: 'it holds other events than those that were sealed' })
}

/** What the manifest says, where it can be read and is that of the segment as the store knows it. */
export async function manifestOf(objects: ObjectStore, segment: Segment): Promise<SegmentManifest | undefined> {
  const object = await objects.get(segmentKeys(segment).manifest)
  const manifest = object && parseManifest(object.bytes)
  return manifest && facts.every((name) => manifest[name] === segment[name]) ? manifest : undefined
}

/** What no forgetting changes. */
const lasting = ['id', 'streamType', 'first', 'last', 'events', 'entries'] as const
/** What manifest and document both say. */
const facts = [...lasting, 'object', 'bytes', 'textBytes', 'sha256'] as const

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
