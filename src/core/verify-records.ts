/**
 * Verifying records that have left the store, such as an export or a backup, against a digest: without any storage, wherever
 * the records and the digest are. It sees all that verifying the store sees, but what the store has stored of its ledger.
 */
import { auditLog, auditPiece, type Fault, firstOf, type StateCounts } from './audit.ts'
import type { SignedDigest } from './digest.ts'
import type { LogRecord } from './storage.ts'
import { compareDigest, keptDigest, pieceRecords, truncated } from './verify.ts'

export interface VerifyRecordsOptions {
  /** A signed digest: the records must begin with what it covers. Without it they are held against each other only. */
  readonly checkpoint?: string
  /** Of the log, and of witnesses. */
  readonly verifierKeys?: readonly string[]
}

export interface RecordsReport {
  /** Up to here nothing was found wrong. */
  readonly verified: number
  readonly streams: number
  readonly events: StateCounts
  /** Events that were held against their commitment alone: encrypted, and without a key here, or with none any more. */
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
  const digest = checkpoint === undefined ? undefined : keptDigest(checkpoint, verifierKeys)
  const log = auditLog(digest ? [digest.size] : [])
  let fault: Fault | undefined
  let piece = auditPiece(0)
  let end = 0
  for await (const record of records) {
    const taken = piece.add(record)
    end = piece.next - 1
    if (taken && end % pieceRecords > 0) continue
    fault = log.join(piece.end())
    piece = auditPiece(end)
    log.tree.take()
    if (fault || !taken) break
  }
  fault ??= log.join(piece.end())
  // Behind a fault nothing was read: a tombstone may have stood there.
  fault ??= digest && digest.size > end ? truncated(digest.size, end) : firstOf(log.unclosed())
  fault ??= digest && compareDigest(digest, log)
  return {
    verified: fault ? fault.position - 1 : end,
    streams: log.streams,
    events: log.counts,
    ...(log.encrypted > 0 && { encrypted: log.encrypted }),
    ...(digest && { checkpoint: digest }),
    ...(fault && { fault }),
  }
}
