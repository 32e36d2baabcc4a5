/**
 * Reading views: by id, by a declared index, by words. Which version of a projection is read says its state in the store,
 * whatever version the caller has at hand.
 */
import { checkObject, checkOrdinal } from './argument.ts'
import { type Cut, checkCut, viewAsOf } from './as-of.ts'
import { checkpointOf, readCheckpoint } from './checkpoint.ts'
import type { Loads } from './decider.ts'
import { checkKey, type IndexValue, indexQuery, wordsQuery } from './document.ts'
import { InvalidArgument } from './errors.ts'
import { bodyOf } from './fold.ts'
import type { Forms } from './form.ts'
import { labelledShape } from './label.ts'
import { limits } from './limits.ts'
import { liveView } from './live.ts'
import { checkStream } from './name.ts'
import { pageKey, placeIn } from './page-key.ts'
import type { Shape } from './projection.ts'
import { ProjectionMissing, ProjectionNotFound, ViewBehind, ViewNotReady } from './projection-errors.ts'
import { type KnownStates, readStates } from './projection-state.ts'
import { pageSize, type Until } from './read.ts'
import type { Direction, DocumentPage, DocumentQuery, IndexSpec, Storage } from './storage.ts'
import { backoffMs, sleep } from './turn.ts'
import { nameOf, type ViewOf } from './view-of.ts'

export interface Views {
  /** `undefined` where there is no such view. Strongly consistent for inline and live views. */
  get<View extends object = object>(view: ViewOf<View>, id: string, options?: GetOptions): Promise<View | undefined>
  /** A page of the views that one declared index serves. May lag on some storages. */
  query<View extends object = object>(view: ViewOf<View>, query: ViewQuery): Promise<ViewPage<View>>
  /** A page of the views that hold all words of a text, the last one as a beginning; in no order that means anything. */
  search<View extends object = object>(view: ViewOf<View>, search: ViewSearch): Promise<ViewPage<View>>
}

export interface GetOptions {
  /** Waits until the view holds this event, which the caller has seen recorded. */
  readonly after?: { readonly stream: string; readonly revision: number }
  /** How long `after` may take; default 5,000. */
  readonly timeoutMs?: number
  /** As it was at a revision, where it is made of one stream, or at an instant; folded from the log. */
  readonly at?: Until
  /** Only what was recorded from this revision or instant on is folded. */
  readonly from?: Until
  readonly signal?: AbortSignal
}

export interface ViewQuery {
  /** May be left out where one index alone has the fields of `equals`. */
  readonly index?: string
  /** A value for each of the index's `equals` fields. */
  readonly equals?: Readonly<Record<string, IndexValue>>
  /** Inclusive bounds on the field that the index orders by. */
  readonly from?: IndexValue
  readonly to?: IndexValue
  /** Default `'forwards'`. */
  readonly direction?: Direction
  /** 1 to 1,000; default 100. */
  readonly limit?: number
  /** `next` of the page before. */
  readonly cursor?: string
  readonly signal?: AbortSignal
}

export interface ViewSearch extends Pick<ViewQuery, 'limit' | 'cursor' | 'signal'> {
  readonly text: string
}

export interface ViewPage<View extends object = object> {
  readonly views: readonly { readonly id: string; readonly view: View }[]
  /** There is more. */
  readonly next?: string
}

/** What reading views needs of the store. */
export interface Viewing extends Forms {
  readonly storage: Storage
  readonly shapes: readonly Shape[]
  readonly states: KnownStates
  readonly clock: () => number
}

export function createViews(viewing: Viewing & { readonly loads: Loads }): Views {
  return {
    async get<View extends object>(view: ViewOf<View>, id: string, options: GetOptions = {}) {
      checkObject(options, 'options')
      const cut = checkCut(options, viewing.clock())
      checkKey(id, 'id')
      options.signal?.throwIfAborted()
      const shape = await shapeRead(viewing, view)
      if (shape.label !== undefined && (cut ?? options.after) !== undefined) {
        throw new InvalidArgument(cut ? 'at' : 'after', `${pathOf(shape)} is a replay, and is never at anything else`)
      }
      if (options.after !== undefined) await caughtUp(viewing, shape, options.after, options)
      const found = await getView(viewing, shape, { id, cut })
      if (found !== undefined || shape.lifecycle === 'live') return found as View | undefined
      // What is not there may be somewhere else by now, or not be built again yet.
      const [stored] = await readStates(viewing.storage, [shape.name])
      if (stored?.state.reads === shape.version) return undefined
      viewing.states.expire()
      return (await getView(viewing, await shapeRead(viewing, view), { id, cut })) as View | undefined
    },
    async query<View extends object>(view: ViewOf<View>, query: ViewQuery) {
      checkObject(query, 'query')
      const shape = await shapeKept(viewing, view, query.signal)
      const index = indexOf(shape, query)
      const { direction = 'forwards', from, to, equals = {} } = query
      checkDirection(direction)
      if (index.order === undefined && (from !== undefined || to !== undefined)) {
        throw new InvalidArgument(`${pathOf(shape)}, index "${index.name}"`, 'has no order to give a range of')
      }
      const asked = {
        index: index.name,
        equals: index.equals.map((field) => indexValue(equals[fieldOf(field)], `equals.${fieldOf(field)}`)),
        ...(from !== undefined && { from: indexValue(from, 'from') }),
        ...(to !== undefined && { to: indexValue(to, 'to') }),
        direction,
      }
      const listing = [shape.views.collection, asked]
      return pageOf<View>(viewing, listing, indexQuery(shape.views, { ...asked, ...pageAsked(query, listing) }))
    },
    async search<View extends object>(view: ViewOf<View>, search: ViewSearch) {
      checkObject(search, 'search')
      const shape = await shapeKept(viewing, view, search.signal)
      const { text } = search
      if (typeof text !== 'string') throw new InvalidArgument('text', 'must be a text')
      if (shape.views.search === undefined) throw new InvalidArgument(pathOf(shape), 'declares no search')
      const listing = [shape.views.collection, { text }]
      return pageOf<View>(viewing, listing, wordsQuery(shape.views, { text, ...pageAsked(search, listing) }))
    },
  }
}

/** What a view is read by. Throws `ProjectionNotFound`, `ViewNotReady`, `ProjectionMissing`. */
export async function shapeRead(
  viewing: Pick<Viewing, 'storage' | 'shapes' | 'states'>,
  view: ViewOf<object>,
): Promise<Shape> {
  const name = nameOf(view)
  return name.includes('~') ? labelledShape(viewing, name) : shapeInUse(viewing, name)
}

async function shapeInUse({ shapes, states }: Pick<Viewing, 'shapes' | 'states'>, name: string): Promise<Shape> {
  const mine = shapes.filter((shape) => shape.name === name)
  const [live] = mine.filter(({ lifecycle }) => lifecycle === 'live').sort((a, b) => b.version - a.version)
  const first = mine[0]
  if (first === undefined) {
    throw new ProjectionNotFound({ projection: name, known: [...new Set(shapes.map((shape) => shape.name))] })
  }
  const recent = (await states.current()).get(name)?.state
  if (recent === undefined && live) return live
  // Before anything is refused on account of it.
  const usable = mine.some(({ version }) => version === recent?.reads)
  const known = usable ? recent : (await states.refreshed()).get(name)?.state
  if (known?.reads === undefined) throw new ViewNotReady({ projection: name, version: first.version })
  const shape = mine.find(({ version }) => version === known.reads)
  if (shape === undefined) throw new ProjectionMissing({ projection: name, version: known.reads })
  return shape
}

async function shapeKept(viewing: Viewing, view: ViewOf<object>, signal: AbortSignal | undefined): Promise<Shape> {
  signal?.throwIfAborted()
  const shape = await shapeRead(viewing, view)
  if (shape.lifecycle !== 'live') return shape
  throw new InvalidArgument(pathOf(shape), 'is folded when it is read: get its views one by one, by id')
}

async function getView(
  viewing: Viewing & { readonly loads: Loads },
  shape: Shape,
  { id, cut }: { readonly id: string; readonly cut: Cut | undefined },
): Promise<object | undefined> {
  const { storage } = viewing
  if (cut === undefined && shape.snapshot) return liveView(viewing.loads, shape, id)
  if (cut !== undefined || shape.lifecycle === 'live') {
    return (await viewAsOf(viewing, shape, { id, cut: cut ?? {} })).body.view
  }
  const [document] = await storage.getDocuments([{ collection: shape.views.collection, key: id }])
  return document && bodyOf(document).view
}

/** Until the async view's checkpoint has passed the event; other views are never behind. */
async function caughtUp(
  { storage }: Viewing,
  shape: Shape,
  after: NonNullable<GetOptions['after']>,
  { timeoutMs = limits.viewWaitMs, signal }: GetOptions,
): Promise<void> {
  checkObject(after, 'after')
  const { stream, revision } = after
  checkStream(stream, 'after.stream')
  checkOrdinal(revision, 'after.revision')
  checkOrdinal(timeoutMs, 'timeoutMs')
  if (revision === 0 || shape.lifecycle === 'inline') return
  const started = performance.now()
  let position: number | undefined
  for (let tries = 1; ; tries++) {
    signal?.throwIfAborted()
    position ??= await storage.positionOf(stream, revision)
    if (position === undefined && storage.abilities.positions === 'at-commit') {
      throw new InvalidArgument('after', `"${stream}" has no revision ${revision}`)
    }
    if (position !== undefined && (shape.lifecycle === 'live' || (await heldUpTo(storage, shape)) >= position)) return
    const waitedMs = Math.round(performance.now() - started)
    if (waitedMs >= timeoutMs) throw new ViewBehind({ projection: shape.name, stream, revision, waitedMs })
    const waitMs = backoffMs(tries, limits.viewBackoffMs, limits.viewBackoffMsMax)
    await sleep(Math.min(waitMs, timeoutMs - waitedMs), signal)
  }
}

async function heldUpTo(storage: Storage, shape: Shape): Promise<number> {
  const document = await readCheckpoint(storage, shape)
  return document ? checkpointOf(document).position : 0
}

/** The declared index that serves the query. Throws `InvalidArgument` where none does, naming those there are. */
function indexOf(shape: Shape, { index, equals = {} }: ViewQuery): IndexSpec {
  const path = pathOf(shape)
  checkObject(equals, 'equals')
  const { indexes } = shape.views
  const fields = Object.keys(equals).filter((field) => equals[field] !== undefined)
  const declared = new Set(indexes.flatMap((one) => [...one.equals, ...(one.order ? [one.order] : [])].map(fieldOf)))
  const unknown = fields.find((field) => !declared.has(field))
  if (unknown !== undefined) {
    throw new InvalidArgument(`equals.${unknown}`, `no index of ${path} is by this field (${listed([...declared])})`)
  }
  const serves = (one: IndexSpec) =>
    one.equals.length === fields.length && one.equals.every((field) => fields.includes(fieldOf(field)))
  if (index === undefined) {
    const [one, other] = indexes.filter(serves)
    if (one !== undefined && other === undefined) return one
    const why = one ? 'several indexes serve the query: name one in "index"' : 'no index serves the query'
    throw new InvalidArgument(path, `${why} (declared: ${describe(indexes)})`)
  }
  const named = indexes.find(({ name }) => name === index)
  if (named === undefined) {
    throw new InvalidArgument('index', `${path} has no index ${JSON.stringify(index)} (declared: ${describe(indexes)})`)
  }
  if (serves(named)) return named
  const wanted = listed(named.equals.map(fieldOf))
  throw new InvalidArgument('equals', `index "${named.name}" of ${path} needs a value for each of: ${wanted}`)
}

function describe(indexes: readonly IndexSpec[]): string {
  return listed(
    indexes.map(({ name, equals, order }) => {
      const ordered = order === undefined ? '' : `, ordered by ${fieldOf(order)}`
      return `${name} by ${listed(equals.map(fieldOf))}${ordered}`
    }),
    '; ',
  )
}

function listed(names: readonly string[], between = ', '): string {
  return names.join(between) || 'none'
}

/** As the definition names it. */
function fieldOf(field: string): string {
  return field.slice('view.'.length)
}

function indexValue(value: IndexValue | undefined, path: string): IndexValue {
  if (typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value)) return value as IndexValue
  throw new InvalidArgument(path, 'must be a text, a number or true or false')
}

function checkDirection(direction: string): void {
  if (direction === 'forwards' || direction === 'backwards') return
  throw new InvalidArgument('direction', `must be 'forwards' or 'backwards'`)
}

function pathOf({ name, label }: Shape): string {
  return `view "${name}${label === undefined ? '' : `~${label}`}"`
}

function pageAsked(
  { limit, cursor }: ViewSearch | ViewQuery,
  listing: readonly unknown[],
): { limit: number; cursor?: string } {
  return { limit: pageSize(limit), ...(cursor !== undefined && { cursor: placeIn(listing, cursor) }) }
}

/** A page key is of the version too: after a switch nobody goes on in other views. */
async function pageOf<View extends object>(
  { storage }: Viewing,
  listing: readonly unknown[],
  query: DocumentQuery,
): Promise<ViewPage<View>> {
  const page: DocumentPage = await storage.queryDocuments(query)
  const views = page.documents.flatMap((document) => {
    const { view } = bodyOf(document)
    return view === undefined ? [] : [{ id: document.key, view: view as View }]
  })
  return page.next === undefined ? { views } : { views, next: pageKey(listing, page.next) }
}
