/**
 * Moving events to the archive, under a lease for each stream type. A segment is made known before its first byte is
 * written, read back and held against the log, and only then are records emptied. Whoever comes after a crash finds in the
 * segment's document how far it was: what was not sealed is cleared away, what was sealed is emptied.
 */
import { sealedUpTo } from './archive-ledger.ts'
import type { CommitQueue } from './commit-queue.ts'
import { allIndexed, deleteDocument } from './document.ts'
import { utf8Length } from './encoding.ts'
import { isStoreError, ObjectDamaged, StoreBusy } from './errors.ts'
import { derivedId } from './id.ts'
import { createWatch, type Held, type Lease, type Leased, takeLease } from './lease.ts'
import { limits } from './limits.ts'
import { listObjects, type ObjectStore } from './object-store.ts'
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
  segmentDocument,
  segmentKeys,
  segmentPrefix,
  segments,
} from './segment.ts'
import { holdAgainstLog, logRange } from './segment-check.ts'
import type { CollectionSpec, LogRecord, Storage, StoredEvent } from './storage.ts'
import { type Clock, formatInstant } from './time.ts'
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
    // One that is alive is waited for as long as one that has gone.
    const lease = await takeWithin(streamType, { signal, ms: 2 * limits.leaseMs })
    if (lease) return lease
    throw new StoreBusy(`Another process archives "${streamType}"`, limits.leaseMs)
  }

  async function takeWithin(
    streamType: string,
    { signal, ms }: { readonly signal: AbortSignal | undefined; readonly ms: number },
  ): Promise<Lease<ArchiveBody> | undefined> {
    const watch = createWatch()
    const until = performance.now() + ms
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
      if (performance.now() > until) return undefined
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
    for await (const document of allIndexed(storage, segments, which)) yield segmentBodyOf(document)
  }

  /** Whole, as it was sealed, and what the log says of each of its events. Throws `ObjectDamaged`; gives its records. */
  async function check(segment: Segment): Promise<readonly LogRecord[]> {
    return (await checkNow(segment)).records
  }

  async function checkNow(known: Segment) {
    const { segment, records } = await readSegment(objects, known)
    await holdAgainstLog(storage, segment, records, objects.name)
    return { segment, records }
  }

  /** What is sealed may be written anew meanwhile, by who forgets something in it: only its state is changed here. */
  async function putState(
    lease: Lease<ArchiveBody>,
    { id }: Pick<Segment, 'id'>,
    change: { readonly to: 'trimmed' | 'writing'; readonly position?: number },
  ): Promise<void> {
    const { to, position = lease.body.position } = change
    for (let tries = 1; ; tries++) {
      const [document] = await storage.getDocuments([segmentDocument(id)])
      const body = document && segmentBodyOf(document)
      if (document === undefined || body === undefined || body.state === 'writing') return
      const { streamType, first, last } = body
      const next: SegmentBody = to === 'trimmed' ? { ...body, state: to } : { id, streamType, first, last, state: to }
      const documents = putSegment(next, { is: 'version', version: document.version })
      try {
        return await hold(lease, await lease.write({ body: (known) => ({ ...known, position }), documents }))
      } catch (error) {
        if (!isStoreError(error, 'document-conflict') || tries >= limits.commitTries) throw error
      }
    }
  }

  async function put(lease: Lease<ArchiveBody>, body: SegmentBody): Promise<void> {
    const documents = putSegment(body, { is: 'anything' })
    await hold(lease, await lease.write({ body: (known) => known, documents }))
  }

  /** First it counts as never sealed, so that whoever finds it half gone goes on with that. */
  async function clearAway(lease: Lease<ArchiveBody>, segment: Pick<Segment, 'id' | 'streamType'>): Promise<void> {
    await putState(lease, segment, { to: 'writing' })
    for await (const { key } of listObjects(objects, segmentPrefix(segment))) await objects.delete(key)
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
        await putState(lease, segment, { to: 'trimmed', position })
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
      await putState(lease, segment, { to: 'trimmed' })
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
    check: checkNow,
    /** Clears away what somebody has left in the middle of writing; false where another process may be at it. */
    async clearLeft(
      streamType: string,
      patience: { readonly signal: AbortSignal | undefined; readonly ms: number },
    ): Promise<boolean> {
      const lease = await takeWithin(streamType, patience)
      if (lease === undefined) return false
      try {
        await finish(lease)
        return true
      } finally {
        await release(lease)
      }
    },
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
        await release(lease)
      }
    },
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

async function release(lease: Lease<ArchiveBody>): Promise<void> {
  await lease.write({ body: ({ held: _, ...rest }) => rest }).catch(() => false)
  lease.end()
}

async function hold(lease: Lease<ArchiveBody>, held: boolean): Promise<void> {
  if (held) return
  throw new StoreBusy(`Another process has taken over the archiving of "${lease.body.streamType}"`, limits.leaseMs)
}
