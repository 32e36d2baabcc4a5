/** From what a producer sends to what is recorded, each event once. */
import { derivedId, isStoreError, limits, type NewEvent, type Store } from 'daybook'
import type * as z from 'zod/mini'
import { invalid, Refused } from '../web/refused.ts'
import { type UserEvent, type UserEventBody, userEvents, userOf, userStream } from './domain.ts'

export interface Ingested {
  readonly recorded: number
  /** Were recorded before, by the same id with the same content. */
  readonly repeated: number
  /** Of a type that nobody knows, or of a user who was forgotten. */
  readonly dropped: number
}

const itemCharacters = 65_536
/** A request of more is recorded so many at a time. */
const oneByOne = 100
const atOnce = 50

/**
 * All of the events are looked at first. Then they are recorded in order; one whose id came with other content is refused,
 * and those before it stay, of a long request those at once with it too. So the same request again completes what was broken
 * off, and records nothing twice.
 */
export async function ingest(store: Store, body: unknown): Promise<Ingested> {
  const items = Array.isArray(body) ? Array.from(body) : [body]
  const events = items.map((item, index) => checked(item, Array.isArray(body) ? [index] : []))
  const known = events.filter((event) => event !== undefined)
  const all = { recorded: 0, repeated: 0, dropped: events.length - known.length }
  const step = known.length > oneByOne ? atOnce : 1
  for (let at = 0; at < known.length; at += step) {
    const outcomes = await Promise.allSettled(known.slice(at, at + step).map((event) => record(store, event)))
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') throw outcome.reason
      all[outcome.value]++
    }
  }
  return all
}

/** `undefined`: a type that nobody knows. */
function checked(item: unknown, place: readonly number[]): UserEventBody | undefined {
  const named = (...path: readonly PropertyKey[]) => [...place, ...path].join('.') || 'requestBody'
  const wrong = (reason: string, ...path: readonly string[]) => invalid([[named(...path), [reason]]])
  if (typeof item !== 'object' || item === null || Array.isArray(item)) throw wrong('must be an event: an object')
  const { id, type } = item as { readonly id?: unknown; readonly type?: unknown }
  if (typeof type !== 'string') throw wrong('must be a text', 'type')
  const schemas: Readonly<Record<string, z.ZodMiniType<UserEventBody>>> = userEvents
  if (!Object.hasOwn(schemas, type)) {
    if (typeof id === 'string' && id !== '') return undefined
    throw wrong('must be a text that is not empty', 'id')
  }
  const result = schemas[type]?.safeParse(item)
  if (result?.success) return storable(result.data, wrong)
  throw invalid((result?.error.issues ?? []).map(({ path, message }) => [named(...path), [message]]))
}

/** What is kept as it came must be such that it can be kept. */
function storable(body: UserEventBody, wrong: (reason: string) => Refused): UserEventBody {
  const deep = (value: unknown, depth: number): string | undefined => {
    if (typeof value === 'string') return value.isWellFormed() ? undefined : 'holds half of a surrogate pair'
    if (typeof value === 'number') return Number.isFinite(value) ? undefined : 'holds a number that JSON cannot say'
    if (typeof value !== 'object' || value === null) return undefined
    if (depth === 0) return `is nested deeper than ${limits.jsonDepth - 2}`
    for (const [key, part] of Object.entries(value)) {
      const reason = deep(key, depth) ?? deep(part, depth - 1)
      if (reason !== undefined) return reason
    }
    return undefined
  }
  const reason = deep(body, limits.jsonDepth - 2)
  if (reason !== undefined) throw wrong(reason)
  if (JSON.stringify(body).length > itemCharacters) throw wrong(`has over ${itemCharacters} characters`)
  return body
}

/** An append of its own, so that on every storage its id is known again. */
async function record(store: Store, body: UserEventBody): Promise<keyof Ingested> {
  try {
    const { repeated } = await store.append<UserEvent>(userStream(userOf(body)), [eventOf(body)])
    return repeated ? 'repeated' : 'recorded'
  } catch (error) {
    if (isStoreError(error, 'stream-forgotten')) return 'dropped'
    if (!isStoreError(error, 'event-id-reused')) throw error
    throw new Refused(`Event ${JSON.stringify(body.id)} came with other content before`, { id: body.id })
  }
}

/** The store takes the same id with the same content as a repeat. */
function eventOf(data: UserEventBody): NewEvent<UserEvent> {
  const occurredAt = new Date(data.timestamp).toISOString()
  const event = { type: data.type, id: derivedId(['login-order-join', data.id]), data, meta: { occurredAt } }
  return event as NewEvent<UserEvent>
}
