/** Decision reads: the events that a decision depends on, whatever their streams, and the condition that guards it. */
import { checkObject, checkOrdinal } from './argument.ts'
import { PositionBeyondHead } from './errors.ts'
import type { AnyEvent, Recorded } from './event.ts'
import { formed } from './form.ts'
import { limits } from './limits.ts'
import { observe } from './observe.ts'
import { type AppendCondition, checkQuery, type EventQuery } from './query.ts'
import { eventReader, pageSize, type Reading, rereading } from './read.ts'
import { withOldTypes } from './upcaster.ts'

export interface Boundary<Event extends AnyEvent = AnyEvent> {
  readonly events: readonly Recorded<Event>[]
  /** For the append that follows from these events: nothing that the query asks for may have come since. */
  readonly condition: AppendCondition
}

export interface BoundaryPageOptions {
  /** `scannedTo` of the page before; default 0. */
  readonly after?: number
  /** At most so many events, 1 to 1,000; default 100. */
  readonly limit?: number
  readonly signal?: AbortSignal
}

/** The condition of the last page covers all pages before it. */
export interface BoundaryPart<Event extends AnyEvent = AnyEvent> extends Boundary<Event> {
  readonly scannedTo: number
  readonly more: boolean
}

export function boundaryPage<Event extends AnyEvent>(
  reading: Reading,
  query: EventQuery,
  { after = 0, limit = limits.pageRecordsDefault, signal }: BoundaryPageOptions,
): Promise<BoundaryPart<Event>> {
  const { storage, upcasters, observer } = reading
  const call = { layer: 'store', name: 'read boundary', size: ({ events }: BoundaryPart) => events.length } as const
  return observe(observer, call, () =>
    rereading(async () => {
      signal?.throwIfAborted()
      const page = await storage.readBoundary(withOldTypes(upcasters, query), after, limit)
      // A condition from there would say nothing of what was lost.
      if (after > page.scannedTo) throw new PositionBeyondHead({ position: after, head: page.scannedTo })
      const events = await formed<Event, Recorded<Event>>(reading, page.records, eventReader<Event>())
      return { events, condition: { query, guard: page.guard }, scannedTo: page.scannedTo, more: page.more }
    }),
  )
}

/** All of it; `pageOf` asks for one page. */
export async function readBoundary<Event extends AnyEvent>(
  pageOf: (options: BoundaryPageOptions) => Promise<BoundaryPart<Event>>,
  options: Pick<BoundaryPageOptions, 'signal'>,
): Promise<Boundary<Event>> {
  const events: Recorded<Event>[] = []
  for (let after = 0; ; ) {
    const page = await pageOf({ ...options, after, limit: limits.pageRecords })
    events.push(...page.events)
    if (!page.more) return { events, condition: page.condition }
    after = page.scannedTo
  }
}

export function checkBoundaryRead(query: EventQuery, options: BoundaryPageOptions = {}): void {
  checkQuery(query, 'query')
  checkObject(options, 'options')
  checkOrdinal(options.after ?? 0, 'after')
  pageSize(options.limit)
}
