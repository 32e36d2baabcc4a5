/**
 * Replay that is kept: one view put back to what it was, from where it goes on; or one view, or all, as they were, beside
 * those in use under a label, where nothing is folded into them again.
 */
import { errorOf } from './append.ts'
import { checkObject } from './argument.ts'
import { type Cut, checkCut, scan, viewAsOf } from './as-of.ts'
import { type Background, checkWritable } from './background.ts'
import { keyOf } from './batch.ts'
import { checkpointOf, readCheckpoint } from './checkpoint.ts'
import { commitDocuments } from './commit-documents.ts'
import { checkKey } from './document.ts'
import { foldEntity, foldEvents } from './entity.ts'
import { InvalidArgument } from './errors.ts'
import type { Recorded } from './event.ts'
import { FoldFailed } from './event-time.ts'
import { type Folding, loadViews, viewWrites } from './fold.ts'
import {
  changeReplays,
  checkLabel,
  definedShape,
  eraseLabelled,
  type Replayed,
  readReplays,
  underLabel,
} from './label.ts'
import { limits } from './limits.ts'
import type { Shape } from './projection.ts'
import { failedAt } from './projection-errors.ts'
import type { KnownStates } from './projection-state.ts'
import type { Until } from './read.ts'
import { foldOn } from './refold.ts'
import type { DocumentWrite } from './storage.ts'
import { formatInstant } from './time.ts'
import { backoffMs, sleep } from './turn.ts'
import { shapeRead } from './view.ts'
import { nameOf, type ViewOf } from './view-of.ts'

export interface Replays {
  /**
   * Makes views again as they were, from the log: whatever became of them since, and of their entities, unless those were
   * forgotten. Throws `InvalidArgument` for an instant that is yet to come, or before the first event.
   */
  replay(view: ViewOf<object>, options: ReplayOptions): Promise<ReplayReport>
  /** What lies under the labels of a projection. */
  replays(view: ViewOf<object>): Promise<readonly Replayed[]>
  /** Erases what lies under a label. */
  dropReplay(view: ViewOf<object>, label: string): Promise<void>
}

export interface ReplayOptions {
  /** One view; without it all of them, which needs a label. */
  readonly id?: string
  /** Up to and with a revision (of one view that is made of one stream), or an instant. */
  readonly at?: Until
  /** Only from a revision or an instant on; of one view. */
  readonly from?: Until
  /**
   * Where to: a label, under which it is read as the view `name~label`; or, which is the default, `'into the view'`: it is
   * then what it was, and the next event goes on from there.
   */
  readonly as?: string
  readonly onProgress?: (progress: { readonly position: number; readonly of: number }) => void
  readonly signal?: AbortSignal
}

export interface ReplayReport {
  /** What it is read as. */
  readonly view: string
  readonly views: number
}

type Replaying = Background & { readonly shapes: readonly Shape[]; readonly states: KnownStates }

interface Asked {
  readonly id?: string
  readonly cut: Cut
  readonly options: ReplayOptions
}

export function createReplays(replaying: Replaying): Replays {
  const { storage } = replaying
  return {
    async replay(view, options) {
      checkObject(options, 'options')
      checkWritable(replaying)
      const { id, as = intoTheView, signal } = options
      if (id !== undefined) checkKey(id, 'id')
      const cut = checkCut(options, replaying.clock()) ?? {}
      signal?.throwIfAborted()
      const shape = await shapeRead(replaying, view)
      if (shape.label !== undefined) throw new InvalidArgument('view', 'is a replay itself')
      const asked = { ...(id !== undefined && { id }), cut, options }
      if (as === intoTheView) return putBack(replaying, shape, asked)
      checkLabel(as)
      return putBeside(replaying, shape, { ...asked, label: as })
    },
    async replays(view) {
      return (await readReplays(storage, nameOf(view))).replays
    },
    async dropReplay(view, label) {
      checkWritable(replaying)
      checkLabel(label)
      const name = nameOf(view)
      const known = (await readReplays(storage, name)).replays.find((one) => one.label === label)
      if (known === undefined) throw new InvalidArgument('label', `nothing of "${name}" lies under it`)
      const { views } = underLabel(definedShape(replaying.shapes, known), label)
      // Nobody reads it any more before anything is erased.
      await changeReplays(replaying, name, (all) => [...without(all, label), { ...known, state: 'building' }])
      await eraseLabelled(storage, views)
      await changeReplays(replaying, name, (all) => without(all, label))
    },
  }
}

const intoTheView = 'into the view'

/** It holds no event anew: those that the view has had stay passed over. */
async function putBack(replaying: Replaying, shape: Shape, { id, cut }: Asked): Promise<ReplayReport> {
  const { storage, queue, making } = replaying
  if (id === undefined) throw new InvalidArgument('id', 'is needed; all views are made again by rebuild(name)')
  if (shape.lifecycle === 'live') throw new InvalidArgument('view', 'is folded when it is read; give a label')
  if (shape.latenessMs !== undefined) {
    throw new InvalidArgument(
      'view',
      'is folded by the time of its events, so what comes would fold it anew; give a label',
    )
  }
  for (let tries = 1; ; tries++) {
    const [stored = { key: id, body: {} }] = await loadViews(storage, shape, [id])
    const checkpoint = await readCheckpoint(storage, shape)
    const { body: was } = await viewAsOf(replaying, shape, { id, cut })
    const held = stored.stored ? stored.body : (await viewAsOf(replaying, shape, { id, cut: {} })).body
    const at = Math.max(held.at ?? 0, checkpoint ? checkpointOf(checkpoint).position : 0)
    const body = {
      ...(was.view && { view: was.view }),
      ...(shape.lifecycle === 'async' && { at }),
      ...(held.revisions && { revisions: held.revisions }),
    }
    const documents = viewWrites(shape, { ...stored, body, folded: true })
    const outcome = await queue.add({ id: making.newId(), appends: [], documents })
    if (outcome.outcome === 'committed') return { view: shape.name, views: was.view ? 1 : 0 }
    if (outcome.outcome !== 'document-conflict' || tries >= limits.foldTries) throw errorOf(outcome)
    await sleep(backoffMs(tries, limits.foldBackoffMs, limits.foldBackoffMsMax))
  }
}

async function putBeside(
  replaying: Replaying,
  shape: Shape,
  { id, cut, options, label }: Asked & { readonly label: string },
): Promise<ReplayReport> {
  const { storage } = replaying
  const { name, version } = shape
  if (id === undefined && (cut.revision ?? cut.fromRevision ?? cut.fromInstant) !== undefined) {
    throw new InvalidArgument('at', 'of all views must be an instant, up to which all is folded')
  }
  const beside = underLabel(shape, label)
  const described: Replayed = {
    ...{ name, label, version, state: 'building', views: 0 },
    ...(id !== undefined && { id }),
    ...(options.at !== undefined && { at: textOf(options.at) }),
    ...(options.from !== undefined && { from: textOf(options.from) }),
  }
  // Refused before anything is written, where it is before the beginning or beyond the end.
  const one = id === undefined ? undefined : await viewAsOf(replaying, shape, { id, cut })
  if (one === undefined) await checkBegun(replaying, cut)
  await changeReplays(replaying, name, (all) => {
    if (!all.some((one) => one.label === label && one.state === 'done')) return [...without(all, label), described]
    throw new InvalidArgument('as', `"${name}~${label}" is there already: drop it, or take another label`)
  })
  // What a replay that broke off has left.
  await eraseLabelled(storage, beside.views, options.signal)
  await storage.declare([beside.views])
  const views = one ? await putOne(replaying, beside, one) : await foldLog(replaying, beside, { cut, options })
  await changeReplays(replaying, name, (all) => [...without(all, label), { ...described, views, state: 'done' }])
  return { view: `${name}~${label}`, views }
}

async function checkBegun({ storage }: Replaying, { instant }: Cut): Promise<void> {
  const { records } = await storage.readLog({ after: 0, direction: 'forwards', limit: 1 })
  const [first] = records
  if (instant !== undefined && first && first.time > instant) {
    throw new InvalidArgument('at', 'is before the first event of the log')
  }
}

async function putOne(replaying: Replaying, beside: Shape, { key, body }: Folding): Promise<number> {
  if (body.view === undefined) return 0
  await commit(replaying, viewWrites(beside, { key, body, folded: true }))
  return 1
}

/** Page by page, each view once a page. */
async function foldLog(replaying: Replaying, beside: Shape, { cut, options }: Omit<Asked, 'id'>): Promise<number> {
  const { storage } = replaying
  const { head } = await storage.readLog({ after: 0, direction: 'backwards', limit: 1 })
  let batch: Recorded[] = []
  const seen = new Set<string>()
  const flush = async () => {
    for (const key of await foldBatch(replaying, beside, batch)) seen.add(key)
    const position = batch.at(-1)?.position
    if (position !== undefined) options.onProgress?.({ position, of: head })
    batch = []
  }
  for await (const event of scan(replaying, beside, cut)) {
    options.signal?.throwIfAborted()
    if (batch.push(event) >= limits.pageRecords) await flush()
  }
  await flush()
  options.onProgress?.({ position: head, of: head })
  return seen.size
}

async function foldBatch(replaying: Replaying, beside: Shape, events: readonly Recorded[]): Promise<readonly string[]> {
  const { storage } = replaying
  const entities = new Map<string, Recorded[]>()
  for (const event of events) {
    const key = beside.filter.types?.includes(event.type) ? keyOf(beside, event) : undefined
    if (key !== undefined) entities.set(key, [...(entities.get(key) ?? []), event])
  }
  const loaded = await loadViews(storage, beside, [...entities.keys()])
  const refolding = { ...replaying.reading, reads: storage, shape: beside }
  const foldView = async (view: Folding): Promise<Folding> => {
    const itsEvents = entities.get(view.key) ?? []
    try {
      const folded =
        beside.latenessMs === undefined ? foldEvents(beside, view, itsEvents) : foldOn(refolding, view, itsEvents)
      // Which streams make it nobody asks here.
      const { links: _, ...rest } = await folded
      return rest
    } catch (error) {
      if (error instanceof FoldFailed) throw failedAt(beside, error.event, error.cause)
      const { failed } = foldEntity(beside, view, itsEvents)
      throw failed ? failedAt(beside, failed.event, failed.error) : error
    }
  }
  for (let start = 0; start < loaded.length; start += limits.catchUpCommits) {
    const some = await Promise.all(loaded.slice(start, start + limits.catchUpCommits).map(foldView))
    await Promise.all(some.map((view) => commit(replaying, viewWrites(beside, view))))
  }
  return [...entities.keys()]
}

async function commit(replaying: Replaying, documents: readonly DocumentWrite[]): Promise<void> {
  if (documents.length > 0) await commitDocuments(replaying, documents)
}

function without(replays: readonly Replayed[], label: string): readonly Replayed[] {
  return replays.filter((one) => one.label !== label)
}

function textOf(at: Until): number | string {
  return at instanceof Date ? formatInstant(at.getTime()) : at
}
