/** Decision reads: the events that a decision depends on, whatever their streams, and the condition that guards it. */
import type { AnyEvent, Recorded } from './event.ts'
import { limits } from './limits.ts'
import { type AppendCondition, checkQuery, type EventQuery } from './query.ts'
import { eventReader, type Reading } from './read.ts'
import { withOldTypes } from './upcaster.ts'

export interface Boundary<Event extends AnyEvent = AnyEvent> {
  readonly events: readonly Recorded<Event>[]
  /** For the append that follows from these events: nothing that the query asks for may have come since. */
  readonly condition: AppendCondition
}

export async function readBoundary<Event extends AnyEvent>(
  { storage, upcasters }: Reading,
  query: EventQuery,
): Promise<Boundary<Event>> {
  checkQuery(query, 'query')
  const asked = withOldTypes(upcasters, query)
  const events: Recorded<Event>[] = []
  for (let from = 0; ; ) {
    const page = await storage.readBoundary(asked, from, limits.pageRecords)
    events.push(...page.records.map(eventReader<Event>(upcasters)))
    // The last page's guard covers all that was read before it.
    if (!page.more) return { events, condition: { query, guard: page.guard } }
    from = page.scannedTo
  }
}
