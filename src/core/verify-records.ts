/**
 * Verifying records that have left the store, such as an export or a backup, against a digest: without any storage, wherever
 * the records and the digest are. It sees all that verifying the store sees, but what the store has stored of its ledger.
 */

import { auditLog, auditPiece, firstOf } from './audit.ts'
import { keptDigest, type SignedDigest } from './digest.ts'
import type { Fault, StateCounts } from './finding.ts'
import type { LogRecord } from './storage.ts'
import { compareDigests, keptIn, listOf, pieceRecords, truncated } from './verify.ts'

export interface VerifyRecordsOptions {
  /** Signed digests: the records must begin with what each covers. Without any they are held against each other only. */
  readonly checkpoint?: string | readonly string[]
  /** Of the log, and of witnesses. */
  readonly verifierKeys?: readonly string[]
}

export interface RecordsReport {
  /** Up to here nothing was found wrong. */
  readonly verified: number
  readonly streams: number
  readonly events: StateCounts
  /** The trimmed ones: what is in the archive nobody has looked at. */
  readonly unread: number
  /** Events that are as they were stored, but were not decrypted: their key is not here, or no more. */
  readonly encrypted?: number
  readonly checkpoint?: SignedDigest
  /** What is wrong first, in order of position; absent where nothing is. */
  readonly fault?: Fault
}

/**
 * All records of a log from position 1 on, in order, each with its evidence. Throws `InvalidArgument` or `ProofInvalid` for a
 * checkpoint that proves nothing.
 */
export async function verifyRecords(
  records: AsyncIterable<LogRecord> | Iterable<LogRecord>,
  { checkpoint, verifierKeys = [] }: VerifyRecordsOptions = {},
): Promise<RecordsReport> {
  const kept = listOf(checkpoint).map((each) => keptDigest(each, verifierKeys))
  return { ...(await auditRecords(records, kept)), ...keptIn(kept) }
}

/** Whoever reads them may find that one cannot be read: a fault in its place ends them. */
export async function auditRecords(
  records: AsyncIterable<LogRecord | Fault> | Iterable<LogRecord | Fault>,
  digests: readonly SignedDigest[],
): Promise<Omit<RecordsReport, 'checkpoint'>> {
  const size = digests.reduce((most, { size }) => Math.max(most, size), 0)
  const log = auditLog(digests.map(({ size }) => size))
  let fault: Fault | undefined
  let unread: Fault | undefined
  let piece = auditPiece(0)
  let end = 0
  for await (const record of records) {
    if ('kind' in record) {
      unread = record
      break
    }
    const taken = piece.add(record)
    end = piece.next - 1
    if (taken && end % pieceRecords > 0) continue
    fault = log.join(piece.end())
    piece = auditPiece(end)
    log.tree.take()
    if (fault || !taken) break
  }
  fault ??= log.join(piece.end(unread))
  // Behind a fault nothing was read: a tombstone may have stood there.
  fault ??= size > end ? truncated(size, end) : firstOf(log.unclosed())
  fault ??= compareDigests(digests, log)
  return {
    verified: fault ? fault.position - 1 : end,
    streams: log.ends.size,
    events: log.counts,
    unread: log.unread,
    ...(log.encrypted > 0 && { encrypted: log.encrypted }),
    ...(fault && { fault }),
  }
}
