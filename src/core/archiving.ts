/**
 * Moving events to the archive, under a lease for each stream type. A segment is made known before its first byte is
 * written, read back and held against the log, and only then are records emptied. Whoever comes after a crash finds in the
 * segment's document how far it was: what was not sealed is cleared away, what was sealed is emptied.
 */
import { sealedUpTo, unlikeDigest } from './archive-ledger.ts'
import type { CommitQueue } from './commit-queue.ts'
import { deleteDocument, indexQuery } from './document.ts'
import { utf8Length } from './encoding.ts'
import { ObjectDamaged, StoreBusy } from './errors.ts'
import { derivedId } from './id.ts'
import { createWatch, type Held, type Lease, type Leased, takeLease } from './lease.ts'
import { limits } from './limits.ts'
import type { ObjectStore } from './object-store.ts'
import { entryOfRecord } from './record-line.ts'
import { createSorting, type RetentionPolicy } from './retention.ts'
import {
  putSegment,
  rangesOf,
  readSegment,
  type Segment,
  type SegmentBody,
  type SegmentState,
  sealSegment,
  segmentBodyOf,
  segmentKeys,
  segments,
} from './segment.ts'
import type { CollectionSpec, LogRecord, Storage, StoredEvent } from './storage.ts'
import { type Clock, formatInstant } from './time.ts'
import { equalHashes } from './tree.ts'
import { sleep } from './turn.ts'

export interface Archiving {
  readonly storage: Storage
  readonly queue: Pick<CommitQueue, 'add'>
  readonly making: { readonly newId: () => string }
  readonly clock: Clock
  readonly readOnly: boolean
  readonly closing: AbortSignal
  readonly objects: ObjectStore
}

/** One stream type's archiving; at most one process is at it. */
interface ArchiveBody extends Leased {
  readonly streamType: string
  /** No event of the type up to here is left in the storage that could go. */
  readonly position: number
}

/** By stream type. */
export const archives: CollectionSpec = { collection: '$archive', indexes: [] }

export interface Moved {
  readonly events: number
  readonly segments: number
}

interface Asked {
  readonly streamType: string
  readonly policy: RetentionPolicy
  readonly signal: AbortSignal | undefined
}

export function createArchiving(archiving: Archiving) {
  const { storage, queue, making, clock, objects, closing } = archiving
  const leasing = { storage, queue, newId: making.newId }

  async function find(streamType: string) {
    const [document] = await storage.getDocuments([{ collection: archives.collection, key: streamType }])
    return { document, body: document && (JSON.parse(document.body) as ArchiveBody) }
  }

  async function take(streamType: string, signal: AbortSignal | undefined): Promise<Lease<ArchiveBody>> {
    const watch = createWatch()
    // One that is alive is waited for as long as one that has gone.
    const until = performance.now() + 2 * limits.leaseMs
    for (;;) {
      signal?.throwIfAborted()
      const { document, body } = await find(streamType)
      const [left = 0] = watch.look([{ key: streamType, held: body?.held }])
      if (left === 0) {
        const held: Held = {
          ...{ owner: making.newId(), since: formatInstant(clock()), termMs: limits.leaseMs, beat: 0 },
        }
        const place = { collection: archives, key: streamType }
        const taken = { streamType, position: body?.position ?? 0, held }
        const lease = await takeLease<ArchiveBody>(leasing, place, { body: taken, previous: document })
        if (lease) return lease
      }
      if (performance.now() > until) throw new StoreBusy(`Another process archives "${streamType}"`, limits.leaseMs)
      await sleep(limits.archivePollMs, signal ? AbortSignal.any([signal, closing]) : closing)
    }
  }

  /** Of a type, page by page: what goes, until nothing more does. */
  async function* candidates({ streamType, policy, signal }: Asked, after: number) {
    const sort = createSorting(storage, policy, clock())
    let until: number | undefined
    const sealed = await sealedUpTo(storage)
    for (let from = after; ; ) {
      signal?.throwIfAborted()
      const query = { streamTypes: [streamType], after: from, direction: 'forwards', evidence: true } as const
      const end = until === undefined ? (Number.isFinite(sealed) ? { until: sealed } : {}) : { until }
      const page = await storage.readLog({ ...query, ...end, limit: limits.pageRecords })
      until ??= Math.min(page.head, sealed)
      const sorted = await sort(page.records)
      yield sorted
      if (!page.more || sorted.atEnd) return
      from = page.scannedTo
    }
  }

  async function* segmentsOf(streamType: string, state?: SegmentState): AsyncGenerator<SegmentBody> {
    const which =
      state === undefined ? { index: 'type', equals: [streamType] } : { index: 'state', equals: [streamType, state] }
    let cursor: string | undefined
    do {
      const query = { ...which, ...(cursor !== undefined && { cursor }) }
      const page = await storage.queryDocuments(indexQuery(segments, query))
      yield* page.documents.map(segmentBodyOf)
      cursor = page.next
    } while (cursor !== undefined)
  }

  /** Whole, as it was sealed, and what the log says of each of its events. Throws `ObjectDamaged`; gives its records. */
  async function check(segment: Segment): Promise<readonly LogRecord[]> {
    const records = await readSegment(objects, segment)
    const wrong = (await unlikeLog(storage, segment, records)) ?? (await unlikeDigest(storage, records))
    if (wrong === undefined) return records
    const { stream, revision, position } = wrong
    const reason = `revision ${revision} of "${stream}" is not what the log has at position ${position}`
    throw new ObjectDamaged({ key: segmentKeys(segment).content, place: objects.name, reason })
  }

  async function put(lease: Lease<ArchiveBody>, body: SegmentBody, position = lease.body.position): Promise<void> {
    const documents = putSegment(body, { is: 'anything' })
    await hold(lease, await lease.write({ body: (known) => ({ ...known, position }), documents }))
  }

  async function clearAway(lease: Lease<ArchiveBody>, segment: Pick<Segment, 'id' | 'streamType'>): Promise<void> {
    for (const key of Object.values(segmentKeys(segment))) await objects.delete(key)
    const documents = deleteDocument(segments, { key: segment.id, if: { is: 'anything' } })
    await hold(lease, await lease.write({ body: (known) => known, documents }))
  }

  /** Sealed: its objects are whole, and so is what they say. */
  async function write(
    lease: Lease<ArchiveBody>,
    records: readonly StoredEvent[],
    logId: string,
  ): Promise<SegmentBody & { readonly state: 'sealed' }> {
    const { streamType } = lease.body
    const id = derivedId(['segment', logId, making.newId()])
    const { content, segment, manifest } = await sealSegment({ id, streamType, logId }, records)
    const { first, last } = segment
    await put(lease, { id, streamType, first, last, state: 'writing' })
    const keys = segmentKeys(segment)
    for (const [key, bytes] of [
      [keys.content, content],
      [keys.manifest, manifest],
    ] as const) {
      const { outcome } = await objects.put(key, bytes, { if: 'absent' })
      if (outcome === 'conflict') throw new ObjectDamaged({ key, place: objects.name, reason: 'it is there already' })
    }
    await check(segment)
    const sealed = { ...segment, state: 'sealed' } as const
    await put(lease, sealed).catch(async (error) => {
      // Whoever has the lease now may have cleared it away before all of it was there.
      if (lease.lost.aborted) for (const key of Object.values(keys)) await objects.delete(key)
      throw error
    })
    return sealed
  }

  /** What a stream held that was closed meanwhile must be in no segment. */
  async function closedOf(records: readonly LogRecord[]): Promise<ReadonlySet<string>> {
    const closed = new Set<string>()
    await eachOf([...new Set(records.map(({ stream }) => stream))], async (stream) => {
      const { head } = await storage.readStream(stream, { after: 0, direction: 'backwards', limit: 1 })
      if (head?.closed) closed.add(stream)
    })
    return closed
  }

  async function empty(lease: Lease<ArchiveBody>, { id }: Segment, records: readonly LogRecord[]): Promise<number> {
    let emptied = 0
    await eachOf(rangesOf(records), async ({ stream, from, to }) => {
      for (let next: number | undefined = from; next !== undefined; ) {
        await hold(lease, !lease.lost.aborted)
        const step = await storage.erase({ erase: 'trim', stream, from: next, to, segment: id })
        emptied += step.erased
        next = step.done ? undefined : step.next
      }
    })
    return emptied
  }

  /** One segment, from the log's records to emptied ones. Streams that were closed meanwhile are left out. */
  async function moveOne(lease: Lease<ArchiveBody>, records: readonly StoredEvent[], position: number): Promise<Moved> {
    const { logId } = await storage.readLog({ after: 0, direction: 'backwards', limit: 1 })
    for (let left = records; left.length > 0; ) {
      const segment = await write(lease, left, logId)
      const closed = await closedOf(left)
      if (closed.size === 0) {
        const events = await empty(lease, segment, left)
        await put(lease, { ...segment, state: 'trimmed' }, position)
        return { events, segments: 1 }
      }
      await clearAway(lease, segment)
      left = left.filter(({ stream }) => !closed.has(stream))
    }
    return { events: 0, segments: 0 }
  }

  /** What somebody has left who had the lease before. */
  async function finish(lease: Lease<ArchiveBody>): Promise<number> {
    const { streamType } = lease.body
    let events = 0
    for await (const segment of segmentsOf(streamType, 'writing')) await clearAway(lease, segment)
    for await (const segment of segmentsOf(streamType, 'sealed')) {
      if (segment.state !== 'sealed') continue
      const records = await check(segment)
      const closed = await closedOf(records)
      if (closed.size > 0 && !(await isUsed(segment))) {
        await clearAway(lease, segment)
        continue
      }
      // Of streams that were closed since, forgetting clears the segment, as any other.
      const open = records.filter(({ stream }) => !closed.has(stream))
      events += await empty(lease, segment, open)
      await put(lease, { ...segment, state: 'trimmed' })
    }
    return events
  }

  async function isUsed({ id, streamType, first, last }: Segment): Promise<boolean> {
    for await (const records of logRange(storage, { streamType, first, last })) {
      if (records.some((record) => record.state === 'trimmed' && record.segment === id)) return true
    }
    return false
  }

  return {
    segmentsOf,
    check,
    async plan(asked: Asked) {
      const { body } = await find(asked.streamType)
      let [events, bytes] = [0, 0]
      for await (const { going } of candidates(asked, body?.position ?? 0)) {
        events += going.length
        for (const { content } of going) bytes += utf8Length(content)
      }
      return { events, bytes }
    },
    async move({ moved, ...asked }: Asked & { readonly moved: (so: Moved) => void }): Promise<Moved> {
      const lease = await take(asked.streamType, asked.signal)
      let all: Moved = { events: 0, segments: 0 }
      let batch: StoredEvent[] = []
      let bytes = 0
      let firstStaying = Number.POSITIVE_INFINITY
      const flush = async () => {
        const last = batch.at(-1)?.position
        if (last === undefined) return
        const settled = Math.max(lease.body.position, Math.min(last, firstStaying - 1))
        const { events, segments } = await moveOne(lease, batch, settled)
        all = { events: all.events + events, segments: all.segments + segments }
        moved(all)
        batch = []
        bytes = 0
      }
      try {
        all = { events: await finish(lease), segments: 0 }
        for await (const sorted of candidates(asked, lease.body.position)) {
          firstStaying = Math.min(firstStaying, sorted.firstStaying ?? firstStaying)
          for (const record of sorted.going) {
            const full = batch.length >= limits.segmentEvents
            if (full || bytes + record.content.length > limits.segmentBytes) await flush()
            batch.push(record)
            bytes += record.content.length
          }
        }
        await flush()
        return all
      } finally {
        await lease.write({ body: ({ held: _, ...rest }) => rest }).catch(() => false)
        lease.end()
      }
    },
  }
}

/** The first event that is not the one that the log holds at its position: the same entry, which its content and its salt alone can give. */
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

async function* logRange(
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

/** Some at a time. */
async function eachOf<Item>(items: readonly Item[], run: (item: Item) => Promise<void>): Promise<void> {
  const left = items.values()
  const work = async () => {
    for (const item of left) await run(item)
  }
  await Promise.all(Array.from({ length: limits.archiveParallel }, work))
}

async function hold(lease: Lease<ArchiveBody>, held: boolean): Promise<void> {
  if (held) return
  throw new StoreBusy(`Another process has taken over the archiving of "${lease.body.streamType}"`, limits.leaseMs)
}
