/** Reading a piece of the log for its audit, with all that proves it. */

import { auditPiece } from './audit.ts'
import { isStoreError } from './errors.ts'
import type { PieceAudit } from './finding.ts'
import { limits } from './limits.ts'
import type { LogPage, Piece, Storage } from './storage.ts'
import { turn } from './turn.ts'

/** Throws where the storage is in trouble; whatever is wrong with a record is in the audit. */
export async function readPiece(
  storage: Pick<Storage, 'readLog'>,
  { after, until }: Piece,
  signal?: AbortSignal,
): Promise<PieceAudit> {
  const piece = auditPiece(after)
  let limit: number = limits.pageRecords
  while (piece.next <= until) {
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
    if (!page.records.every(piece.add)) return piece.end()
    if (piece.next === at || (!page.more && piece.next <= until)) {
      return piece.end({ position: piece.next, kind: 'missing', message: 'The log has no record there' })
    }
    await turn()
  }
  return piece.end()
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
    await storage.readLog({ after: 0, direction: 'backwards', limit: 1 })
    return 'unreadable'
  }
}
