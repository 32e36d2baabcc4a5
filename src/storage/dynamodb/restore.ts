/** Restoring writes a log anew into an empty table: every record where it was, with its position, and all evidence. */
import { checkRestorable } from '../../core/commit.ts'
import { parseContent } from '../../core/content.ts'
import { InvalidArgument } from '../../core/errors.ts'
import { entryOf } from '../../core/leaf.ts'
import type { LogRecord } from '../../core/storage.ts'
import { packLines, wordsOf } from './body.ts'
import { lastOrdinal, tagHash } from './boundary.ts'
import { mostTransactionItems, put } from './driver.ts'
import { lastPage } from './feed.ts'
import {
  type ClaimItem,
  chunkKey,
  claimKey,
  type Item,
  type LinkItem,
  type LogItem,
  linkKey,
  logKey,
  type MarkItem,
  markKey,
  type PageEntry,
  type PageItem,
  pageKey,
  type RecordItem,
  recordKey,
} from './items.ts'
import { isBoundaryTag, type Session } from './session.ts'
import { firstOf, lastOf, look } from './stream.ts'

/** Bytes that one transaction may bring. */
const transactionBytes = 3_000_000
const chunkBytes = 300_000

interface Ends {
  /** The streams' newest records. */
  readonly streams: Map<string, { last: number; first: number } | undefined>
  readonly tags: Map<string, number>
}

export async function restore(session: Session, records: readonly LogRecord[]): Promise<void> {
  const live = !(await beginRestoring(session))
  let page = await lastPage(session)
  const ends: Ends = { streams: new Map(), tags: new Map() }
  let batch: Batch = emptyBatch(page)
  for (const record of records) {
    if (!ends.streams.has(record.stream)) {
      const newest = await look(session, record.stream)
      ends.streams.set(record.stream, newest && { last: lastOf(newest), first: firstOf(newest) })
    }
    const revision = (ends.streams.get(record.stream)?.last ?? 0) + 1
    checkRestorable(record, { live, position: batch.end + 1, revision })
    const items = await itemsOf(session, record, ends)
    const bytes = (record.state === 'stored' ? record.content.length : 0) + 500
    if (batch.items.length + items.length >= mostTransactionItems || batch.bytes + bytes > transactionBytes) {
      page = await writeBatch(session, batch)
      batch = emptyBatch(page)
    }
    batch.items.push(...items)
    batch.records.push(record)
    batch.bytes += bytes
    batch.end++
    ends.streams.set(record.stream, { last: revision, first: revision })
  }
  await writeBatch(session, batch)
}

interface Batch {
  readonly before: PageItem | undefined
  readonly items: Item[]
  readonly records: LogRecord[]
  bytes: number
  end: number
}

function emptyBatch(before: PageItem | undefined): Batch {
  return { before, items: [], records: [], bytes: 0, end: before?.end ?? 0 }
}

/** True where nothing was committed to the log yet; it says so in the table, until the first commit. */
async function beginRestoring(session: Session): Promise<boolean> {
  const { table } = session
  const log = (await table.get(logKey)) as LogItem
  if (log.restoring) return true
  if ((await lastPage(session)) !== undefined) return false
  for await (const items of table.scan({ segment: 0, total: 1 })) {
    if (items.some(({ pk }) => pk.startsWith('s#'))) return false
  }
  await table.write(put({ ...log, restoring: 1 }, { is: 'anything' }))
  return true
}

/** The first commit ends it for good. */
export async function endRestoring({ table }: Session): Promise<void> {
  const { restoring, ...log } = (await table.get(logKey)) as LogItem
  if (restoring) await table.write(put(log, { is: 'anything' }))
}

async function itemsOf(session: Session, record: LogRecord, { streams, tags }: Ends): Promise<readonly Item[]> {
  const { stream, revision, time, position = 0, evidence } = record
  const before = streams.get(stream)
  const labels = labelsOf(record)
  const { salt, commitment } = evidence ?? {}
  const line = lineOf(record)
  const links: LinkItem[] = []
  for (const tag of labels?.tags.filter((tag) => isBoundaryTag(session, tag)) ?? []) {
    const hash = tagHash(session, tag)
    const ordinal = (tags.get(hash) ?? (await lastOrdinal(session, hash))) + 1
    tags.set(hash, ordinal)
    links.push({ ...linkKey(hash, ordinal), st: stream, r: revision, ty: labels ? [labels.type] : [] })
  }
  const packed = line === '' ? undefined : packLines([line])
  const chunks = packed !== undefined && packed.length > chunkBytes ? chunksOf(stream, revision, packed) : []
  const item: RecordItem = {
    ...{ ...recordKey(stream, revision), n: 1, t: time },
    ...(before && { q: before.first }),
    ...(chunks.length > 0 ? { k: chunks.length } : packed !== undefined && { b: packed }),
    ...(line !== '' && salt && commitment ? { s: salt, c: commitment } : { e: entryOfRecord(record) }),
    ...(labels && { y: wordsOf(session.hash, [labels]) }),
    ...(links.length > 0 && { l: links.map((link) => [link.pk.slice(2), Number(link.sk.slice(1))] as const) }),
    ...(record.state === 'tombstone' && { z: 1 as const }),
  }
  const mark: MarkItem = { ...markKey(stream, revision), p: position, n: 1 }
  const claim: ClaimItem | undefined = labels && {
    ...claimKey(session.hash(`id ${labels.id}`)),
    st: stream,
    r: revision,
  }
  return [item, mark, ...chunks, ...links, ...(claim ? [claim] : [])]
}

function chunksOf(stream: string, revision: number, packed: string | Uint8Array): readonly Item[] {
  const bytes = typeof packed === 'string' ? Buffer.from(packed) : packed
  return Array.from({ length: Math.ceil(bytes.length / chunkBytes) }, (_, chunk) => ({
    ...chunkKey(stream, revision, chunk),
    b: bytes.subarray(chunk * chunkBytes, (chunk + 1) * chunkBytes),
  }))
}

function labelsOf(record: LogRecord): { id: string; type: string; tags: readonly string[] } | undefined {
  if (record.state === 'forgotten') return undefined
  return record.state === 'trimmed' ? record : parseContent(record.content)
}

function lineOf(record: LogRecord): string {
  if (record.state === 'forgotten') return ''
  if (record.state !== 'trimmed') return record.content
  const { id, type, tags, segment } = record
  return JSON.stringify({ id, type, tags, segment })
}

function entryOfRecord({ stream, revision, time, evidence }: LogRecord): Uint8Array {
  const { entry, commitment } = evidence ?? {}
  return entry ?? entryOf({ stream, revision, time, commitment: commitment ?? new Uint8Array() })
}

async function writeBatch(session: Session, { before, items, records, end }: Batch): Promise<PageItem | undefined> {
  if (records.length === 0) return before
  const entries = records.map((record): PageEntry => {
    const item = items.find(
      ({ pk, sk }) => pk === `s#${record.stream}` && sk === recordKey(record.stream, record.revision).sk,
    )
    const words =
      record.state === 'tombstone' ? '' : Buffer.from((item as RecordItem | undefined)?.y ?? []).toString('base64')
    return [record.stream, record.revision, 1, record.time, words]
  })
  const page: PageItem = {
    ...pageKey((before?.end ?? 0) + 1),
    end,
    t: Math.max(before?.t ?? 0, ...records.map(({ time }) => time)),
    e: JSON.stringify(entries),
    h: Buffer.concat(records.map(entryOfRecord)),
  }
  const writes = [page, ...items].map((item) => put(item, { is: 'absent' }))
  const { written } = await session.table.transact(writes)
  if (!written) throw new InvalidArgument('records', 'another process writes to the log that they are restored into')
  return page
}
