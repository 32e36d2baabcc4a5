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

/** Neighbours of one user are recorded together, so many at most. */
const together = 20
const itemCharacters = 65_536

/**
 * All of the events are looked at first. Then they are recorded in order; one whose id came with other content is refused,
 * and those before it stay. So the same request again completes what was broken off, and records nothing twice.
 */
export async function ingest(store: Store, body: unknown): Promise<Ingested> {
  const items = Array.isArray(body) ? Array.from(body) : [body]
  const events = items.map((item, index) => checked(item, Array.isArray(body) ? `${index}.` : ''))
  const all = { recorded: 0, repeated: 0, dropped: events.filter((event) => event === undefined).length }
  for (const run of runsOf(events.filter((event) => event !== undefined))) {
    for (const [outcome, count] of await record(store, run)) all[outcome] += count
  }
  return all
}

/** `undefined`: a type that nobody knows. */
function checked(item: unknown, place: string): UserEventBody | undefined {
  const wrong = (field: string, reason: string) => invalid([[`${place}${field}` || 'requestBody', [reason]]])
  if (typeof item !== 'object' || item === null || Array.isArray(item)) throw wrong('', 'must be an event: an object')
  const { id, type } = item as { readonly id?: unknown; readonly type?: unknown }
  if (typeof type !== 'string') throw wrong('type', 'must be a text')
  const schemas: Readonly<Record<string, z.ZodMiniType<UserEventBody>>> = userEvents
  if (!Object.hasOwn(schemas, type)) {
    if (typeof id === 'string' && id !== '') return undefined
    throw wrong('id', 'must be a text that is not empty')
  }
  const result = schemas[type]?.safeParse(item)
  if (result?.success) return storable(result.data, wrong)
  throw invalid((result?.error.issues ?? []).map(({ path, message }) => [`${place}${path.join('.')}`, [message]]))
}

/** What is kept as it came must be such that it can be kept. */
function storable(body: UserEventBody, wrong: (field: string, reason: string) => Refused): UserEventBody {
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
  if (reason !== undefined) throw wrong('', reason)
  if (JSON.stringify(body).length > itemCharacters) throw wrong('', `has over ${itemCharacters} characters`)
  return body
}

function* runsOf(bodies: readonly UserEventBody[]): Generator<readonly UserEventBody[]> {
  let run: UserEventBody[] = []
  const ids = new Set<string>()
  for (const body of bodies) {
    const [first] = run
    if (first && (userOf(first) !== userOf(body) || run.length === together || ids.has(body.id))) {
      yield run
      run = []
      ids.clear()
    }
    run.push(body)
    ids.add(body.id)
  }
  if (run.length > 0) yield run
}

/** One append where none of them was there before, or all side by side; else each on its own. */
async function record(
  store: Store,
  run: readonly UserEventBody[],
): Promise<readonly (readonly [keyof Ingested, number])[]> {
  const [first] = run
  if (first === undefined) return []
  try {
    const { repeated } = await store.append<UserEvent>(userStream(userOf(first)), run.map(eventOf))
    return [[repeated ? 'repeated' : 'recorded', run.length]]
  } catch (error) {
    if (isStoreError(error, 'stream-forgotten')) return [['dropped', run.length]]
    if (!isStoreError(error, 'event-id-reused')) throw error
    if (run.length === 1)
      throw new Refused(`Event ${JSON.stringify(first.id)} came with other content before`, { id: first.id })
  }
  const outcomes: (readonly [keyof Ingested, number])[] = []
  for (const body of run) outcomes.push(...(await record(store, [body])))
  return outcomes
}

/** The store takes the same id with the same content as a repeat. */
function eventOf(data: UserEventBody): NewEvent<UserEvent> {
  const occurredAt = new Date(data.timestamp).toISOString()
  const event = { type: data.type, id: derivedId(['login-order-join', data.id]), data, meta: { occurredAt } }
  return event as NewEvent<UserEvent>
}
