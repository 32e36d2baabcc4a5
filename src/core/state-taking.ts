/**
 * Taking a state snapshot, while others write. Each projection is written down from the position up to which its views hold
 * all events; a view that is written meanwhile may hold later ones, and says so, so that whoever folds on passes them over.
 */
import type { Background } from './background.ts'
import type { Packed } from './backup-chain.ts'
import { isBuilt } from './build.ts'
import { type Checkpoint, checkpointOf, readCheckpoint, type VersionName } from './checkpoint.ts'
import { StoreBusy } from './errors.ts'
import { forgettingNow, forgottenSince } from './forgotten-since.ts'
import { derivedId } from './id.ts'
import { limits } from './limits.ts'
import type { ObjectStore } from './object-store.ts'
import { parkedViews } from './parked-view.ts'
import { ProjectionNotFound, ViewNotReady } from './projection-errors.ts'
import { listStates, type StoredState, type VersionStatus } from './projection-state.ts'
import { forgetInStates } from './state-forgetting.ts'
import {
  entryAt,
  folderOf,
  listStateObjects,
  manifestKey,
  type ProjectionManifest,
  packLines,
  printManifest,
  readManifest,
  type StateManifest,
} from './state-snapshot.ts'
import { formatInstant } from './time.ts'

export interface StatesTakeOptions {
  /** Default: all that keep views. */
  readonly projections?: readonly string[]
  /** Ends it; nothing of it counts then. */
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: { readonly projection: string; readonly views: number }) => void
}

type Taking = Pick<Background, 'storage' | 'making' | 'clock'> & { readonly objects: ObjectStore }

interface Found {
  readonly state: StoredState
  readonly version: VersionStatus
  readonly checkpoint: Checkpoint | undefined
}

/** Throws `ViewNotReady` for a projection that was named and is not built, `StoreBusy` where one is built anew meanwhile. */
export async function takeStates(taking: Taking, options: StatesTakeOptions): Promise<StateManifest> {
  const { storage, making, clock, objects } = taking
  const { signal } = options
  const names = options.projections ?? (await listStates(storage)).map(({ state }) => state.name).sort()
  const { numbers } = await listStateObjects(objects)
  const since = await forgettingNow(storage)
  const number = (numbers.at(-1) ?? 0) + 1
  const folder = folderOf(number, derivedId(['states', making.newId()]))
  const written: string[] = []
  const projections: ProjectionManifest[] = []
  const leftOut: { name: string; reason: string }[] = []
  try {
    for (const name of names) {
      const found = await find(taking, name)
      const reason = reasonNot(found)
      if (reason === undefined) projections.push(await takeOne(taking, found, { ...options, folder, written }))
      else if (options.projections === undefined) leftOut.push({ name, reason })
      else throw new ViewNotReady({ projection: name, version: found.version.version })
    }
    const { logId } = await storage.readLog({ after: 0, direction: 'backwards', limit: 1 })
    const position = projections.reduce((least, one) => Math.min(least, one.position), Number.POSITIVE_INFINITY)
    const manifest: StateManifest = {
      ...{ format: 1, logId, number, madeAt: formatInstant(clock()), projections, leftOut },
      position: Number.isFinite(position) ? position : 0,
    }
    signal?.throwIfAborted()
    const { outcome } = await objects.put(manifestKey(number), await printManifest(manifest), { if: 'absent' })
    if (outcome === 'conflict')
      throw new StoreBusy(`Another process has taken state snapshot ${number} meanwhile`, 1_000)
  } catch (error) {
    for (const key of written) await objects.delete(key).catch(() => {})
    throw error
  }
  // What was forgotten meanwhile may have been written down before, and looked for here before it was there.
  const { closed, masked } = await forgottenSince(storage, since)
  for (const stream of closed) await forgetInStates(objects, { stream, how: 'closed' }, making)
  for (const stream of masked) await forgetInStates(objects, { stream, how: 'masked' }, making)
  return readManifest(objects, number)
}

async function find({ storage }: Pick<Taking, 'storage'>, name: string): Promise<Found> {
  const states = await listStates(storage)
  const state = states.find((one) => one.state.name === name)
  const version = state?.state.versions.find((one) => one.version === state.state.reads) ?? state?.state.versions.at(-1)
  if (state === undefined || version === undefined) {
    throw new ProjectionNotFound({ projection: name, known: states.map((one) => one.state.name) })
  }
  const document = await readCheckpoint(storage, { name, version: version.version })
  return { state, version, checkpoint: document && checkpointOf(document) }
}

function reasonNot({ state, version, checkpoint }: Found): string | undefined {
  const built = state.state.reads === version.version && isBuilt(state.state, { version: version.version, checkpoint })
  if (!built) return 'it is not built'
  const { lifecycle, keyed, holds } = version.facts
  // What such a view holds is told by documents beside it, and both cannot be read in one moment.
  if (lifecycle === 'inline' && keyed === 'by-function' && holds === 'totals') return 'it is of inline totals by a key'
  return undefined
}

interface TakingOne extends StatesTakeOptions {
  readonly folder: string
  readonly written: string[]
}

async function takeOne(taking: Taking, found: Found, one: TakingOne): Promise<ProjectionManifest> {
  const { name } = found.state.state
  for (let tries = 1, now = found; tries <= limits.statesTries; tries++) {
    const { version, facts } = now.version
    const position = await positionOf(taking, now)
    const of: VersionName = { name, version }
    const place = `${one.folder}/${name}=${version}-${tries}`
    let views = 0
    const told = (lines: number) => {
      views += lines
      one.onProgress?.({ projection: name, views })
    }
    const chunks = await writeAll(taking, { ...one, place, collection: `${name}@${version}`, told })
    const { collection } = parkedViews(of)
    const parked = await writeAll(taking, { ...one, place: `${place}-parked`, collection, told: () => {} })
    const then = await find(taking, name)
    if (isSame(now, then)) {
      return { name, version, position, views, facts, entry: await entryAt(taking.storage, position), chunks, parked }
    }
    now = then
    if (reasonNot(now) !== undefined) break
  }
  throw new StoreBusy(`Projection "${name}" is built anew meanwhile`, limits.workPollMs)
}

async function positionOf({ storage }: Taking, { version, checkpoint }: Found): Promise<number> {
  if (version.facts.lifecycle === 'async') return checkpoint?.position ?? 0
  return (await storage.readLog({ after: 0, direction: 'backwards', limit: 1 })).head
}

/** Nobody has erased its views since, and put others in their place. */
function isSame(before: Found, after: Found): boolean {
  const { state, checkpoint } = after
  return (
    state.version === before.state.version && checkpoint?.erased === before.checkpoint?.erased && !checkpoint?.erasing
  )
}

interface Writing extends TakingOne {
  readonly place: string
  readonly collection: string
  readonly told: (lines: number) => void
}

async function writeAll({ storage, objects }: Taking, writing: Writing): Promise<readonly Packed[]> {
  const { place, collection, written, signal, told } = writing
  const chunks: Packed[] = []
  let lines: string[] = []
  let size = 0
  const flush = async () => {
    if (lines.length === 0) return
    const key = `${place}/${String(chunks.length + 1).padStart(6, '0')}.ndjson.gz`
    written.push(key)
    chunks.push(await packLines(objects, key, lines))
    told(lines.length)
    lines = []
    size = 0
  }
  let cursor: string | undefined
  do {
    signal?.throwIfAborted()
    const range = { limit: limits.pageRecords, ...(cursor !== undefined && { cursor }) }
    const page = await storage.queryDocuments({ by: 'collection', collection, ...range })
    for (const { key, body } of page.documents) {
      lines.push(`{"key":${JSON.stringify(key)},"body":${body}}`)
      size += body.length
      if (lines.length >= limits.segmentEvents || size >= limits.segmentBytes) await flush()
    }
    cursor = page.next
  } while (cursor !== undefined)
  await flush()
  return chunks
}
