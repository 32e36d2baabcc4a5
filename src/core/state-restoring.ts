/**
 * Putting a state snapshot's views back. Everything is read and checked first. Then a version is taken out of use, its views
 * are erased, and those of the snapshot are written under the lease of its runner, which goes on from the snapshot's
 * position. Where that breaks off, the runner finds views that are to be erased, and builds them from the log.
 */
import { errorOf } from './append.ts'
import type { Background } from './background.ts'
import type { Packed } from './backup-chain.ts'
import { changeState, withState } from './build.ts'
import { type Checkpoint, checkpointChange, checkpointOf, checkpointPlace, readCheckpoint } from './checkpoint.ts'
import { putDocument } from './document.ts'
import { canonicalJson } from './encoding.ts'
import { eraseViews } from './erase-views.ts'
import { InvalidArgument, LogDiverged, ObjectDamaged, PositionBeyondHead, StoreBusy } from './errors.ts'
import { linkWrites, type ViewBody } from './fold.ts'
import { bytesOf, commitBytes, commitItems, itemsOf } from './folder.ts'
import { forgottenSince } from './forgotten-since.ts'
import { type Lease, takeLease } from './lease.ts'
import { limits } from './limits.ts'
import { getObject, type ObjectStore } from './object-store.ts'
import { type ParkedView, parkedViews, parkWrites } from './parked-view.ts'
import { collectionsOf, type Shape } from './projection.ts'
import { register } from './projection-state.ts'
import { refoldOrEmpty } from './renew.ts'
import { linesOf } from './segment.ts'
import type { ViewLine } from './state-forgetting.ts'
import { entryAt, manifestKey, type ProjectionManifest, type StateManifest } from './state-snapshot.ts'
import type { DocumentWrite, Storage } from './storage.ts'
import { formatInstant } from './time.ts'
import { backoffMs, sleep } from './turn.ts'

export type StateRestoring = Background & { readonly objects: ObjectStore; readonly shapes: readonly Shape[] }

export interface Chosen {
  readonly shape: Shape
  readonly manifest: ProjectionManifest
}

/** Which projections are to be restored. Throws `InvalidArgument` for one that is not in it, or is defined otherwise here. */
export function chosenOf(
  { projections, number }: StateManifest,
  shapes: readonly Shape[],
  names: readonly string[] = projections.map(({ name }) => name),
): readonly Chosen[] {
  return names.map((name) => {
    const manifest = projections.find((one) => one.name === name)
    const wrong = (reason: string) => new InvalidArgument('projections', reason)
    if (manifest === undefined) {
      const known = projections.map((one) => one.name).join(', ') || 'none'
      throw wrong(`state snapshot ${number} has no views of "${name}"; it has: ${known}`)
    }
    const { version, facts } = manifest
    const mine = shapes.filter((one) => one.name === name)
    const shape = mine.find((one) => one.version === version)
    if (shape === undefined) {
      const here = mine.map((one) => `version ${one.version}`).join(', ') || 'none'
      throw wrong(`state snapshot ${number} has version ${version} of "${name}", the store was opened with ${here}`)
    }
    if (canonicalJson(shape.facts) !== canonicalJson(facts)) {
      throw wrong(`version ${version} of "${name}" is defined otherwise than when state snapshot ${number} was taken`)
    }
    return { shape, manifest }
  })
}

/** Throws `PositionBeyondHead` or `LogDiverged` where the snapshot is of another log, `ObjectDamaged`; changes nothing. */
export async function checkChosen(
  { storage, objects }: Pick<StateRestoring, 'storage' | 'objects'>,
  { number, chosen }: { readonly number: number; readonly chosen: readonly Chosen[] },
  signal: AbortSignal | undefined,
): Promise<void> {
  const object = `"${manifestKey(number)}" in ${objects.name}`
  for (const { manifest } of chosen) await checkLog(storage, manifest, object)
  for (const { manifest } of chosen) {
    for (const packed of [...manifest.chunks, ...manifest.parked]) {
      signal?.throwIfAborted()
      await linesIn(objects, packed)
    }
  }
}

async function checkLog(storage: Storage, { position, entry }: ProjectionManifest, object: string): Promise<void> {
  const { head } = await storage.readLog({ after: 0, direction: 'backwards', limit: 1 })
  if (position > head) throw new PositionBeyondHead({ position, head, object })
  if ((await entryAt(storage, position)) === entry) return
  const range = { after: position - 1, until: position, direction: 'forwards', limit: 1 } as const
  const [record] = (await storage.readLog(range)).records
  throw new LogDiverged({ position, stream: record?.stream ?? '', revision: record?.revision ?? 0, object })
}

interface ParkedLine {
  readonly key: string
  readonly body: ParkedView
}

/** Throws `ObjectDamaged`. */
async function linesIn<Line extends ViewLine | ParkedLine>(
  objects: ObjectStore,
  packed: Packed,
): Promise<readonly Line[]> {
  const lines = await linesOf({ ...packed, place: objects.name, bytes: await getObject(objects, packed.key) })
  return lines.map((line, index) => {
    try {
      const { key, ...rest } = JSON.parse(line) as Line
      if (typeof key === 'string' && Object.values(rest).every((part) => typeof part === 'object')) {
        return { key, ...rest } as Line
      }
    } catch {}
    throw new ObjectDamaged({ key: packed.key, place: objects.name, reason: `line ${index + 1} is no view` })
  })
}

/** `from the log`: two of the views claim one unique value, for they were written down at two moments; its runner builds it. */
export async function restoreOne(
  restoring: StateRestoring,
  { shape, manifest }: Chosen,
  told: (views: number) => void,
): Promise<'restored' | 'from the log'> {
  const { storage, objects } = restoring
  await register(restoring, [shape])
  const lease = await takeOver(restoring, shape)
  try {
    await eraseViews(storage, shape, lease.lost)
    await storage.declare([...collectionsOf(shape), parkedViews(shape)])
    const writer = createWriter(restoring, lease)
    const refold = new Set<string>()
    const { position } = manifest
    const { masked } = await forgottenSince(storage, { position, streams: [], subjects: [] })
    let views = 0
    for (const packed of manifest.chunks) {
      const lines = await linesIn<ViewLine>(objects, packed)
      const closed = await closedAmong(storage, shape.holds === 'content' ? lines.flatMap(streamsOf) : [])
      for (const line of lines) {
        const streams = streamsOf(line)
        const open = streams.filter((stream) => !closed.has(stream))
        const asItWas = open.length === streams.length && !streams.some((stream) => masked.has(stream))
        // What a stream has left in it that was forgotten since, or in which a subject was, must not come back.
        if (line.body && asItWas) await writer.add(viewOf(shape, { ...line, body: line.body }))
        else refold.add(line.key)
        if (shape.keyed === 'by-function' && shape.holds === 'content') {
          for (const stream of open) await writer.add(linkWrites(shape, { stream, key: line.key }))
        }
      }
      views += lines.length
      told(views)
    }
    for (const packed of manifest.parked) {
      const lines = await linesIn<ParkedLine>(objects, packed)
      const closed = await closedAmong(
        storage,
        lines.map(({ body }) => body.stream),
      )
      const isGone = (stream: string) => closed.has(stream) || masked.has(stream)
      for (const { key, body } of lines) {
        if (isGone(body.stream)) refold.add(key)
        else await writer.add(parkWrites(shape, body, undefined))
      }
    }
    if (!(await writer.end())) return 'from the log'
    for (const key of refold) await refoldOrEmpty(restoring, shape, key)
    const whole = await lease.write({
      body: ({ erasing: _, held: __, ...body }) => {
        return { ...body, position, epoch: body.epoch + 1, erased: (body.erased ?? 0) + 1 }
      },
    })
    if (!whole) throw busy(shape)
    return 'restored'
  } finally {
    if (!lease.lost.aborted) await lease.write({ body: ({ held: _, ...body }) => body }).catch(() => false)
    lease.end()
  }
}

/** Whose content it holds, or has held. */
function streamsOf({ body, streams }: ViewLine): readonly string[] {
  return streams ?? Object.keys(body?.revisions ?? {})
}

function viewOf(
  shape: Shape,
  { key, body }: Pick<ViewLine, 'key'> & { readonly body: ViewBody },
): readonly DocumentWrite[] {
  const streams = Object.keys(body.revisions ?? {})
  const held = shape.holds === 'content' && streams.length > 0 ? { streams } : {}
  return putDocument(shape.views, { key, body, ...held, if: { is: 'absent' } })
}

async function closedAmong(storage: Storage, some: readonly string[]): Promise<ReadonlySet<string>> {
  const closed = new Set<string>()
  const streams = new Set(some).values()
  const look = async () => {
    for (const stream of streams) {
      const { head } = await storage.readStream(stream, { after: 0, direction: 'backwards', limit: 1 })
      if (head?.closed) closed.add(stream)
    }
  }
  await Promise.all(Array.from({ length: limits.archiveParallel }, look))
  return closed
}

/** Nobody reads the version, keeps it or runs it any more; whoever takes the lease after this process erases its views. */
async function takeOver(restoring: StateRestoring, shape: Shape): Promise<Lease<Checkpoint>> {
  const { storage, queue, making, clock } = restoring
  const { name, version } = shape
  for (let tries = 1; tries <= limits.foldTries; tries++) {
    await changeState(restoring, name, async (known) => {
      const { reads, before, ...rest } = withState(known, version, 'building')
      const begun = ({ until: _, paused: __, known: ___, held: ____, ...body }: Checkpoint) => {
        return { ...body, epoch: body.epoch + 1, building: true, erasing: true }
      }
      return {
        state: {
          ...rest,
          ...(reads !== undefined && reads !== version && { reads }),
          ...(before !== undefined && before !== version && { before }),
        },
        with: (await checkpointChange(storage, shape, begun)).writes,
      }
    })
    const document = await readCheckpoint(storage, shape)
    const body = document && checkpointOf(document)
    if (document && body && !body.held) {
      const held = { owner: making.newId(), since: formatInstant(clock()), termMs: limits.leaseMs, beat: 0 }
      const next = { body: { ...body, held }, previous: document }
      const leasing = { storage, queue, newId: making.newId }
      const lease = await takeLease<Checkpoint>(leasing, checkpointPlace(shape), next)
      if (lease) return lease
    }
    // Its runner was faster, and is told again.
    await sleep(backoffMs(tries, limits.foldBackoffMs, limits.foldBackoffMsMax))
  }
  throw busy(shape)
}

function busy({ name }: Shape): StoreBusy {
  return new StoreBusy(`Another process builds or drops projection "${name}"`, limits.workPollMs)
}

/** Puts documents in commits that every storage takes, under the lease. */
function createWriter({ storage, queue, making }: Background, lease: Lease<Checkpoint>) {
  const most = storage.limits.commitDocuments - 1
  let batch: DocumentWrite[] = []
  let keys = new Set<string>()
  let [items, bytes] = [0, 0]
  let clash = false

  async function flush(): Promise<void> {
    const documents = batch
    batch = []
    keys = new Set()
    ;[items, bytes] = [0, 0]
    for (let tries = 1; documents.length > 0 && !clash; tries++) {
      lease.lost.throwIfAborted()
      const { check } = lease
      const outcome = await queue.add({ id: making.newId(), appends: [], documents: [check, ...documents] })
      if (outcome.outcome === 'committed') return
      if (outcome.outcome !== 'document-conflict') throw errorOf(outcome)
      if (outcome.key.collection === check.key.collection && tries <= limits.foldTries) await lease.look()
      else clash = true
    }
  }

  return {
    async add(unit: readonly DocumentWrite[]): Promise<void> {
      const weight = unit.reduce((sum, write) => sum + itemsOf(write), 0)
      const length = unit.reduce((sum, write) => sum + bytesOf(write), 0)
      const isFull = batch.length + unit.length > most || items + weight > commitItems || bytes + length > commitBytes
      // A commit writes a key once; two that claim one value are told apart by the next commit's guard.
      if (isFull || unit.some(({ key }) => keys.has(idOf(key)))) await flush()
      batch.push(...unit)
      for (const { key } of unit) keys.add(idOf(key))
      items += weight
      bytes += length
    },
    /** False where two documents claim one key. */
    async end(): Promise<boolean> {
      await flush()
      return !clash
    },
  }
}

function idOf({ collection, key }: DocumentWrite['key']): string {
  return `${collection}\n${key}`
}
