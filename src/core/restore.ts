/**
 * Restoring a backup into an empty storage of any kind: the same events at the same positions, with their times and salts,
 * so that the log has the same digest. Everything is read and checked before the first event is written.
 */
import { bytesToHex } from '@noble/hashes/utils.js'
import { errorOf } from './append.ts'
import { type Backup, type BackupManifest, backupOf, checkBackupPlace, type Packed, readChain } from './backup.ts'
import { readBackedUpKeys, restoreKeys } from './backup-keys.ts'
import { putDocument } from './document.ts'
import { InvalidArgument, ObjectDamaged } from './errors.ts'
import { newId, secureRandom } from './id.ts'
import { limits } from './limits.ts'
import { getObject, type ObjectStore, watchedObjects } from './object-store.ts'
import { entryOfRecord, recordOfLine } from './record-line.ts'
import { entriesHash, linesOf } from './segment.ts'
import type { DocumentWrite, LogRecord, Storage } from './storage.ts'
import { truths } from './truths.ts'

export interface RestoreOptions {
  /** Ends it; restoring again into the same storage goes on from there. */
  readonly signal?: AbortSignal
  /** `checked` of the events, then `restored`. */
  readonly onProgress?: (progress: {
    readonly phase: 'checking' | 'restoring'
    readonly position: number
    readonly head: number
  }) => void
}

/**
 * The newest backup of a place, with those that it was made after. Of streams that were forgotten since they were backed up,
 * nothing but what their log holds comes back. Throws `ObjectDamaged` with the object and what is wrong with it,
 * `InvalidArgument` where the storage is not empty; nothing was written then.
 */
export async function restoreBackup(
  from: ObjectStore,
  into: Storage,
  { signal, onProgress }: RestoreOptions = {},
): Promise<Backup> {
  checkBackupPlace(from)
  const objects = watchedObjects(from)
  const manifests = (await readChain(objects)).map(({ manifest }) => manifest)
  const newest = manifests.at(-1)
  if (newest === undefined) throw new InvalidArgument('from', `there is no backup in ${objects.name}`)
  const closed = new Set(manifests.flatMap((manifest) => manifest.closed))
  const head = newest.to

  async function* chunks(phase: 'checking' | 'restoring') {
    let position = 0
    for (const { chunks } of manifests) {
      for (const chunk of chunks) {
        signal?.throwIfAborted()
        const records = await readChunk(objects, chunk, position)
        yield { key: chunk.key, records }
        position += records.length
        onProgress?.({ phase, position, head })
      }
    }
    if (position !== head)
      throw damaged(objects, newest as BackupManifest, `it ends at ${head}, its events at ${position}`)
  }

  for await (const { key, records } of chunks('checking')) {
    const open = records.find(({ state, stream }) => state === 'tombstone' && !closed.has(stream))
    if (open)
      throw new ObjectDamaged({ key, place: objects.name, reason: `no manifest says that ${open.stream} is closed` })
  }
  const documents = await readDocuments(objects, newest)
  const keys = await readBackedUpKeys(objects)
  const there = await beginningOf(into)
  if (there.position > head) throw notEmpty()
  for await (const { records } of chunks('restoring')) {
    const missing = records.filter(({ position = 0 }) => position > there.position)
    if (records.length > 0 && there.entry !== undefined) checkGoesOn(there, records)
    for (let at = 0; at < missing.length; at += limits.pageRecords) {
      await into.restore(missing.slice(at, at + limits.pageRecords).map((record) => asOfNow(record, closed)))
    }
  }
  await restoreDocuments(into, documents, signal)
  await restoreKeys(into, keys)
  return backupOf(newest)
}

function damaged(objects: ObjectStore, { number }: BackupManifest, reason: string): ObjectDamaged {
  return new ObjectDamaged({ key: `backup/${String(number).padStart(8, '0')}.json`, place: objects.name, reason })
}

async function readPacked(objects: ObjectStore, packed: Packed): Promise<readonly string[]> {
  return linesOf({ ...packed, place: objects.name, bytes: await getObject(objects, packed.key) })
}

/** Its records, which must be those after `position`. */
async function readChunk(
  objects: ObjectStore,
  chunk: BackupManifest['chunks'][number],
  position: number,
): Promise<readonly LogRecord[]> {
  const wrong = (reason: string, cause?: unknown) =>
    new ObjectDamaged({ key: chunk.key, place: objects.name, reason }, cause)
  const records = (await readPacked(objects, chunk)).map((line, index) => {
    try {
      return recordOfLine(line)
    } catch (error) {
      throw wrong(`line ${index + 1} is no record of a log`, error)
    }
  })
  const odd = records.findIndex((record, index) => record.position !== position + index + 1)
  if (odd >= 0) throw wrong(`line ${odd + 1} is not the event of position ${position + odd + 1}`)
  if (entriesHash(records) !== chunk.entries) throw wrong('it holds other events than those that were backed up')
  return records
}

/** What was forgotten after it was backed up stays forgotten: its entry is all that comes back. */
function asOfNow(record: LogRecord, closed: ReadonlySet<string>): LogRecord {
  if (record.state === 'tombstone' || record.state === 'forgotten' || !closed.has(record.stream)) return record
  const { stream, revision, position, time } = record
  const key = position === undefined ? { stream, revision, time } : { stream, revision, position, time }
  return { ...key, state: 'forgotten', evidence: { entry: entryOfRecord(record) } }
}

interface Beginning {
  readonly position: number
  /** Of the last event that is there, in hex. */
  readonly entry?: string
}

/** Empty, or with what an earlier try has left; the storage itself refuses to restore into a log that was written to. */
async function beginningOf(into: Storage): Promise<Beginning> {
  const { head, records } = await into.readLog({ after: 0, direction: 'backwards', limit: 1, evidence: true })
  const [last] = records
  return last === undefined ? { position: head } : { position: head, entry: bytesToHex(entryOfRecord(last)) }
}

function checkGoesOn({ position, entry }: Beginning, records: readonly LogRecord[]): void {
  const same = records.find((record) => record.position === position)
  if (same === undefined || bytesToHex(entryOfRecord(same)) === entry) return
  throw notEmpty()
}

function notEmpty(): InvalidArgument {
  return new InvalidArgument('into', 'is not empty; restore into a new storage')
}

interface DocumentLine {
  readonly collection: string
  readonly key: string
  readonly streams?: readonly string[]
  readonly body: object
}

async function readDocuments(objects: ObjectStore, { documents }: BackupManifest): Promise<readonly DocumentLine[]> {
  const lines = await readPacked(objects, documents)
  return lines.map((line, index) => {
    try {
      return JSON.parse(line) as DocumentLine
    } catch (error) {
      throw new ObjectDamaged(
        { key: documents.key, place: objects.name, reason: `line ${index + 1} is no document` },
        error,
      )
    }
  })
}

/** Once they are there the storage is open for writing; those that an earlier try has put stay. */
async function restoreDocuments(
  into: Storage,
  lines: readonly DocumentLine[],
  signal: AbortSignal | undefined,
): Promise<void> {
  await into.declare(truths.map(({ spec }) => spec))
  const { logId } = await into.readLog({ after: 0, direction: 'backwards', limit: 1 })
  const random = secureRandom()
  for (const { collection, key, body, streams } of lines) {
    signal?.throwIfAborted()
    const truth = truths.find(({ spec }) => spec.collection === collection)
    if (truth === undefined) continue
    const restored = truth.restored?.(body, logId) ?? body
    const documents: readonly DocumentWrite[] = putDocument(truth.spec, {
      ...{ key, body: restored, streams, if: { is: 'absent' } },
    })
    const [outcome] = await into.commit([{ id: newId(random), appends: [], documents }])
    if (outcome === undefined || outcome.outcome === 'committed' || outcome.outcome === 'document-conflict') continue
    throw errorOf(outcome)
  }
}
