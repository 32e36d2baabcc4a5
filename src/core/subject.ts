/**
 * Subjects: whom data is about. What concerns whom is declared, as data, by event type and by stream type; here it is read, and
 * held against events. A subject is named as a stream is, and mostly it is the stream itself.
 */
import { checkList, checkObject } from './argument.ts'
import { dataPlace } from './content.ts'
import { canonicalJson } from './encoding.ts'
import { InvalidArgument } from './errors.ts'
import { type JsonPlace, parsePointer, placesAt } from './json-places.ts'
import { checkEventType, checkStream, checkStreamType, streamTypeOf } from './name.ts'
import type { PreparedEvent } from './storage.ts'

/** What of an event is about whom. */
export interface PersonalData {
  /**
   * Whom it is about: a name such as `customer/42`, with `{stream}` for the event's stream, `{id}` for what stands behind its type,
   * and JSON Pointers into the data, `customer/{/customer/id}`. Default `{stream}`.
   */
  readonly subject?: string
  /** JSON Pointers into the data, `*` for each item or property: what is encrypted. Default: all of the data. */
  readonly fields?: readonly string[]
  /** What is read in its place once the subject is forgotten. Default null. */
  readonly mask?: unknown
  /** Whether the event's stream is forgotten with the subject. Default: unless the subject's name is taken from the data. */
  readonly own?: boolean
}

/** Both may stand for the same event: then both hold. */
export interface Subjects {
  readonly events?: Readonly<Record<string, PersonalData | readonly PersonalData[]>>
  /** Of all events in streams of these types. */
  readonly streams?: Readonly<Record<string, PersonalData | readonly PersonalData[]>>
}

/** As it is held against events. */
export interface PersonalRule {
  readonly name: readonly (string | { readonly pointer: readonly string[]; readonly text: string })[]
  readonly fields: readonly (readonly string[])[]
  /** Canonical JSON. */
  readonly mask: string
  readonly own: boolean
}

export interface SubjectRules {
  readonly events: ReadonlyMap<string, readonly PersonalRule[]>
  readonly streams: ReadonlyMap<string, readonly PersonalRule[]>
}

/** What an event has of one subject. */
export interface Personal {
  readonly subject: string
  readonly own: boolean
  readonly places: readonly (JsonPlace & { readonly mask: string })[]
}

/** Throws `InvalidArgument` for what says nothing. */
export function subjectRules(subjects: Subjects, path = 'subjects'): SubjectRules {
  checkObject(subjects, path)
  const { events = {}, streams = {}, ...others } = subjects
  const [other] = Object.keys(others)
  if (other !== undefined) throw new InvalidArgument(`${path}.${other}`, 'is unknown; write events or streams')
  return {
    events: rulesIn(events, `${path}.events`, checkEventType),
    streams: rulesIn(streams, `${path}.streams`, checkStreamType),
  }
}

function rulesIn(
  declared: NonNullable<Subjects['events']>,
  path: string,
  checkName: (name: string, path: string) => void,
): ReadonlyMap<string, readonly PersonalRule[]> {
  checkObject(declared, path)
  return new Map(
    Object.entries(declared).map(([name, one]) => {
      checkName(name, `${path}.${name}`)
      const all: readonly PersonalData[] = Array.isArray(one) ? one : [one as PersonalData]
      return [name, all.map((data) => personalRule(data, `${path}.${name}`))]
    }),
  )
}

export function personalRule(data: PersonalData, path: string): PersonalRule {
  checkObject(data, path)
  const { subject = '{stream}', fields = [''], mask = null, own } = data
  if (typeof subject !== 'string')
    throw new InvalidArgument(`${path}.subject`, 'must be a text such as "customer/{id}"')
  checkList(fields, `${path}.fields`)
  const name = subject
    .split(/(\{[^{}]*\})/)
    .filter((part) => part !== '')
    .map((part) => {
      if (!part.startsWith('{') || part === '{stream}' || part === '{id}') return part
      const text = part.slice(1, -1)
      if (text === '')
        throw new InvalidArgument(`${path}.subject`, '{} names nothing; write {stream}, {id} or {/pointer}')
      return { pointer: parsePointer(text, `${path}.subject`), text }
    })
  return {
    name,
    fields: fields.map((field, index) => parsePointer(field, `${path}.fields[${index}]`)),
    mask: canonicalJson(mask, `${path}.mask`),
    own: own ?? name.every((part) => typeof part === 'string'),
  }
}

type Told = Pick<PreparedEvent, 'id' | 'type' | 'content'>

/** What the event has of each subject. Throws `InvalidArgument` where it has personal data, and does not say of whom. */
export function personalIn(rules: readonly PersonalRule[], stream: string, event: Told): readonly Personal[] {
  const data = dataPlace(event.content)
  const all: Personal[] = []
  for (const rule of rules) {
    const places = placesOf(rule, event.content, data)
    const subject = subjectOf(rule, stream, event, { from: data.at, needed: places.length > 0 })
    if (subject === undefined) continue
    const at = all.findIndex((known) => known.subject === subject)
    const known = all[at]
    if (known === undefined) all.push({ subject, own: rule.own, places: outermost(places) })
    else all[at] = { subject, own: rule.own || known.own, places: outermost([...known.places, ...places]) }
  }
  checkApart(all, event)
  return all
}

function placesOf({ fields, mask }: PersonalRule, content: string, data: JsonPlace): Personal['places'] {
  const places: Personal['places'][number][] = []
  for (const field of fields) {
    for (const { at, end } of field.length === 0 ? [data] : placesAt(content, data.at, field)) {
      // Nothing is nobody's.
      if (!content.startsWith('null', at)) places.push({ at, end, mask })
    }
  }
  return places
}

function subjectOf(
  { name }: PersonalRule,
  stream: string,
  { id, type, content }: Told,
  { from, needed }: { readonly from: number; readonly needed: boolean },
): string | undefined {
  const where = `the data of event "${id}" (${type})`
  let subject = ''
  for (const part of name) {
    if (typeof part === 'string') {
      subject += part === '{stream}' ? stream : part === '{id}' ? stream.slice(stream.indexOf('/') + 1) : part
      continue
    }
    const [place] = placesAt(content, from, part.pointer)
    const value: unknown = place && JSON.parse(content.slice(place.at, place.end))
    if (typeof value === 'string' || typeof value === 'number') subject += value
    else if (!needed) return undefined
    else throw new InvalidArgument(where, `has personal data, and no text or number at ${part.text} that says whose`)
  }
  checkStream(subject, `the subject of ${where}`)
  return subject
}

/** In order, without those that lie in another. */
function outermost(places: Personal['places']): Personal['places'] {
  if (places.length < 2) return places
  const sorted = [...places].sort((one, other) => one.at - other.at || other.end - one.end)
  let end = 0
  return sorted.filter((place) => {
    if (place.at < end) return false
    end = place.end
    return true
  })
}

/** What is two subjects' at once could not be forgotten for one of them. */
function checkApart(all: readonly Personal[], { id, type }: Told): void {
  if (all.length < 2) return
  const places = all.flatMap(({ subject, places }) => places.map((place) => ({ ...place, subject })))
  places.sort((one, other) => one.at - other.at)
  for (const [index, { end, subject }] of places.entries()) {
    const next = places[index + 1]
    if (next === undefined || next.at >= end) continue
    const reason = `has a place that is personal to "${subject}" and to "${next.subject}"; declare fields that lie apart`
    throw new InvalidArgument(`the data of event "${id}" (${type})`, reason)
  }
}

export function rulesFor({ events, streams }: SubjectRules, stream: string, type: string): readonly PersonalRule[] {
  const [byType, byStream] = [events.get(type), streams.get(streamTypeOf(stream))]
  if (byType && byStream) return [...byType, ...byStream]
  return byType ?? byStream ?? []
}
