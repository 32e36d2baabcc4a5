/** Holding a segment against the log that it was taken from. */
import { unlikeDigest } from './archive-ledger.ts'
import { ObjectDamaged } from './errors.ts'
import { limits } from './limits.ts'
import { entryOfRecord } from './record-line.ts'
import { type Segment, segmentKeys } from './segment.ts'
import type { LogRecord, Storage } from './storage.ts'
import { equalHashes } from './tree.ts'

/** Every event of the segment must be the one that the log holds at its position, and that the signed digest holds there. */
export async function holdAgainstLog(
  storage: Pick<Storage, 'readLog' | 'getDocuments'>,
  segment: Segment,
  records: readonly LogRecord[],
  place: string,
): Promise<void> {
  const wrong = (await unlikeLog(storage, segment, records)) ?? (await unlikeDigest(storage, records))
  if (wrong === undefined) return
  const { stream, revision, position } = wrong
  const reason = `revision ${revision} of "${stream}" is not what the log has at position ${position}`
  throw new ObjectDamaged({ key: segmentKeys(segment).content, place, reason })
}

/** The first event that has not the entry of the log's record, which its content and its salt alone can give. */
async function unlikeLog(
  storage: Pick<Storage, 'readLog'>,
  segment: Segment,
  records: readonly LogRecord[],
): Promise<LogRecord | undefined> {
  let next = 0
  for await (const held of logRange(storage, segment)) {
    for (const record of held) {
      const own = records[next]
      if (own === undefined || own.position !== record.position) continue
      if (!equalHashes(entryOfRecord(own), entryOfRecord(record))) return own
      next++
    }
  }
  return records[next]
}

export async function* logRange(
  storage: Pick<Storage, 'readLog'>,
  { streamType, first, last }: Pick<Segment, 'streamType' | 'first' | 'last'>,
): AsyncGenerator<readonly LogRecord[]> {
  for (let after = first - 1; ; ) {
    const range = { streamTypes: [streamType], after, until: last, direction: 'forwards', evidence: true } as const
    const page = await storage.readLog({ ...range, limit: limits.pageRecords })
    yield page.records
    if (!page.more) return
    after = page.scannedTo
  }
}
