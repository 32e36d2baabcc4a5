/**
 * Projections: how events become views. One definition; its lifecycle is one word. An inline view commits with the events,
 * an async one follows the log and commits with its checkpoint, a live one is folded when it is read.
 */
import { checkFunctions, checkList, checkObject } from './argument.ts'
import { checkCollection } from './document.ts'
import { InvalidArgument, Unsupported } from './errors.ts'
import type { AnyEvent, Envelope, Recorded } from './event.ts'
import { limits } from './limits.ts'
import { checkName } from './name.ts'
import { checkFilter, type LogFilter } from './query.ts'
import { checkPolicy, type SnapshotPolicy } from './snapshot.ts'
import type { CollectionSpec, IndexSpec, Storage } from './storage.ts'

export type Lifecycle = 'inline' | 'async' | 'live'

/** What a handler is given. An inline view is folded before the commit gives time and position, so it cannot use them. */
export type Seen<Event extends AnyEvent, Life extends Lifecycle = Lifecycle> = Event extends AnyEvent
  ? Event & { readonly data: unknown } & (Life extends 'async' | 'live'
        ? Envelope
        : Omit<Envelope, 'time' | 'position'>)
  : never

export interface Projection<
  Event extends AnyEvent = AnyEvent,
  View extends object = object,
  Life extends Lifecycle = Lifecycle,
> {
  /** 1 to 40 of A-Z a-z 0-9 . _ - beginning with a letter or digit. */
  readonly name: string
  /** Of what the handlers make of events; a new one is built beside the old one. Default 1. */
  readonly version?: number
  readonly lifecycle: Life
  /** Streams of these types only; needed where there is no `key`. */
  readonly streamTypes?: readonly string[]
  /**
   * The view that an event belongs to; `undefined` for none. Default: the id of its stream, so that streams of several
   * types with one id make one view. Pure, and of the event alone.
   */
  readonly key?: (event: Seen<Event, Life>) => string | undefined
  /**
   * By event type, the view after the event; `undefined` where there is none any more. Pure. The types are the filter.
   * Of one stream, events come in order; between streams, in any order.
   */
  readonly on: {
    readonly [Type in Event['type']]?: (
      view: View | undefined,
      event: Seen<Extract<Event, { readonly type: Type }>, Life>,
    ) => View | undefined
  }
  /** By fields of the view. */
  readonly indexes?: readonly IndexSpec[]
  /** Fields of the view whose words are searched. */
  readonly search?: readonly string[]
  /**
   * Folds by the events' own time (`meta.occurredAt`), of which none may come later than so many milliseconds; only
   * without `key`, and not inline.
   */
  readonly latenessMs?: number
  /**
   * `'content'` (the default): a view holds content of its streams, at most 20, and goes where one of them is forgotten.
   * `'totals'`: it holds nothing personal, of any number of streams, and stays.
   */
  readonly holds?: 'content' | 'totals'
  /**
   * Of a live view of one stream type: a read that had to fold `every` events, or took `slowerMs`, asks for a snapshot. They
   * are kept under the name and version of the projection.
   */
  readonly snapshot?: Pick<SnapshotPolicy, 'every' | 'slowerMs'>
}

/** Says the types once: `projection<CustomerEvent, Customer>()({ name: 'customers', lifecycle: 'inline', on: { … } })`. */
export function projection<Event extends AnyEvent, View extends object>() {
  return <Life extends Lifecycle>(definition: Projection<Event, View, Life>): Projection<Event, View, Life> =>
    definition
}

/** Of any events and views, as a list of them is typed. */
export interface AnyProjection {
  readonly name: string
  readonly version?: number
  readonly lifecycle: Lifecycle
  readonly streamTypes?: readonly string[]
  readonly key?: ((event: never) => string | undefined) | undefined
  readonly on: Readonly<Record<string, ((view: never, event: never) => object | undefined) | undefined>>
  readonly indexes?: readonly IndexSpec[]
  readonly search?: readonly string[]
  readonly latenessMs?: number
  readonly holds?: 'content' | 'totals'
  readonly snapshot?: Pick<SnapshotPolicy, 'every' | 'slowerMs'>
}

/** A definition as the store runs it. */
export interface Shape {
  readonly name: string
  readonly version: number
  readonly lifecycle: Lifecycle
  readonly filter: LogFilter
  /** Whether a view is made of the streams of its own id. */
  readonly keyed: 'by-stream' | 'by-function'
  keyOf(event: Recorded): string | undefined
  /** `undefined`: no view. Throws what the handler throws. */
  fold(view: object | undefined, event: Recorded): object | undefined
  /** Of the views: `view.…` in each body is what the handlers made. */
  readonly views: CollectionSpec
  /** Of those keyed by a function: which streams have made which view. */
  readonly links: CollectionSpec
  readonly latenessMs?: number
  readonly holds: 'content' | 'totals'
  /** Of a live view. */
  readonly snapshot?: SnapshotPolicy
  /** Of what was replayed beside the views in use. */
  readonly label?: string
  /** What must not change while the version stays: compared with what is stored. */
  readonly facts: ShapeFacts
}

export interface ShapeFacts {
  readonly lifecycle: Lifecycle
  readonly streamTypes: readonly string[]
  readonly types: readonly string[]
  readonly keyed: 'by-stream' | 'by-function'
  readonly indexes: readonly IndexSpec[]
  readonly search: readonly string[]
  readonly latenessMs: number | null
  readonly holds: 'content' | 'totals'
}

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]*$/

/** Throws `InvalidArgument` for a definition that cannot be kept, naming the place. */
export function shapeOf(definition: AnyProjection): Shape {
  checkObject(definition, 'projection')
  const { name, version = 1, lifecycle, streamTypes = [], key, indexes = [], search = [], latenessMs } = definition
  const path = `projection ${JSON.stringify(name)}`
  const wrong = (what: string, why: string) => new InvalidArgument(`${path}, ${what}`, why)
  checkName(name, 'projection name', 'projection name', limits.projectionNameCharacters)
  if (!namePattern.test(name)) throw wrong('name', 'must be of A-Z a-z 0-9 . _ - and begin with a letter or digit')
  if (!Number.isSafeInteger(version) || version < 1) throw wrong('version', 'must be 1, 2, 3 …')
  if (!['inline', 'async', 'live'].includes(lifecycle)) throw wrong('lifecycle', `must be 'inline', 'async' or 'live'`)
  checkObject(definition.on, `${path}, on`)
  const types = Object.keys(definition.on).filter((type) => definition.on[type] !== undefined)
  if (types.length === 0) throw wrong('on', 'must handle at least one event type')
  checkFunctions(definition.on, `${path}, on`, types)
  checkFilter({ streamTypes, types }, path)
  checkList(indexes, `${path}, indexes`)
  checkList(search, `${path}, search`)
  if (key !== undefined && typeof key !== 'function') throw wrong('key', 'must be a function, or left out')
  if (key === undefined && streamTypes.length === 0) {
    throw wrong('streamTypes', 'must name the streams whose id is the key; or give "key"')
  }
  const holds = definition.holds ?? 'content'
  if (holds !== 'content' && holds !== 'totals') throw wrong('holds', `must be 'content' or 'totals'`)
  if (latenessMs !== undefined) {
    if (!Number.isSafeInteger(latenessMs) || latenessMs < 0) throw wrong('latenessMs', 'must be 0, 1, 2 … milliseconds')
    if (key !== undefined) throw wrong('latenessMs', 'needs views of the streams of their id: leave "key" out')
    if (lifecycle === 'inline')
      throw wrong('latenessMs', 'needs the time of recording, which an inline view does not have')
  }
  if (lifecycle === 'live' && (indexes.length > 0 || search.length > 0)) {
    throw wrong('indexes', 'need views that are kept: a live one is folded when it is read')
  }
  const keyed = key === undefined ? 'by-stream' : 'by-function'
  const snapshot = definition.snapshot && { ...definition.snapshot, name, version }
  if (snapshot !== undefined) {
    if (lifecycle !== 'live' || keyed !== 'by-stream' || streamTypes.length !== 1) {
      throw wrong('snapshot', 'is for live views of the streams of one type: others are kept, or folded from several')
    }
    checkPolicy(snapshot, `${path}, snapshot`)
  }
  const collection = `${name}@${version}`
  const views: CollectionSpec = {
    collection,
    indexes: indexes.map((index) => ({
      ...index,
      equals: index.equals.map(inView),
      ...(index.order !== undefined && { order: inView(index.order) }),
    })),
    ...(search.length > 0 && { search: search.map(inView) }),
  }
  checkCollection(views)
  const { on } = definition as unknown as { readonly on: Readonly<Record<string, Handler | undefined>> }
  const keyOf = (key as unknown as KeyOf | undefined) ?? (({ stream }) => stream.slice(stream.indexOf('/') + 1))
  const seen = lifecycle === 'inline' ? withoutTime : (event: Recorded) => event
  return {
    ...{ name, version, lifecycle, keyed, views, holds },
    filter: { ...(streamTypes.length > 0 && { streamTypes }), types },
    keyOf: (event) => keyOf(seen(event)),
    fold: (view, event) => {
      const handler = on[event.type]
      return handler === undefined ? view : handler(view, seen(event))
    },
    links: linksIn({ name, version }),
    ...(latenessMs !== undefined && { latenessMs }),
    ...(snapshot !== undefined && { snapshot }),
    facts: {
      ...{ lifecycle, streamTypes: [...streamTypes].sort(), types: [...types].sort(), keyed, indexes },
      ...{ search, latenessMs: latenessMs ?? null, holds },
    },
  }
}

/** Of a store: each version of a name once, and only what the storage can keep. */
export function shapesOf(
  definitions: readonly AnyProjection[],
  storage: Pick<Storage, 'abilities' | 'name'>,
): readonly Shape[] {
  checkList(definitions, 'projections')
  const shapes = definitions.map(shapeOf)
  for (const [index, { name, version, views }] of shapes.entries()) {
    if (shapes.slice(0, index).some((other) => other.name === name && other.version === version)) {
      throw new InvalidArgument(`projections[${index}]`, `version ${version} of "${name}" stands twice`)
    }
    if (views.search && !storage.abilities.search) {
      throw new Unsupported('search', `Projection "${name}" declares a search, which ${storage.name} cannot serve`)
    }
  }
  return shapes
}

export function linksIn({ name, version }: Pick<Shape, 'name' | 'version'>): CollectionSpec {
  return {
    collection: `${name}@${version}~links`,
    indexes: [
      { name: 'key', equals: ['key'] },
      { name: 'stream', equals: ['stream'] },
    ],
  }
}

/** What is declared to the storage. */
export function collectionsOf({ lifecycle, keyed, views, links }: Shape): readonly CollectionSpec[] {
  if (lifecycle === 'live') return []
  return keyed === 'by-function' ? [views, links] : [views]
}

type Handler = (view: object | undefined, event: Recorded) => object | undefined
type KeyOf = (event: Recorded) => string | undefined

/** What is folded again from the log must come out as it did in the commit, which had no time and position. */
function withoutTime(event: Recorded): Recorded {
  const { time: _, position: __, ...rest } = event
  return rest as Recorded
}

function inView(field: string): string {
  return `view.${field}`
}
