/** The past of a test: events as a reader of the store would see them. */
import { makeEvent } from '../core/append.ts'
import { checkList } from '../core/argument.ts'
import { parseContent } from '../core/content.ts'
import type { AnyEvent, NewEvent, Recorded } from '../core/event.ts'
import { checkEventType, checkStream } from '../core/name.ts'
import { formatInstant, parseInstant } from '../core/time.ts'

/** An event that has happened. */
export type GivenEvent<Event extends AnyEvent = AnyEvent> = NewEvent<Event> & {
  /** Default `test/1`. */
  readonly stream?: string
  /** When the store recorded it; default a second after the one before, from 2026-01-01T00:00:00Z on. */
  readonly time?: string | Date
}

const begin = Date.UTC(2026, 0, 1)

/**
 * What the store would give back: through JSON, with id, revision, position and time, and frozen, for a fold that changes
 * an event changes it for others. Throws as an append would for what cannot be recorded.
 */
export function recordedOf<Event extends AnyEvent>(events: readonly GivenEvent<Event>[]): readonly Recorded<Event>[] {
  checkList(events, 'given')
  const revisions = new Map<string, number>()
  let time = begin
  return events.map((given, index) => {
    const path = `given[${index}]`
    const { stream = 'test/1', time: instant = new Date(time) } = given
    checkStream(stream, `${path}.stream`)
    checkEventType(given.type, `${path}.type`)
    time = parseInstant(instant, `${path}.time`)
    const revision = (revisions.get(stream) ?? 0) + 1
    revisions.set(stream, revision)
    const recorded: Recorded = {
      ...stored(given, `event-${index + 1}`, path),
      stream,
      revision,
      position: index + 1,
      time: formatInstant(time),
    }
    time += 1_000
    return frozen(recorded) as Recorded<Event>
  })
}

/** Type, data, tags and meta in the one form that they are recorded in. */
export function stored(event: NewEvent, id: string, path: string) {
  const making = { newId: () => id, random: (bytes: number) => new Uint8Array(bytes) }
  return parseContent(makeEvent(making, event, path).content)
}

/** Plain objects and lists all the way down; a function that changes them then throws. */
export function frozen<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  const prototype = Object.getPrototypeOf(value)
  if (!Array.isArray(value) && prototype !== Object.prototype && prototype !== null) return value
  for (const inner of Object.values(Object.freeze(value))) frozen(inner)
  return value
}
