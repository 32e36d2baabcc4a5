/** Reading a piece of the log for its audit, with all that proves it. */

import type { Archived } from './archived.ts'
import { auditPiece } from './audit.ts'
import { isStoreError } from './errors.ts'
import type { Piece, PieceAudit } from './finding.ts'
import { limits } from './limits.ts'
import type { LogPage, LogRecord, Storage, StoredEvent, TrimmedEvent } from './storage.ts'
import { turn } from './turn.ts'

export interface PieceOptions {
  /** Where archived content is; without it what is there is not looked at. */
  readonly archived?: Archived | undefined
  readonly signal?: AbortSignal | undefined
}

/** Throws where the storage, or the archive, is in trouble; whatever is wrong with a record is in the audit. */
export async function readPiece(
  storage: Pick<Storage, 'readLog'>,
  { after, until }: Piece,
  { archived, signal }: PieceOptions = {},
): Promise<PieceAudit> {
  const piece = auditPiece(after)
  let limit: number = limits.pageRecords
  pages: while (piece.next <= until) {
    signal?.throwIfAborted()
    const at = piece.next
    const page = await readPage(storage, { after: at - 1, until }, limit)
    if (page === 'unreadable') {
      // The one that cannot be read is found by reading them singly.
      if (limit === 1)
        return piece.end({ position: at, kind: 'unreadable', message: 'The storage cannot read the record' })
      limit = 1
      continue
    }
    for (const record of page.records) {
      const found = archived && isArchived(record) ? await contentIn(archived, record) : undefined
      if (found instanceof Error) {
        // Forgotten meanwhile, or in another segment: it is read again.
        if (await hasChanged(storage, record as TrimmedEvent)) continue pages
        const { stream, revision } = record
        return piece.end({ position: piece.next, stream, revision, kind: 'archive', message: found.message })
      }
      const whole = found ? { ...record, evidence: found.evidence } : record
      if (!piece.add(whole, found?.content)) return piece.end()
    }
    if (piece.next === at || (!page.more && piece.next <= until)) {
      return piece.end({ position: piece.next, kind: 'missing', message: 'The log has no record there' })
    }
    await turn()
  }
  return piece.end()
}

/** Whatever the storage has in its place: where it names no segment, the audit says so. */
function isArchived(record: LogRecord): record is TrimmedEvent {
  return record.state === 'trimmed' && typeof record.segment === 'string' && Array.isArray(record.tags)
}

/** From its segment; else what is wrong with it. */
async function contentIn({ open, decrypt }: Archived, record: TrimmedEvent): Promise<StoredEvent | Error> {
  try {
    const stored = (await open(record.segment))(record)
    if (stored.state === 'forgotten') return new Error('It was forgotten meanwhile')
    const [opened] = await decrypt([{ ...stored, evidence: record.evidence }])
    return opened as StoredEvent
  } catch (error) {
    if (isStoreError(error) && ['object-damaged', 'event-archived'].includes(error.code)) return error
    throw error
  }
}

async function hasChanged(storage: Pick<Storage, 'readLog'>, record: TrimmedEvent): Promise<boolean> {
  const position = record.position ?? 0
  const { records } = await storage.readLog({
    ...{ after: position - 1, until: position, direction: 'forwards', limit: 1 },
  })
  const [now] = records
  return now?.state !== 'trimmed' || now.segment !== record.segment
}

/** A storage that fails at everything is in trouble, and nobody has changed anything. */
async function readPage(
  storage: Pick<Storage, 'readLog'>,
  range: Piece,
  limit: number,
): Promise<LogPage | 'unreadable'> {
  try {
    return await storage.readLog({ ...range, direction: 'forwards', limit, evidence: true })
  } catch (error) {
    if (!isStoreError(error, 'storage-failed')) throw error
    await endOfLog(storage)
    return 'unreadable'
  }
}

/** Where the log ends, whether or not the record there can be read. */
export async function endOfLog(storage: Pick<Storage, 'readLog'>): Promise<Pick<LogPage, 'logId' | 'head'>> {
  return storage.readLog({ after: 0, until: 0, direction: 'forwards', limit: 1 })
}
