/**
 * Reading through: content that has gone to the archive comes back from its segment, and readers do not know it. Segments
 * that were read lately are kept in memory, by their size; only a few are opened at the same time.
 */
import type { Decrypt } from './decrypting.ts'
import { EventArchived, ObjectDamaged } from './errors.ts'
import { limits } from './limits.ts'
import type { ObjectStore } from './object-store.ts'
import { placeAt } from './record-line.ts'
import { openSegment, segmentBodyOf, segmentDocument, segmentKeys } from './segment.ts'
import type { ForgottenEvent, LogRecord, Storage, StoredEvent, TrimmedEvent } from './storage.ts'

/** The archive, for those who read. */
export interface Archived {
  open(segment: string): Promise<OpenSegment>
  /** Gives what a segment holds what of it is encrypted. */
  readonly decrypt: Decrypt
  /** With nothing in memory, for who wants to know what is there. */
  anew(): Archived
}

/**
 * Gives a record of the segment its content back, or says that it was forgotten since the record was read. Throws
 * `ObjectDamaged` where the segment does not hold it.
 */
export type OpenSegment = (record: TrimmedEvent) => StoredEvent | ForgottenEvent

export interface ArchivedSegments extends Archived {
  /** One that was written anew is not kept in memory as it was. */
  drop(segment: string): void
}

interface Kept {
  readonly segment: Promise<OpenSegment>
  /** Characters of its text; of one that is being opened not known yet. */
  size: number
}

export function createArchived(
  storage: Pick<Storage, 'getDocuments'>,
  objects: ObjectStore,
  decrypt: Decrypt,
): ArchivedSegments {
  /** Those asked for longest ago come first. */
  const kept = new Map<string, Kept>()
  const turns = createTurns(limits.archiveOpens)
  let held = 0

  function drop(id: string): void {
    held -= kept.get(id)?.size ?? 0
    kept.delete(id)
  }

  async function open(id: string): Promise<{ readonly segment: OpenSegment; readonly size: number }> {
    const [document] = await storage.getDocuments([segmentDocument(id)])
    const body = document && segmentBodyOf(document)
    // Its records are emptied once it is sealed.
    if (body === undefined || body.state === 'writing') {
      return { segment: (record) => notAtHand(record), size: 0 }
    }
    const { lines } = await openSegment(objects, body)
    const contents = new Map<string, string | undefined>()
    for (const line of lines) {
      const { stream, revision, content } = placeAt(line)
      contents.set(placeOf(stream, revision), content)
    }
    const segment: OpenSegment = ({ stream, revision, position, time }) => {
      const place = placeOf(stream, revision)
      const content = contents.get(place)
      if (!contents.has(place)) {
        const reason = `it does not hold revision ${revision} of "${stream}", which was trimmed to it`
        throw new ObjectDamaged({ key: segmentKeys(body).content, place: objects.name, reason })
      }
      const key = position === undefined ? { stream, revision, time } : { stream, revision, position, time }
      return content === undefined ? { ...key, state: 'forgotten' } : { ...key, state: 'stored', content }
    }
    return { segment, size: body.textBytes }
  }

  function openKept(id: string): Promise<OpenSegment> {
    const found = kept.get(id)
    if (found !== undefined) {
      kept.delete(id)
      kept.set(id, found)
      return found.segment
    }
    const opened = turns(() => open(id))
    const entry: Kept = { segment: opened.then(({ segment }) => segment), size: 0 }
    kept.set(id, entry)
    opened.then(
      ({ size }) => {
        if (kept.get(id) !== entry) return
        // What is not there now may be there the next time.
        if (size === 0) return drop(id)
        entry.size = size
        held += size
        for (const [oldest] of kept) {
          if (held <= limits.archiveCacheBytes || kept.size === 1) break
          drop(oldest)
        }
      },
      () => kept.get(id) === entry && drop(id),
    )
    return entry.segment
  }

  return { open: openKept, drop, decrypt, anew: () => createArchived(storage, objects, decrypt) }
}

/** What a store has that was opened without an archive. */
export function notAtHand(record: TrimmedEvent): never {
  throw new EventArchived(record)
}

/** Reads records in their order, each with its content. Of several segments the next ones are opened meanwhile. */
export async function readThrough<Read>(
  archived: Archived | undefined,
  records: readonly LogRecord[],
  read: (record: LogRecord) => Read,
): Promise<readonly Read[]> {
  if (archived === undefined || !records.some(({ state }) => state === 'trimmed')) return records.map(read)
  const results: Read[] = new Array(records.length)
  const bySegment = new Map<string, number[]>()
  for (const [index, record] of records.entries()) {
    if (record.state !== 'trimmed') {
      results[index] = read(record)
      continue
    }
    const indexes = bySegment.get(record.segment)
    if (indexes) indexes.push(index)
    else bySegment.set(record.segment, [index])
  }
  const ids = [...bySegment.keys()]
  const opening: Promise<OpenSegment>[] = []
  for (const [at, id] of ids.entries()) {
    while (opening.length < Math.min(ids.length, at + limits.archiveOpens)) {
      const ahead = archived.open(ids[opening.length] as string)
      // It is waited for in its turn, unless one before it fails.
      ahead.catch(() => {})
      opening.push(ahead)
    }
    const segment = await (opening[at] as Promise<OpenSegment>)
    // Read at once, so that no content holds the text of its whole segment in memory.
    const indexes = bySegment.get(id) ?? []
    const stored = await archived.decrypt(indexes.map((index) => segment(records[index] as TrimmedEvent)))
    for (const [at, index] of indexes.entries()) results[index] = read(stored[at] as StoredEvent)
    delete opening[at]
  }
  return results
}

function placeOf(stream: string, revision: number): string {
  return `${revision} ${stream}`
}

/** Runs at most so many at the same time, the others in their order. */
function createTurns(most: number): <Result>(run: () => Promise<Result>) => Promise<Result> {
  const waiting: (() => void)[] = []
  let running = 0
  return async (run) => {
    if (running >= most) await new Promise<void>((resolve) => waiting.push(resolve))
    else running++
    try {
      return await run()
    } finally {
      const next = waiting.shift()
      if (next) next()
      else running--
    }
  }
}
