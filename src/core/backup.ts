/**
 * Backups: the log, and the documents that are truth, in an object store. Each backup goes on where the one before it ended,
 * so that all of them together are the log; a manifest says what belongs to each, and names the hash of the one before.
 * Taken while the store is in use: the documents are read first, so that nothing they speak of lies behind the log's end.
 */
import { bytesToHex } from '@noble/hashes/utils.js'
import { checkFunctions, checkObject } from './argument.ts'
import {
  type Backup,
  type BackupManifest,
  manifestKey,
  numberText,
  type Packed,
  pack,
  printManifest,
  readChain,
} from './backup-chain.ts'
import { backUpKeys } from './backup-keys.ts'
import { canonicalJson } from './encoding.ts'
import { LogDiverged, PositionBeyondHead, StoreBusy } from './errors.ts'
import { derivedId } from './id.ts'
import { limits } from './limits.ts'
import { type ObjectStore, watchedObjects } from './object-store.ts'
import { entryOfRecord, lineOf } from './record-line.ts'
import { entriesHash } from './segment.ts'
import type { LogRecord, Storage } from './storage.ts'
import { type Clock, formatInstant } from './time.ts'
import { truths } from './truths.ts'

export interface BackupOptions {
  /** Ends it; nothing of it counts then. */
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: { readonly position: number; readonly head: number }) => void
}

export type { Backup } from './backup-chain.ts'

export interface BackingUp {
  readonly storage: Storage
  readonly making: { readonly newId: () => string }
  readonly clock: Clock
}

/**
 * Everything since the last backup in this place. Where nothing has come, and no document has changed, it is the last one
 * again. Throws `LogDiverged` where the place holds the backups of another log, `ObjectDamaged` where they are not whole.
 */
export async function takeBackup(
  { storage, making, clock }: BackingUp,
  to: ObjectStore,
  options: BackupOptions = {},
): Promise<Backup> {
  checkBackupPlace(to)
  checkObject(options, 'options')
  const { signal, onProgress } = options
  const objects = watchedObjects(to)
  const last = (await readChain(objects)).at(-1)
  const from = last?.manifest.to ?? 0
  const number = (last?.manifest.number ?? 0) + 1
  if (last) await checkSameLog(storage, objects, last.manifest)
  const folder = `backup/${numberText(number)}-${derivedId(['backup', making.newId()])}`
  const written: string[] = []

  function packed(name: string, lines: readonly string[]): Promise<Packed> {
    const key = `${folder}/${name}.ndjson.gz`
    written.push(key)
    return pack(objects, key, lines)
  }

  // The first one is seen before it reads anything, so that who forgets meanwhile knows that there is going to be one.
  const begun = `${folder}/begun`
  if (last === undefined) {
    written.push(begun)
    await objects.put(begun, new Uint8Array())
  }
  const documentLines = await linesOfDocuments(storage, signal)
  const chunks: (Packed & { entries: string })[] = []
  const closed: string[] = []
  let lastEntry = last?.manifest.lastEntry ?? ''
  let [logId, head, position] = ['', from, from]
  try {
    for await (const records of chunksOf(storage, from)) {
      signal?.throwIfAborted()
      ;({ logId, head, position } = records)
      const chunk = await packed(String(chunks.length + 1).padStart(6, '0'), records.records.map(lineOf))
      chunks.push({ ...chunk, entries: entriesHash(records.records) })
      for (const { state, stream } of records.records) if (state === 'tombstone') closed.push(stream)
      const end = records.records.at(-1)
      if (end) lastEntry = bytesToHex(entryOfRecord(end))
      onProgress?.({ position, head })
    }
    await backUpKeys(storage, objects)
    const documents = await packed('documents', documentLines)
    if (last && chunks.length === 0 && documents.sha256 === last.manifest.documents.sha256) {
      for (const key of written) await objects.delete(key)
      return backupOf(last.manifest)
    }
    if (logId === '') ({ logId } = await storage.readLog({ after: 0, direction: 'backwards', limit: 1 }))
    const manifest: BackupManifest = {
      ...{ format: 1, logId, number, from, to: position, madeAt: formatInstant(clock()) },
      ...{ previous: last?.hash ?? '', chunks, lastEntry, closed, documents },
    }
    const bytes = await printManifest(manifest)
    signal?.throwIfAborted()
    // Should its outcome stay unknown, what it names must stay too.
    const others = written.splice(0)
    const { outcome } = await objects.put(manifestKey(number), bytes, { if: 'absent' })
    if (outcome === 'conflict') written.push(...others)
    if (outcome === 'conflict') throw new StoreBusy(`Another process has taken backup ${number} meanwhile`, 1_000)
    if (last === undefined) await objects.delete(begun)
    return backupOf(manifest)
  } catch (error) {
    for (const key of written) await objects.delete(key).catch(() => {})
    throw error
  }
}

export function backupOf({ number, from, to, madeAt, chunks, documents }: BackupManifest): Backup {
  const bytes = [...chunks, documents].reduce((sum, packed) => sum + packed.bytes, 0)
  return { number, from, to, documents: documents.lines, bytes, madeAt }
}

/** Throws `ObjectDamaged` or `LogDiverged` for a place whose backups are not whole, or not of this log. */
export async function checkBackups(storage: Storage, objects: ObjectStore): Promise<void> {
  const last = (await readChain(objects)).at(-1)
  if (last) await checkSameLog(storage, objects, last.manifest)
}

/** By its last event: a log that was restored has another id, and the same events. */
async function checkSameLog(storage: Storage, { name }: ObjectStore, last: BackupManifest): Promise<void> {
  const { number, to, lastEntry } = last
  if (to === 0) return
  const query = { after: to - 1, until: to, direction: 'forwards', limit: 1, evidence: true } as const
  const { head, records } = await storage.readLog(query)
  const object = `"${manifestKey(number)}" in ${name}`
  if (to > head) throw new PositionBeyondHead({ position: to, head, object })
  const [record] = records
  if (record === undefined || bytesToHex(entryOfRecord(record)) === lastEntry) return
  const { stream, revision } = record
  throw new LogDiverged({ position: to, stream, revision, object })
}

/** The log after a position, up to where it ends when this begins, in parts that are packed whole. */
async function* chunksOf(storage: Storage, from: number) {
  let [after, size, head] = [from, 0, Number.NaN]
  let records: LogRecord[] = []
  for (let more = true; more; ) {
    const until = Number.isNaN(head) ? {} : { until: head }
    const query = { after, ...until, direction: 'forwards', limit: limits.pageRecords, evidence: true } as const
    const page = await storage.readLog(query)
    if (Number.isNaN(head)) head = page.head
    for (const record of page.records) {
      if ((record.position ?? 0) > head) break
      records.push(record)
      size += 'content' in record ? record.content.length : 0
      if (records.length < limits.segmentEvents && size < limits.segmentBytes) continue
      yield { logId: page.logId, head, records, position: record.position ?? 0 }
      records = []
      size = 0
    }
    after = page.scannedTo
    more = page.more && after < head
    if (!more && records.length > 0) {
      yield { logId: page.logId, head, records, position: records.at(-1)?.position ?? 0 }
    }
  }
}

/** Sorted, so that the same documents are the same bytes. */
async function linesOfDocuments(storage: Storage, signal: AbortSignal | undefined): Promise<readonly string[]> {
  const lines: string[] = []
  for (const { spec, documents, streamsOf } of truths) {
    for await (const document of documents(storage)) {
      signal?.throwIfAborted()
      const streams = streamsOf?.(document)
      const { key, body } = document
      const place = { collection: spec.collection, key, ...(streams && { streams }) }
      lines.push(`${canonicalJson(place).slice(0, -1)},"body":${body}}`)
    }
  }
  return lines.sort()
}

export function checkBackupPlace(objects: ObjectStore): void {
  checkFunctions(objects, 'objects', ['put', 'get', 'list', 'delete'])
}
