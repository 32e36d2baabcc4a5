/**
 * Verifying records that have left the store, such as an export or a backup, against a digest: without any storage, wherever
 * the records and the digest are. It sees all that verifying the store sees, but what the store has stored of its ledger.
 */

import { auditLog, auditPiece, firstOf } from './audit.ts'
import type { SignedDigest } from './digest.ts'
import type { Fault, StateCounts } from './finding.ts'
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
  return { ...(await auditRecords(records, [digest])), ...(digest && { checkpoint: digest }) }
}

/** Whoever reads them may find that one cannot be read: a fault in its place ends them. */
export async function auditRecords(
  records: AsyncIterable<LogRecord | Fault> | Iterable<LogRecord | Fault>,
  known: readonly (SignedDigest | undefined)[],
): Promise<Omit<RecordsReport, 'checkpoint'>> {
  const digests = known.filter((digest) => digest !== undefined)
  const size = Math.max(0, ...digests.map(({ size }) => size))
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
  fault ??= digests.map((digest) => compareDigest(digest, log)).find((found) => found !== undefined)
  return {
    verified: fault ? fault.position - 1 : end,
    streams: log.streams,
    events: log.counts,
    ...(fault && { fault }),
  }
}
