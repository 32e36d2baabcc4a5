/**
 * What events are asked for. An `EventQuery` (for conditions and decision reads) is any of its items; an item is any of
 * its types and all of its tags, as dcb.events has it. A `LogFilter` (for the feed) is one such item and stream types.
 */
import { checkList, checkObject } from './argument.ts'
import { compareUtf8 } from './encoding.ts'
import { InvalidArgument, LimitExceeded } from './errors.ts'
import { limits } from './limits.ts'
import { checkName, checkStreamType, checkTag, streamTypeOf } from './name.ts'

/** Any of the types (left out: every type) and all of the tags. At least one type or tag. */
export interface QueryItem {
  readonly types?: readonly string[]
  readonly tags?: readonly string[]
}

/** Events that any of the items asks for; at least one item. */
export type EventQuery = readonly QueryItem[]

/** Any of the stream types, any of the event types, all of the tags; what is left out or empty does not filter. */
export interface LogFilter {
  readonly streamTypes?: readonly string[]
  readonly types?: readonly string[]
  readonly tags?: readonly string[]
}

/**
 * These events must not be there, or the append fails: none at all, or none after the decision read that gave `guard`,
 * or none after the position `after`.
 */
export interface AppendCondition {
  readonly query: EventQuery
  readonly after?: number
  readonly guard?: string
}

interface Labelled {
  readonly type: string
  readonly tags: readonly string[]
}

export function matchesQuery(query: EventQuery, event: Labelled): boolean {
  return query.some((item) => matchesItem(item, event))
}

/** For an event with content. Forgotten entries and tombstones have rules of their own: see `passesForgotten`. */
export function matchesFilter(filter: LogFilter, stream: string, event: Labelled): boolean {
  return matchesStreamType(filter, stream) && matchesItem(filter, event)
}

/** A tombstone passes every filter of its stream's type, so that every consumer learns of it. */
export function passesTombstone(filter: LogFilter, stream: string): boolean {
  return matchesStreamType(filter, stream)
}

/** A forgotten entry has neither type nor tags left, so it passes only where none are asked for. */
export function passesForgotten(filter: LogFilter, stream: string): boolean {
  return matchesStreamType(filter, stream) && !filter.types?.length && !filter.tags?.length
}

function matchesItem(item: QueryItem, event: Labelled): boolean {
  if (item.types?.length && !item.types.includes(event.type)) return false
  return item.tags?.every((tag) => event.tags.includes(tag)) ?? true
}

function matchesStreamType(filter: LogFilter, stream: string): boolean {
  return !filter.streamTypes?.length || filter.streamTypes.includes(streamTypeOf(stream))
}

export function checkQuery(query: EventQuery, path: string): void {
  checkList(query, path)
  if (query.length === 0) throw new InvalidArgument(path, 'must hold at least one item')
  atMost('queryItems', query.length, path)
  for (const [index, item] of query.entries()) {
    const where = `${path}[${index}]`
    checkObject(item, where)
    checkTypesAndTags(item, where)
    if (!item.types?.length && !item.tags?.length) throw new InvalidArgument(where, 'must name a type or a tag')
  }
}

export function checkFilter(filter: LogFilter, path: string): void {
  checkObject(filter, path)
  checkNames(filter.streamTypes, `${path}.streamTypes`, 'queryTypes', checkStreamType)
  checkTypesAndTags(filter, path)
}

function checkTypesAndTags(item: QueryItem, path: string): void {
  // Daybook's own types may be asked for, so this is only about names that could be anybody's.
  checkNames(item.types, `${path}.types`, 'queryTypes', (type, where) =>
    checkName(type, where, 'event type', limits.eventTypeCharacters),
  )
  checkNames(item.tags, `${path}.tags`, 'queryTags', checkTag)
}

function checkNames(
  list: readonly string[] | undefined,
  path: string,
  limit: 'queryTypes' | 'queryTags',
  check: (name: string, path: string) => void,
): void {
  if (list === undefined) return
  checkList(list, path)
  atMost(limit, list.length, path)
  for (const [index, name] of list.entries()) check(name, `${path}[${index}]`)
}

function atMost(limit: 'queryItems' | 'queryTypes' | 'queryTags', actual: number, path: string): void {
  if (actual > limits[limit]) throw new LimitExceeded({ limit, allowed: limits[limit], actual }, path)
}

/** Unique tags in order of UTF-8 bytes: the order that the canonical content has them in. */
export function sortedTags(tags: readonly string[]): readonly string[] {
  return tags.length < 2 ? tags : [...new Set(tags)].sort(compareUtf8)
}
