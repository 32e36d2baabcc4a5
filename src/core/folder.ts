/** Folds batches of the log into views and commits them under the runner's lease; parks the entities whose handlers fail. */
import { errorOf } from './append.ts'
import type { Background } from './background.ts'
import type { Batch } from './batch.ts'
import { type Checkpoint, checkpointKey } from './checkpoint.ts'
import { type FoldedEntity, foldEntity, foldEntityInTime } from './entity.ts'
import { DocumentConflict, isStoreError, LimitExceeded } from './errors.ts'
import type { Recorded } from './event.ts'
import { failureOf } from './failure.ts'
import { type Folding, type LinkBody, linkKey, linksRevision, linkWrites, loadViews } from './fold.ts'
import type { Lease } from './lease.ts'
import { limits } from './limits.ts'
import { mend } from './mend.ts'
import { allParked, type ParkedView, parkWrites, type StoredParked, unparkWrite } from './parked-view.ts'
import type { Shape } from './projection.ts'
import { eventsOf, linksOf } from './refold.ts'
import type { CommitOutcome, DocumentKey, DocumentWrite } from './storage.ts'
import { createRecentTimelines } from './timeline.ts'
import { backoffMs, sleep } from './turn.ts'

export interface Folder {
  /**
   * Everything of the batch is in the views, or parked, and the checkpoint behind it. Throws `Overtaken` where others have
   * changed what it goes by, and it is to be done again from the checkpoint.
   */
  fold(batch: Batch, epoch: number): Promise<void>
  /** Parks the one entity of the batch, for what it makes cannot be written. */
  park(batch: Batch, epoch: number, error: unknown): Promise<void>
}

export interface FoldingOptions {
  /** Called for each view that is folded anew, with the last event in it and what folding took: reading, and the handlers. */
  readonly onFolded?: (fold: {
    readonly projection: string
    readonly version: number
    readonly key: string
    readonly stream: string
    readonly revision: number
    readonly ms: number
  }) => void
  /**
   * Called when a view is parked, with what the last try has thrown; once more where somebody else has changed what the
   * batch goes by, and it is folded anew.
   */
  readonly onParked?: (
    view: Pick<ParkedView, 'key' | 'stream' | 'revision' | 'tries'> & { readonly version: number },
    error: unknown,
  ) => void
}

interface FolderOptions extends FoldingOptions {
  readonly lease: Lease<Checkpoint>
}

/** `refused`: what is to be written is not possible now: two views want one value, or it is too much at once. */
export class Overtaken extends Error {
  readonly why: 'changed' | 'refused'
  constructor(why: 'changed' | 'refused', cause: unknown) {
    super('What the batch was folded over has changed', { cause })
    this.why = why
  }
}

/** What is written together or not at all. */
type Unit = readonly DocumentWrite[]

/** Views that are held in memory between being read and being written. */
const loadedAtOnce = 500
/** Rows or items that a commit may touch, which is what the narrowest storage takes in a transaction, and bytes. */
export const commitItems = 90
export const commitBytes = 2_097_152

export function createFolder(
  background: Background,
  shape: Shape,
  { lease, onFolded, onParked }: FolderOptions,
): Folder {
  const { storage, queue, making, clock } = background
  const fence = checkpointKey(shape)
  const hasUnique = shape.views.indexes.some(({ unique }) => unique)
  const recent = createRecentTimelines()
  let parked: ReadonlyMap<string, StoredParked> | undefined

  async function fold(batch: Batch, epoch: number): Promise<void> {
    parked ??= new Map((await allParked(storage, shape)).map((one) => [one.parked.key, one]))
    const links = await linksOfForgotten(batch.forgotten)
    const mended = new Set(links.map(({ key }) => key))
    // In the order in which they lie beside each other, whatever the storage: few pages are touched at a time.
    const keys = [...batch.entities.keys()].filter((key) => !mended.has(key)).sort()
    const failing: string[] = []
    let units: Unit[] = []
    for (let start = 0; start < keys.length; start += loadedAtOnce) {
      for (const folded of await foldKeys(batch, keys.slice(start, start + loadedAtOnce))) {
        if (folded.failed) failing.push(folded.key)
        else if (folded.writes.length > 0) units.push(folded.writes)
      }
    }
    for (const key of mended) units.push(await mendKey(key, batch))
    if (shape.keyed === 'by-function') {
      units.push(...links.map((link): Unit => [{ kind: 'delete', key: linkKey(shape, link), if: { is: 'anything' } }]))
    }
    if (failing.length > 0) {
      // The others do not wait for those that fail.
      await commitAll(packed(units), epoch)
      units = [...(await foldFailing(batch, failing))]
    }
    const commits = packed(units)
    const last = commits.pop() ?? []
    await commitAll(commits, epoch)
    await write(last, epoch, upTo(batch))
  }

  async function park(batch: Batch, epoch: number, error: unknown): Promise<void> {
    for (const [key, [event]] of batch.entities) {
      if (event) await write(parkFailed(batch, { key, event, error, tries: 1 }), epoch, upTo(batch))
    }
  }

  /** Of entities that are parked only what waits for them is written. */
  async function foldKeys(batch: Batch, keys: readonly string[]): Promise<readonly FoldedEntity[]> {
    const folded: FoldedEntity[] = []
    for (const view of await loadLinked(batch, await loadViews(storage, shape, keys))) {
      const events = batch.entities.get(view.key) ?? []
      const known = parked?.get(view.key)
      const started = performance.now()
      if (known) folded.push({ key: view.key, writes: waitWrites(known, events) })
      else if (shape.latenessMs === undefined) folded.push(foldEntity(shape, view, events))
      else folded.push(await foldEntityInTime(shape, view, { events, read, recent }))
      const last = events.at(-1)
      if (onFolded && last && !known && !folded.at(-1)?.failed) {
        const { name: projection, version } = shape
        const { stream, revision } = last
        onFolded({ projection, version, key: view.key, stream, revision, ms: performance.now() - started })
      }
    }
    return folded
  }

  function read(stream: string, range: { readonly after: number; readonly until: number }): AsyncIterable<Recorded> {
    return eventsOf({ ...background.reading, reads: storage }, stream, range)
  }

  /** Of inline totals by a function the links know what a view holds. */
  async function loadLinked(batch: Batch, views: readonly Folding[]): Promise<readonly Folding[]> {
    if (!linksRevision(shape)) return views
    const pairs = views.flatMap(({ key }) => {
      const streams = new Set((batch.entities.get(key) ?? []).map(({ stream }) => stream))
      return [...streams].map((stream) => ({ stream, key }))
    })
    const documents = await storage.getDocuments(pairs.map((pair) => linkKey(shape, pair)))
    const linked = new Map<string, Record<string, number>>()
    for (const [index, { stream, key }] of pairs.entries()) {
      const body = documents[index]?.body
      const { revision = 0 } = body === undefined ? {} : (JSON.parse(body) as Pick<LinkBody, 'revision'>)
      linked.set(key, { ...linked.get(key), [stream]: revision })
    }
    return views.map((view) => ({ ...view, linked: linked.get(view.key) ?? {} }))
  }

  function waitWrites(known: StoredParked, events: readonly Recorded[]): Unit {
    const later = events.filter(({ position = 0 }) => position > known.parked.at)
    if (later.length === 0) return []
    parked = undefined
    const { key, waiting } = known.parked
    const at = later.at(-1)?.position ?? known.parked.at
    return [
      ...parkWrites(shape, { ...known.parked, waiting: waiting + later.length, at }, known),
      ...unfoldedLinks(key, later),
    ]
  }

  /** So that it is known which streams to make the view of, once it can be. */
  function unfoldedLinks(key: string, events: readonly Recorded[]): Unit {
    if (shape.keyed === 'by-stream' || shape.holds === 'totals') return []
    return [...new Set(events.map(({ stream }) => stream))].flatMap((stream) => linkWrites(shape, { stream, key }))
  }

  /** Tries again, for what fails may be passing; then parks. */
  async function foldFailing(batch: Batch, failing: readonly string[]): Promise<readonly Unit[]> {
    const units: Unit[] = []
    let left = failing
    for (let tries = 2; left.length > 0; tries++) {
      await sleep(backoffMs(tries - 1, limits.parkBackoffMs, limits.subscribeBackoffMsMax), lease.lost)
      const again = await foldKeys(batch, left)
      left = []
      const still: string[] = []
      for (const { key, writes, failed } of again) {
        if (failed === undefined) units.push(writes)
        else if (tries < limits.parkTries) still.push(key)
        else units.push([...writes, ...parkFailed(batch, { key, ...failed, tries })])
      }
      left = still
    }
    return units
  }

  function parkFailed(
    batch: Batch,
    {
      key,
      event,
      error,
      tries,
    }: { readonly key: string; readonly event: Recorded; readonly error: unknown; readonly tries: number },
  ): Unit {
    const actual = (parked?.size ?? 0) + 1
    if (actual > limits.parkedViews) {
      const facts = { limit: 'parkedViews', allowed: limits.parkedViews, actual }
      throw Object.assign(new LimitExceeded(facts, `projection "${shape.name}"`), { cause: error })
    }
    const events = batch.entities.get(key) ?? []
    const later = events.slice(events.indexOf(event) + 1)
    const { stream, revision, type, position = 0 } = event
    const at = later.at(-1)?.position ?? position
    const failure = failureOf(error, clock())
    onParked?.({ version: shape.version, key, stream, revision, tries }, error)
    parked = undefined
    return [
      ...parkWrites(shape, { key, stream, revision, type, tries, failure, waiting: later.length, at }, undefined),
      ...unfoldedLinks(key, [event, ...later]),
    ]
  }

  async function linksOfForgotten(streams: readonly string[]): Promise<readonly LinkBody[]> {
    if (shape.holds === 'totals') return []
    if (shape.keyed === 'by-stream') {
      return streams.map((stream) => ({ stream, key: stream.slice(stream.indexOf('/') + 1) }))
    }
    const links: LinkBody[] = []
    for (const stream of streams) {
      for await (const link of linksOf(storage, shape, { index: 'stream', value: stream })) links.push(link)
    }
    return links
  }

  /** What remains of a view once one of its streams was forgotten. */
  async function mendKey(key: string, batch: Batch): Promise<Unit> {
    recent.drop(key)
    const [stored = { key, body: {} }] = await loadViews(storage, shape, [key])
    const unlinked = (batch.entities.get(key) ?? []).map(({ stream }) => stream)
    const { writes, failed } = await mend(background, shape, { stored, position: batch.position, unlinked })
    const known = parked?.get(key)
    if (failed === undefined) {
      if (known) parked = undefined
      return known ? [...writes, unparkWrite(shape, known)] : writes
    }
    const { stream, revision, type } = failed.event
    const told: ParkedView = {
      ...{ key, stream, revision, type, tries: 1, failure: failureOf(failed.error, clock()), waiting: 0 },
      at: batch.position,
    }
    parked = undefined
    return [...writes, ...parkWrites(shape, told, known)]
  }

  async function commitAll(commits: readonly Unit[], epoch: number): Promise<void> {
    for (let start = 0; start < commits.length; start += limits.catchUpCommits) {
      await Promise.all(commits.slice(start, start + limits.catchUpCommits).map((documents) => offer(documents, epoch)))
    }
  }

  async function offer(documents: Unit, epoch: number): Promise<void> {
    // A commit puts something; what only deletes goes with the checkpoint.
    if (!documents.some(({ kind }) => kind === 'put')) return write(documents, epoch, (body) => body)
    for (let tries = 1; ; tries++) {
      const outcome = await queue.add({ id: making.newId(), appends: [], documents: [lease.check, ...documents] })
      if (outcome.outcome === 'committed') return
      if (isKey(outcome, fence) && tries <= limits.foldTries) {
        // A heartbeat, or somebody who wants something else.
        await lease.look()
        checkCurrent(lease.body, epoch)
        continue
      }
      throw refusalOf(outcome)
    }
  }

  async function write(documents: Unit, epoch: number, next: (body: Checkpoint) => Checkpoint): Promise<void> {
    try {
      const written = await lease.write({
        body: (body) => {
          checkCurrent(body, epoch)
          const { trouble: _, ...rest } = next(body)
          return rest
        },
        documents,
      })
      if (!written) throw new Overtaken('changed', new Error('The lease was lost'))
    } catch (error) {
      if (error instanceof DocumentConflict) throw new Overtaken(isUnique(error) ? 'refused' : 'changed', error)
      if (isStoreError(error, 'limit-exceeded')) throw new Overtaken('refused', error)
      throw error
    }
  }

  /** Into commits that every storage takes. Throws where views of the batch pass a unique value on, or both want it. */
  function packed(units: readonly Unit[]): Unit[] {
    const most = storage.limits.commitDocuments - 1
    const commits: DocumentWrite[][] = []
    const values = new Set<string>()
    let [items, bytes] = [0, 0]
    for (const unit of units) {
      if (unit.length === 0) continue
      for (const { key } of hasUnique ? unit.filter((write) => isUnique(write.key)) : []) {
        const id = `${key.collection}\n${key.key}`
        if (values.has(id)) throw new Overtaken('refused', new DocumentConflict(key))
        values.add(id)
      }
      const [weight, length] = [sum(unit, itemsOf), sum(unit, bytesOf)]
      const last = commits.at(-1)
      if (
        last === undefined ||
        last.length + unit.length > most ||
        items + weight > commitItems ||
        bytes + length > commitBytes
      ) {
        commits.push([...unit])
        ;[items, bytes] = [weight, length]
      } else {
        last.push(...unit)
        items += weight
        bytes += length
      }
    }
    return commits
  }

  return { fold, park }
}

function upTo({ position }: Batch): (body: Checkpoint) => Checkpoint {
  return (body) => (body.position < position ? { ...body, position } : body)
}

function checkCurrent({ epoch, paused }: Checkpoint, expected: number): void {
  if (epoch !== expected || paused) throw new Overtaken('changed', new Error('Somebody wants something else of it'))
}

function refusalOf(outcome: CommitOutcome): Error {
  if (outcome.outcome === 'committed') throw new TypeError('It is no refusal')
  const error = errorOf(outcome)
  switch (outcome.outcome) {
    case 'document-conflict':
      return new Overtaken(isUnique(outcome.key) ? 'refused' : 'changed', error)
    case 'limit':
      return new Overtaken('refused', error)
    case 'conflict':
    case 'forgotten':
    case 'condition-failed':
    case 'id-reused':
    case 'busy':
    case 'failed':
      return error
  }
}

function isKey(outcome: CommitOutcome, { collection, key }: DocumentKey): boolean {
  return outcome.outcome === 'document-conflict' && outcome.key.collection === collection && outcome.key.key === key
}

function isUnique({ collection }: { readonly collection: string }): boolean {
  return collection.includes('\u0001')
}

function sum(unit: Unit, of: (write: DocumentWrite) => number): number {
  return unit.reduce((total, write) => total + of(write), 0)
}

export function itemsOf(write: DocumentWrite): number {
  if (write.kind !== 'put') return 2
  return 1 + write.index.length + (write.words?.length ?? 0) + (write.streams?.length ?? 0)
}

export function bytesOf(write: DocumentWrite): number {
  return write.kind === 'put' ? write.body.length : 0
}
