/**
 * Searching the log by types and tags. Each search goes the way that looks at least: by the rarest of its tags, by the
 * index of kinds where those are rare, or along the log where they are not.
 */
import { limits } from '../../core/limits.ts'
import type { EventQuery, LogFilter, QueryItem } from '../../core/query.ts'
import type { Direction, Position, Revision } from '../../core/storage.ts'
import { eventKind, type Session, tombstoneKind } from './session.ts'

/** Positions after `after`, up to and with `until`. */
export interface Window {
  readonly after: Position
  readonly until: Position
}

interface Search extends Window {
  readonly kinds: readonly number[]
  readonly tags: readonly string[]
  /** Whether a kind was asked for at all; else they are all there are, and no index of them helps. */
  readonly selective: boolean
  readonly forgotten: boolean
}

export interface Match {
  readonly stream: string
  readonly revision: Revision
  readonly position: Position
}

/** Some event of the window that the query asks for; neither tombstones nor forgotten events. */
export function matchOf(session: Session, query: EventQuery, after: Position, until: Position): Match | undefined {
  for (const item of query) {
    const search = searchOf(session, item, { after, until })
    const position = anyPosition(session, search)
    if (position === undefined) continue
    const { stream, revision } = session.sql.logAt.get(position) as Match
    return { stream, revision, position }
  }
  return undefined
}

/** An event beyond `after` that was forgotten, emptied or not: its stream's last but the tombstone lies there. */
export function forgottenAfter({ sql }: Session, after: Position): Match | undefined {
  const row = sql.forgottenAfter.get(after, after) as Match | undefined
  return row && { stream: row.stream, revision: row.revision, position: row.position }
}

/** Positions, in order, of up to `limit` events that any item asks for. */
export function queryPositions(
  session: Session,
  query: EventQuery,
  window: Window,
  limit: number,
): readonly Position[] {
  const found = query.map((item) => positions(session, searchOf(session, item, window), 'forwards', limit))
  return merge(found, 'forwards', limit)
}

/** Positions, in the direction's order, of up to `limit` entries that pass the filter of a feed. */
export function filterPositions(
  session: Session,
  filter: LogFilter,
  window: Window,
  direction: Direction,
  limit: number,
): readonly Position[] {
  const { streamTypes = [], types = [], tags = [] } = filter
  const found = findKinds(session, streamTypes, types)
  const of = (kinds: readonly number[], tags: readonly string[], forgotten: boolean): readonly Position[] => {
    const selective = streamTypes.length + types.length > 0
    return positions(session, { ...window, kinds, tags, selective, forgotten }, direction, limit)
  }
  if (types.length + tags.length === 0) {
    return of(
      found.map(({ kind_no }) => kind_no),
      [],
      true,
    )
  }
  const events = found.filter((kind) => kind.class === eventKind).map(({ kind_no }) => kind_no)
  const tombstones = found.filter((kind) => kind.class === tombstoneKind).map(({ kind_no }) => kind_no)
  if (tags.length === 0) return of([...events, ...tombstones], [], false)
  // A tombstone has no tags, and passes all the same.
  const closing = positions(
    session,
    { ...window, kinds: tombstones, tags: [], selective: true, forgotten: false },
    direction,
    limit,
  )
  return merge([of(events, tags, false), closing], direction, limit)
}

/** The kinds (a JSON list) that pass a filter without tags, where so many do that the log is best read along. */
export function denseKinds(
  session: Session,
  { streamTypes = [], types = [], tags = [] }: LogFilter,
  window: Window,
): { readonly kinds: string; readonly forgotten: boolean } | undefined {
  if (tags.length > 0) return undefined
  const forgotten = types.length === 0
  const kinds = findKinds(session, streamTypes, types).map(({ kind_no }) => kind_no)
  const search = { ...window, kinds, tags, selective: true, forgotten }
  return rarest(session, search).dense ? { kinds: JSON.stringify(kinds), forgotten } : undefined
}

function searchOf(session: Session, { types = [], tags = [] }: QueryItem, window: Window): Search {
  const kinds = findKinds(session, [], types).filter((kind) => kind.class === eventKind)
  return { ...window, kinds: kinds.map(({ kind_no }) => kind_no), tags, selective: types.length > 0, forgotten: false }
}

function findKinds({ sql }: Session, streamTypes: readonly string[], types: readonly string[]) {
  const [streams, events] = [JSON.stringify(streamTypes), JSON.stringify(types)]
  return sql.findKinds.all(streams, streams, events, events) as { kind_no: number; class: number }[]
}

function anyPosition(session: Session, search: Search): Position | undefined {
  const { kinds, tags, after, until } = search
  if (kinds.length === 0) return undefined
  const { tag } = rarest(session, search)
  const rest = [after, until, JSON.stringify(tags), Number(search.forgotten)] as const
  const row =
    tag === undefined
      ? session.sql.anyByKind.get(JSON.stringify(kinds), ...rest)
      : session.sql.anyByTag.get(tag, JSON.stringify(kinds), ...rest)
  return (row as { position: number } | undefined)?.position
}

function positions(session: Session, search: Search, direction: Direction, limit: number): readonly Position[] {
  const { kinds, tags, after, until } = search
  if (kinds.length === 0 || after >= until) return []
  const { tag, dense } = rarest(session, search)
  const { sql } = session
  const rest = [after, until, JSON.stringify(tags), Number(search.forgotten), limit] as const
  const forwards = direction === 'forwards'
  const list = JSON.stringify(kinds)
  const byTag = forwards ? sql.forwardsByTag : sql.backwardsByTag
  const byKind = forwards ? sql.forwardsByKind : sql.backwardsByKind
  const byScan = forwards ? sql.forwardsByScan : sql.backwardsByScan
  const rows = tag !== undefined ? byTag.all(tag, list, ...rest) : (dense ? byScan : byKind).all(list, ...rest)
  return (rows as { position: number }[]).map((row) => row.position)
}

/** The tag to be driven by, or none: then by kinds, which are `dense` where an index over them would not pay. */
function rarest({ sql }: Session, { kinds, tags, selective, after, until }: Search): { tag?: string; dense: boolean } {
  const most = limits.pageRecords
  const [only] = tags
  if (only !== undefined && tags.length === 1 && !selective) return { tag: only, dense: false }
  let least = selective ? countOf(sql.countKinds.get(JSON.stringify(kinds), after, until, most)) : most
  let rarestTag: string | undefined
  for (const tag of tags) {
    const count = countOf(sql.countTag.get(tag, after, until, most))
    if (rarestTag !== undefined && count >= least) continue
    if (count <= least) {
      least = count
      rarestTag = tag
    }
  }
  return rarestTag === undefined ? { dense: least >= most } : { tag: rarestTag, dense: false }
}

function countOf(row: unknown): number {
  return (row as { count: number }).count
}

function merge(lists: readonly (readonly Position[])[], direction: Direction, limit: number): readonly Position[] {
  const [only] = lists
  if (lists.length === 1 && only) return only
  const sorted = [...new Set(lists.flat())].sort((a, b) => (direction === 'forwards' ? a - b : b - a))
  return sorted.slice(0, limit)
}
