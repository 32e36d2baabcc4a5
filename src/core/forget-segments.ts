/**
 * Forgetting in the archive: each segment that holds events of closed streams is written anew without their content, under another
 * name; the segment's document is switched to it in one commit, and what it was before is deleted. Every step can be repeated,
 * by several at the same time: what is not named by the document when a switch is made belongs to nobody whose switch could
 * still succeed.
 */
import { errorOf } from './append.ts'
import type { ClosedStreams } from './closed-streams.ts'
import type { CommitQueue } from './commit-queue.ts'
import { allIndexed } from './document.ts'
import { isStoreError, ObjectDamaged, StoreBusy } from './errors.ts'
import { limits } from './limits.ts'
import { deleteObjects, keysUnder, type ObjectStore } from './object-store.ts'
import { forgottenRecord } from './record-line.ts'
import type { Kept } from './remnant.ts'
import {
  manifestOf,
  putSegment,
  readSegment,
  type Segment,
  type SegmentBody,
  sealSegment,
  segmentBodyOf,
  segmentDocument,
  segmentKeys,
  segmentPrefix,
  segments,
} from './segment.ts'
import type { CommitOutcome, LogRecord, Storage } from './storage.ts'

export interface SegmentForgetting {
  readonly storage: Storage
  readonly queue: Pick<CommitQueue, 'add'>
  readonly making: { readonly newId: () => string }
  readonly objects: ObjectStore
  /** Told what is written anew. */
  readonly drop: (segment: string) => void
  readonly kept: Kept
}

/** How far it is; what is counted is what was found to hold content, whoever has written it anew. */
export interface SegmentProgress {
  /** First position of the last segment that is done. */
  readonly after: number
  readonly rewritten: number
  /** The first of those that are counted. */
  readonly names: readonly string[]
  /** One that is being written anew, and is counted once it is done. */
  readonly at?: string
}

export const noSegments: SegmentProgress = { after: 0, rewritten: 0, names: [] }

/** Segments that may hold events of streams of one type, in order, by what the store knows of them. */
export async function* segmentsAbout(
  storage: Storage,
  { type, range }: ClosedStreams,
  after = 0,
): AsyncGenerator<Pick<Segment, 'id' | 'first'>> {
  const query = { index: 'type', equals: [type], from: after + 1, to: range.last }
  for await (const document of allIndexed(storage, segments, query)) {
    const body = segmentBodyOf(document)
    if (body.last >= range.first) yield body
  }
}

/**
 * Tells by `pending` of segments that somebody is writing just now: he leaves the stream out of it, or has left it half
 * written. Throws `ObjectDamaged` for a segment that cannot be read, or does not come back as it was written.
 */
export async function forgetInSegments(
  tools: SegmentForgetting,
  closed: ClosedStreams,
  { progress, save }: { readonly progress: SegmentProgress; readonly save: (to: SegmentProgress) => Promise<void> },
): Promise<{ readonly progress: SegmentProgress; readonly pending: boolean }> {
  let known = progress
  let pending = false
  const keep = async (next: SegmentProgress) => {
    known = next
    await save(next)
  }
  const left = known.at
  if (left !== undefined) {
    await rewrite(tools, closed, left)
    await keep(counted(known, left, known.after))
  }
  for await (const { id, first } of segmentsAbout(tools.storage, closed, known.after)) {
    if (id === left) continue
    const about = await mayHold(tools, closed, id)
    if (about === 'writing') pending = true
    if (about !== 'yes') continue
    const begin = () => keep({ ...known, at: id })
    if (await rewrite(tools, closed, id, begin)) {
      // One that is still being written comes first the next time, too.
      await keep(counted(known, id, pending ? known.after : first))
    }
  }
  return { progress: known, pending }
}

function counted({ rewritten, names }: SegmentProgress, id: string, after: number): SegmentProgress {
  return { after, rewritten: rewritten + 1, names: [...names, id].slice(0, limits.trailNames) }
}

/** By the segment's manifest, where that can be read. */
async function mayHold({ storage, objects }: SegmentForgetting, { streams }: ClosedStreams, id: string) {
  const [document] = await storage.getDocuments([segmentDocument(id)])
  const body = document && segmentBodyOf(document)
  if (body === undefined) return 'no'
  if (body.state === 'writing') return 'writing'
  const manifest = await manifestOf(objects, body)
  return manifest === undefined || manifest.streams.some(({ stream }) => streams.has(stream)) ? 'yes' : 'no'
}

/** `begin` is called before content is written anew. False where there was nothing to forget. */
async function rewrite(
  tools: SegmentForgetting,
  { type, streams }: ClosedStreams,
  id: string,
  begin: () => Promise<void> = async () => {},
): Promise<boolean> {
  const { storage, queue, making, objects, drop, kept } = tools

  async function attempt(
    body: Extract<SegmentBody, Segment>,
    { version, object }: { readonly version: string; readonly object: string },
  ): Promise<
    Exclude<CommitOutcome, { outcome: 'committed' }> | { readonly outcome: 'committed'; readonly held: boolean }
  > {
    const { segment, records } = await readSegment(objects, body)
    const held = records.some(({ stream, state }) => streams.has(stream) && state !== 'forgotten')
    const others = async (now: Segment) => {
      const own = Object.values(segmentKeys(now))
      return (await keysUnder(objects, segmentPrefix(now))).filter((key) => !own.includes(key))
    }
    if (!held && (await others(segment)).length === 0) return { outcome: 'committed', held }
    if (held) await begin()
    const next = held ? await writeAnew(tools, { segment, object }, without(records, streams)) : segment
    const old = await others(next)
    const documents = putSegment({ ...next, state: body.state }, { is: 'version', version })
    const outcome = await queue.add({ id: making.newId(), appends: [], documents })
    if (outcome.outcome !== 'committed') return outcome
    drop(id)
    await kept.delete(objects, old)
    return { outcome: 'committed', held }
  }

  for (let tries = 1; tries <= limits.rewriteTries; tries++) {
    const [document] = await storage.getDocuments([segmentDocument(id)])
    const body = document && segmentBodyOf(document)
    if (body?.state === 'writing') return false
    if (document === undefined || body === undefined) {
      // It was cleared away, for no record was emptied for it; ids are never used again.
      await deleteObjects(objects, await keysUnder(objects, segmentPrefix({ id, streamType: type })))
      return false
    }
    const { version } = document
    const object = making.newId()
    const outcome = await attempt(body, { version, object }).catch(async (error) => {
      // Whoever was faster has deleted what was being read, or written.
      const [now] = await storage.getDocuments([segmentDocument(id)])
      if (!isStoreError(error, 'object-damaged') || now?.version === version) throw error
      return undefined
    })
    if (outcome?.outcome === 'committed') return outcome.held
    await deleteObjects(objects, Object.values(segmentKeys({ ...body, object })))
    if (outcome && outcome.outcome !== 'document-conflict') throw errorOf(outcome)
  }
  throw new StoreBusy(`Others write segment ${id} anew all the time`, 1_000)
}

/** Under a name that nobody else uses, read back; nobody knows it yet. */
async function writeAnew(
  { storage, objects }: SegmentForgetting,
  { segment, object }: { readonly segment: Segment; readonly object: string },
  records: readonly LogRecord[],
): Promise<Segment> {
  const { logId } = await storage.readLog({ after: 0, direction: 'backwards', limit: 1 })
  const { id, streamType } = segment
  const sealed = await sealSegment({ id, streamType, object, logId }, records)
  const keys = segmentKeys(sealed.segment)
  await objects.put(keys.content, sealed.content, { if: 'absent' })
  await objects.put(keys.manifest, sealed.manifest, { if: 'absent' })
  const written = await readSegment(objects, sealed.segment)
  if (written.segment.entries === segment.entries) return written.segment
  const reason = 'written anew, it would hold other events'
  throw new ObjectDamaged({ key: keys.content, place: objects.name, reason })
}

function without(records: readonly LogRecord[], streams: ReadonlySet<string>): readonly LogRecord[] {
  return records.map((record) => (streams.has(record.stream) ? forgottenRecord(record) : record))
}
