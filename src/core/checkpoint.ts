/**
 * How far the log was folded into one version of a projection: a document that its runner leases. It is the fence of all that
 * the runner writes, so whoever wants something else of it (a pause, a rebuild, forgetting) changes this document, and what
 * the runner has read before then is written no more.
 */
import { errorOf } from './append.ts'
import type { Background } from './background.ts'
import { guardOf, putDocument } from './document.ts'
import type { Failure } from './failure.ts'
import type { Leased, Place } from './lease.ts'
import { limits } from './limits.ts'
import { streamTypeOf } from './name.ts'
import { listStates, projectionStates } from './projection-state.ts'
import type { Document, DocumentKey, DocumentWrite, Storage } from './storage.ts'
import { backoffMs, sleep } from './turn.ts'

export interface Checkpoint extends Leased {
  readonly kind: 'checkpoint'
  readonly name: string
  readonly version: number
  readonly logId: string
  /** Everything up to here is in the views. */
  readonly position: number
  /** Changes where what was read before must not be written any more. */
  readonly epoch: number
  /** Of a build: once everything up to here is in the views, they are whole. */
  readonly until?: number | undefined
  /** Every process knows by now that there is this version. */
  readonly known?: boolean | undefined
  /** Asked for, and not whole yet. */
  readonly building?: boolean | undefined
  readonly paused?: boolean | undefined
  /** The views are to be erased before anything is folded. */
  readonly erasing?: boolean | undefined
  /** How often they were. */
  readonly erased?: number | undefined
  /** Why nothing moves on. */
  readonly trouble?: Failure | undefined
}

export interface VersionName {
  readonly name: string
  readonly version: number
}

export function checkpointPlace({ name, version }: VersionName): Place {
  return { collection: projectionStates, key: `checkpoint/${name}@${version}` }
}

export function checkpointKey(of: VersionName): DocumentKey {
  return { collection: projectionStates.collection, key: checkpointPlace(of).key }
}

export function newCheckpoint({ name, version }: VersionName, logId: string): Checkpoint {
  return { kind: 'checkpoint', name, version, logId, position: 0, epoch: 0 }
}

export function checkpointOf({ body }: Document): Checkpoint {
  return JSON.parse(body) as Checkpoint
}

/** Strongly consistent; absent where nobody has begun. */
export async function readCheckpoint(
  storage: Pick<Storage, 'getDocuments'>,
  of: VersionName,
): Promise<Document | undefined> {
  const [document] = await storage.getDocuments([checkpointKey(of)])
  return document
}

/** What is written to change it, guarded by what it is now; nothing where `change` gives the same body. */
export async function checkpointChange(
  storage: Pick<Storage, 'getDocuments' | 'readLog'>,
  of: VersionName,
  change: (checkpoint: Checkpoint) => Checkpoint,
): Promise<{ readonly next: Checkpoint; readonly writes: readonly DocumentWrite[] }> {
  const document = await readCheckpoint(storage, of)
  const body = document ? checkpointOf(document) : newCheckpoint(of, await logIdOf(storage))
  const next = change(body)
  if (next === body) return { next, writes: [] }
  const guard = guardOf(document)
  return { next, writes: putDocument(projectionStates, { key: checkpointPlace(of).key, body: next, if: guard }) }
}

/** Changes what the version's runner goes by, whoever holds it. `change` may be called again; the same body changes nothing. */
export async function changeCheckpoint(
  { storage, queue, making }: Pick<Background, 'storage' | 'queue' | 'making'>,
  of: VersionName,
  change: (checkpoint: Checkpoint) => Checkpoint,
): Promise<Checkpoint> {
  for (let tries = 1; ; tries++) {
    const { next, writes } = await checkpointChange(storage, of, change)
    if (writes.length === 0) return next
    const outcome = await queue.add({ id: making.newId(), appends: [], documents: writes })
    if (outcome.outcome === 'committed') return next
    // Its runner writes it all the time.
    if (outcome.outcome !== 'document-conflict' || tries >= limits.foldTries) throw errorOf(outcome)
    await sleep(backoffMs(tries, limits.foldBackoffMs, limits.foldBackoffMsMax))
  }
}

/**
 * From here on nothing is written that a runner has read of the stream before: it is closed, and its documents are about to
 * be erased.
 */
export async function overtakeRunners(
  tools: Pick<Background, 'storage' | 'queue' | 'making'>,
  stream: string,
): Promise<void> {
  for (const { state } of await listStates(tools.storage)) {
    for (const { version, facts } of state.versions) {
      if (facts.streamTypes.length > 0 && !facts.streamTypes.includes(streamTypeOf(stream))) continue
      const of = { name: state.name, version }
      // Whoever has not begun yet has read nothing.
      if ((await readCheckpoint(tools.storage, of)) === undefined) continue
      await changeCheckpoint(tools, of, (body) => ({ ...body, epoch: body.epoch + 1 }))
    }
  }
}

export async function logIdOf(storage: Pick<Storage, 'readLog'>): Promise<string> {
  return (await storage.readLog({ after: 0, direction: 'backwards', limit: 1 })).logId
}
