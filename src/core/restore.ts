/**
 * Restoring a backup into an empty storage of any kind: the same events at the same positions, with their times and salts,
 * so that the log has the same digest. Everything is read and checked before the first event is written.
 */
import { bytesToHex } from '@noble/hashes/utils.js'
import { errorOf } from './append.ts'
import { backupOf, checkBackupPlace } from './backup.ts'
import {
  type Backup,
  type BackupManifest,
  manifestKey,
  readChain,
  readChunk,
  readManifest,
  readPacked,
} from './backup-chain.ts'
import { readBackedUpKeys, restoreKeys } from './backup-keys.ts'
import { putDocument } from './document.ts'
import { InvalidArgument, isStoreError, ObjectDamaged } from './errors.ts'
import { newId, secureRandom } from './id.ts'
import { type LedgerState, ledgers } from './ledger-state.ts'
import { limits } from './limits.ts'
import { type ObjectStore, watchedObjects } from './object-store.ts'
import { listStates } from './projection-state.ts'
import { entryOfRecord, forgottenRecord } from './record-line.ts'
import { checkingLedger, restoreLedger, stateOfBody } from './restore-ledger.ts'
import { markRestoring, restoringOf } from './restoring.ts'
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
 * `InvalidArgument` where the storage is not empty; nothing was written then. One that broke off goes on; until it has come
 * to its end, no store opens on the storage.
 */
export async function restoreBackup(from: ObjectStore, into: Storage, options: RestoreOptions = {}): Promise<Backup> {
  const backups = await openBackups(from, options)
  const { newest, closed, documents, ledger } = await checkAll(backups)
  const keys = await readBackedUpKeys(backups.objects)
  const begun = await restoringOf(into)
  const there = await beginningOf(into)
  // What a newer backup says is forgotten, an older one has brought already.
  if (begun !== undefined && begun !== newest.number) throw notEmpty(`holds a part of backup ${begun}`)
  if (begun === undefined && (there.position > 0 || (await isUsed(into)))) throw notEmpty('is not empty')
  // Some storages take no more records once something else was committed.
  if (begun === undefined) await markRestoring(into, { state: 'restoring', number: newest.number })
  for await (const { records } of backups.chunks('restoring')) {
    const missing = records.filter(({ position = 0 }) => position > there.position)
    if (records.length > 0 && there.entry !== undefined) checkGoesOn(there, records)
    for (let at = 0; at < missing.length; at += limits.pageRecords) {
      await into.restore(missing.slice(at, at + limits.pageRecords).map((record) => asOfNow(record, closed)))
    }
  }
  await restoreDocuments(into, documents, options.signal)
  if (ledger) await restoreLedger(into, ledger, options.signal)
  await restoreKeys(into, keys)
  await markRestoring(into, { state: 'restored', number: newest.number })
  return backupOf(newest)
}

/** Reads and checks all that a restore would, and writes nothing. Throws `ObjectDamaged`. */
export async function checkBackup(from: ObjectStore, options: RestoreOptions = {}): Promise<Backup> {
  const { newest } = await checkAll(await openBackups(from, options))
  return backupOf(newest)
}

interface OpenBackups {
  readonly objects: ObjectStore
  readonly manifests: readonly BackupManifest[]
  readonly newest: BackupManifest
  /** All of the log's records, as they were backed up. */
  chunks(phase: 'checking' | 'restoring'): AsyncIterable<{
    readonly key: string
    readonly records: readonly LogRecord[]
  }>
}

async function openBackups(from: ObjectStore, { signal, onProgress }: RestoreOptions): Promise<OpenBackups> {
  checkBackupPlace(from)
  const objects = watchedObjects(from)
  const manifests = (await readChain(objects)).map(({ manifest }) => manifest)
  const newest = manifests.at(-1)
  if (newest === undefined) throw new InvalidArgument('from', `there is no backup in ${objects.name}`)
  const head = newest.to
  return {
    ...{ objects, manifests, newest },
    async *chunks(phase) {
      let position = 0
      for (const manifest of manifests) {
        for (const [index, chunk] of manifest.chunks.entries()) {
          signal?.throwIfAborted()
          const read = (one = chunk) => readChunk(objects, one, position)
          const records = await readCurrent(objects, manifest, { read, again: ({ chunks }) => read(chunks[index]) })
          yield { key: chunk.key, records }
          position += records.length
          onProgress?.({ phase, position, head })
        }
      }
      if (position !== head) throw damaged(objects, newest, `it ends at ${head}, its events at ${position}`)
    },
  }
}

async function checkAll({ objects, manifests, newest, chunks }: OpenBackups) {
  const closed = new Set(manifests.flatMap((manifest) => manifest.closed))
  const lines = await readCurrent(objects, newest, {
    read: () => readDocuments(objects, newest),
    again: (manifest) => readDocuments(objects, manifest),
  })
  const wrong = (key: string, reason: string, cause?: unknown) =>
    new ObjectDamaged({ key, place: objects.name, reason }, cause)
  const ledger = ledgerIn(lines, (cause) => wrong(newest.documents.key, 'its ledger is none', cause))
  const check = ledger && checkingLedger(ledger)
  for await (const { key, records } of chunks('checking')) {
    const open = records.find(({ state, stream }) => state === 'tombstone' && !closed.has(stream))
    if (open) throw wrong(key, `no manifest says that ${open.stream} is closed`)
    for (const record of records) check?.add(record)
  }
  const fault = check?.fault()
  if (fault !== undefined) throw wrong(newest.documents.key, fault)
  const documents = lines.filter(
    ({ collection, streams = [] }) =>
      collection !== ledgers.collection && !streams.some((stream) => closed.has(stream)),
  )
  return { newest, closed, documents, ledger }
}

function ledgerIn(lines: readonly DocumentLine[], wrong: (cause: unknown) => Error): LedgerState | undefined {
  const line = lines.find(({ collection }) => collection === ledgers.collection)
  try {
    return line && stateOfBody(line.body)
  } catch (error) {
    throw wrong(error)
  }
}

/** Somebody had opened a store on it: what is declared, waits or is folded there knows nothing of the log that comes. */
async function isUsed(into: Storage): Promise<boolean> {
  if ((await listStates(into)).length > 0) return true
  for (const { documents } of truths) {
    for await (const _ of documents(into)) return true
  }
  return false
}

function damaged(objects: ObjectStore, { number }: BackupManifest, reason: string): ObjectDamaged {
  return new ObjectDamaged({ key: manifestKey(number), place: objects.name, reason })
}

/** Of an object that was written anew since its manifest was read, because something was forgotten, the one in its place. */
async function readCurrent<Read>(
  objects: ObjectStore,
  { number, rewritten }: BackupManifest,
  known: { readonly read: () => Promise<Read>; readonly again: (manifest: BackupManifest) => Promise<Read> },
): Promise<Read> {
  try {
    return await known.read()
  } catch (error) {
    if (!isStoreError(error, 'object-damaged')) throw error
    const { manifest } = await readManifest(objects, number)
    if (manifest.rewritten === rewritten) throw error
    return readCurrent(objects, manifest, { ...known, read: () => known.again(manifest) })
  }
}

/** What was forgotten after it was backed up stays forgotten: its entry is all that comes back. */
function asOfNow(record: LogRecord, closed: ReadonlySet<string>): LogRecord {
  if (record.state === 'tombstone' || record.state === 'forgotten' || !closed.has(record.stream)) return record
  return forgottenRecord(record)
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
  throw notEmpty('holds a part of another backup')
}

function notEmpty(what: string): InvalidArgument {
  return new InvalidArgument('into', `${what}; restore into a new storage`)
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
