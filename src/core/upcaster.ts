/**
 * Upcasters: old events read as if they had been written today. The log keeps what was recorded; only readers see the
 * new form. They run in the order given, each at most once for an event, so that two of them cannot chase each other.
 */
import type { AnyEvent, Recorded } from './event.ts'
import type { EventQuery, LogFilter, QueryItem } from './query.ts'

export interface Upcaster {
  /** The event type as it was recorded, or as an earlier upcaster left it. */
  readonly type: string
  /** Its new name; left out, the type stays. */
  readonly to?: string
  /** Whether this event is of the old form; left out, every event of the type is. */
  when?(event: Recorded): boolean
  /** The data in the new form; pure. */
  data?(event: Recorded): unknown
}

export function upcast<Event extends AnyEvent>(upcasters: readonly Upcaster[], event: Recorded): Recorded<Event> {
  let current = event
  for (const upcaster of upcasters) {
    if (upcaster.type !== current.type || upcaster.when?.(current) === false) continue
    current = {
      ...current,
      type: upcaster.to ?? current.type,
      data: upcaster.data ? upcaster.data(current) : current.data,
    }
  }
  return current as Recorded<Event>
}

/** A query for new names must also find the events that were recorded under old ones. */
export function withOldTypes(upcasters: readonly Upcaster[], query: EventQuery): EventQuery {
  return upcasters.length === 0 ? query : query.map((item) => withOldTypesOf(upcasters, item))
}

export function withOldTypesOf<Item extends QueryItem | LogFilter>(upcasters: readonly Upcaster[], item: Item): Item {
  if (upcasters.length === 0 || !item.types?.length) return item
  const types = new Set(item.types)
  // Backwards, for an upcaster's result may be the next one's input.
  for (const { type, to } of upcasters.toReversed()) if (to !== undefined && types.has(to)) types.add(type)
  return { ...item, types: [...types] }
}
