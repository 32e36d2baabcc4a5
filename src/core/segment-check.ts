/** Holding a segment against the log that it was taken from. */
import { ObjectDamaged } from './errors.ts'
import { limits } from './limits.ts'
import { entryOfRecord } from './record-line.ts'
import { type Segment, segmentKeys } from './segment.ts'
import type { LogRecord, Storage } from './storage.ts'

/**
 * Every event of the segment must be the one that the log holds at its position: the same entry, which its content and its
 * salt alone can give. Here the log's own entries are what counts; a signed digest can take their place.
 */
export async function holdAgainstLog(
  storage: Pick<Storage, 'readLog'>,
  segment: Segment,
  records: readonly LogRecord[],
  place: string,
): Promise<void> {
  let next = 0
  for await (const held of logRange(storage, segment)) {
    for (const record of held) {
      const own = records[next]
      if (own === undefined || own.position !== record.position) continue
      const [mine, theirs] = [entryOfRecord(own), entryOfRecord(record)]
      if (mine.some((byte, index) => byte !== theirs[index])) break
      next++
    }
  }
  const wrong = records[next]
  if (wrong === undefined) return
  const { stream, revision, position } = wrong
  const reason = `revision ${revision} of "${stream}" is not what the log has at position ${position}`
  throw new ObjectDamaged({ key: segmentKeys(segment).content, place, reason })
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
