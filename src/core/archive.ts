/**
 * The store's archive: what would go there, moving it, listing it, holding it against the log. How a segment is written and
 * its records are emptied is in `archiving.ts`.
 */

import { type Archiving, createArchiving, type Moved } from './archiving.ts'
import { checkFunctions, checkList, checkObject } from './argument.ts'
import { checkWritable } from './background.ts'
import { indexQuery } from './document.ts'
import { InvalidArgument, isStoreError, type ObjectDamaged, Unsupported } from './errors.ts'
import { checkStreamType } from './name.ts'
import { listObjects, type ObjectStore } from './object-store.ts'
import { pageSize } from './read.ts'
import { checkRetention, type Retention } from './retention.ts'
import { type SegmentBody, segmentBodyOf, segmentDocument, segmentKeys, segments } from './segment.ts'
import type { JobHandler } from './worker.ts'

export interface ArchiveOptions {
  /** Where segments are kept; it stays open when the store is closed. One log, one place: give each a prefix of its own. */
  readonly objects: ObjectStore
  /** What stays in the storage; without it nothing is archived, and what is there is read. */
  readonly retention?: Retention
}

export interface Archive {
  /** What a run would move now, by stream type. Writes nothing. */
  plan(options?: Pick<ArchiveRunOptions, 'streamTypes' | 'signal'>): Promise<readonly ArchivePlan[]>
  /**
   * Moves what the policies do not keep, type after type, and resolves when it is done; what an earlier run has left is
   * finished first. Throws `StoreBusy` where another process is at it, `ObjectDamaged` where a segment does not come back
   * as it was written: then none of its records was emptied.
   */
  run(options?: ArchiveRunOptions): Promise<readonly ArchiveReport[]>
  /** One page of a stream type's segments, in order of their first positions. */
  segments(options: SegmentListOptions): Promise<SegmentsPage>
  /** Reads every segment and holds it against the log. Throws only where the storage or the object store fails. */
  verify(options?: Pick<ArchiveRunOptions, 'signal'>): Promise<ArchiveVerification>
}

export interface ArchiveRunOptions {
  /** Default: all that have a policy. */
  readonly streamTypes?: readonly string[]
  /** Ends the run before the next segment. */
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: ArchiveReport) => void
}

export interface ArchivePlan {
  readonly streamType: string
  readonly events: number
  /** Of their content, in UTF-8. */
  readonly bytes: number
}

export interface ArchiveReport {
  readonly streamType: string
  /** Moved by this run. */
  readonly events: number
  readonly segments: number
}

export type ArchivedSegment = SegmentBody

export interface SegmentListOptions {
  readonly streamType: string
  /** `next` of the page before. */
  readonly cursor?: string
  /** 1 to 1,000; default 100. */
  readonly limit?: number
}

export interface SegmentsPage {
  readonly segments: readonly ArchivedSegment[]
  readonly next?: string
}

export interface ArchiveVerification {
  readonly segments: number
  readonly events: number
  /** Each with the object's key and what is wrong with it. */
  readonly damaged: readonly { readonly key: string; readonly reason: string }[]
  /** Objects under `segments/` that the store knows nothing of: left by a crash, or of another log. */
  readonly unknown: readonly string[]
}

/** What the face and the worker need; the object store is a watched one. */
export interface ArchiveTools extends Archiving {
  readonly retention: Retention
}

export function checkArchive(options: ArchiveOptions): void {
  checkObject(options, 'archive')
  checkFunctions(options.objects, 'archive.objects', ['put', 'get', 'list', 'delete'])
  if (options.retention !== undefined) checkRetention(options.retention, 'archive.retention')
}

export function createArchive(tools: ArchiveTools | undefined): Archive {
  const opened = (): ArchiveTools => {
    if (tools !== undefined) return tools
    throw new Unsupported('archive', 'The store was opened without an archive; give openStore { archive: { objects } }')
  }
  return {
    async plan(options = {}) {
      const tools = opened()
      checkObject(options, 'options')
      const plans: ArchivePlan[] = []
      for (const [streamType, policy] of policiesOf(tools.retention, options.streamTypes)) {
        const planned = await createArchiving(tools).plan({ streamType, policy, signal: options.signal })
        plans.push({ streamType, ...planned })
      }
      return plans
    },
    run: async (options = {}) => runArchive(opened(), options),
    async segments(options) {
      const { storage } = opened()
      checkObject(options, 'options')
      const { streamType, cursor, limit } = options
      checkStreamType(streamType, 'streamType')
      const query = {
        index: 'type',
        equals: [streamType],
        limit: pageSize(limit),
        ...(cursor !== undefined && { cursor }),
      }
      const { documents, next } = await storage.queryDocuments(indexQuery(segments, query))
      return { segments: documents.map(segmentBodyOf), ...(next !== undefined && { next }) }
    },
    async verify(options = {}) {
      checkObject(options, 'options')
      return verifyArchive(opened(), options.signal)
    },
  }
}

/** For workers of a store that has an archive. */
export function archiveHandler(tools: ArchiveTools): JobHandler {
  return async ({ signal, heartbeat }) => {
    const onProgress = (progress: ArchiveReport) => void heartbeat(progress).catch(() => {})
    return { result: await runArchive(tools, { signal, onProgress }) }
  }
}

async function runArchive(tools: ArchiveTools, options: ArchiveRunOptions): Promise<readonly ArchiveReport[]> {
  checkWritable(tools)
  checkObject(options, 'options')
  if (options.onProgress !== undefined) checkFunctions(options, 'options', ['onProgress'])
  const archiving = createArchiving(tools)
  const reports: ArchiveReport[] = []
  for (const [streamType, policy] of policiesOf(tools.retention, options.streamTypes)) {
    const moved = (so: Moved) => options.onProgress?.({ streamType, ...so })
    reports.push({ streamType, ...(await archiving.move({ streamType, policy, signal: options.signal, moved })) })
  }
  return reports
}

function policiesOf(retention: Retention, streamTypes: readonly string[] | undefined) {
  if (streamTypes === undefined) return Object.entries(retention)
  checkList(streamTypes, 'streamTypes')
  return streamTypes.map((streamType, index) => {
    const policy = Object.hasOwn(retention, streamType) ? retention[streamType] : undefined
    if (policy !== undefined) return [streamType, policy] as const
    throw new InvalidArgument(`streamTypes[${index}]`, `the archive has no policy for "${streamType}"`)
  })
}

async function verifyArchive(tools: ArchiveTools, signal: AbortSignal | undefined): Promise<ArchiveVerification> {
  const { storage, objects } = tools
  const archiving = createArchiving(tools)
  const damaged: { key: string; reason: string }[] = []
  const unknown: string[] = []
  /** Of segments whose objects are not those that the store knows. */
  const moved = new Set<string>()
  let [count, events] = [0, 0]
  for (const streamType of await storage.listStreamTypes()) {
    for await (const body of archiving.segmentsOf(streamType)) {
      signal?.throwIfAborted()
      if (body.state === 'writing') continue
      count++
      events += body.events
      const checked = await archiving.check(body).catch((error) => {
        if (!isStoreError(error, 'object-damaged')) throw error
        const { key, reason } = error as ObjectDamaged
        damaged.push({ key, reason })
        return undefined
      })
      if (checked === undefined || checked.segment.object === body.object) continue
      for (const key of Object.values(segmentKeys(checked.segment))) moved.add(key)
    }
  }
  for await (const { key } of listObjects(objects, 'segments/')) {
    signal?.throwIfAborted()
    const [id = ''] = (key.split('/').at(-1) ?? '').split('.')
    const [document] = await storage.getDocuments([segmentDocument(id)])
    const keys = document && Object.values(segmentKeys(segmentBodyOf(document)))
    if (!keys?.includes(key) && !moved.has(key)) unknown.push(key)
  }
  return { segments: count, events, damaged, unknown }
}
