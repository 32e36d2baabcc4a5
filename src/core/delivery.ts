/** A consumer as an iterable: one delivery after the other, each of which is to be answered. */
import type { Consuming, EventHandler, Handled } from './consumer.ts'
import type { Consumer } from './consumer-run.ts'
import type { Effect } from './effect.ts'
import type { AnyEvent, LogEntry } from './event.ts'

export interface Delivery<Event extends AnyEvent = AnyEvent> {
  readonly event: LogEntry<Event>
  /** 1 for the first one, since this process has the consumer. */
  readonly tries: number
  /** Aborted when another process may have the consumer, or when it is stopped and has waited long enough. */
  readonly signal: AbortSignal
  /** It is handled, together with what is to be committed with it. Resolves when that is durable; rejects where it is refused. */
  ack(effect?: Effect): Promise<void>
  /** It failed: it comes again after so long, or after the usual wait. */
  retry(afterMs?: number): void
  /** Its stream is parked for this reason. */
  park(reason: string): void
}

interface Outstanding {
  readonly abandon: () => void
  readonly acked: (error?: unknown) => void
}

/** Leaving the loop stops the consumer; what was not answered comes again to whoever goes on. */
export async function* deliveries<Event extends AnyEvent>(
  start: (part: Pick<Consuming, 'handler' | 'recorded'>) => Promise<Consumer>,
): AsyncGenerator<Delivery<Event>> {
  const outstanding = new Map<LogEntry, Outstanding>()
  const ready: { readonly entry: LogEntry; readonly delivery: Delivery<Event> }[] = []
  let over = false
  let wake = () => {}

  const handler: EventHandler = (entry, { tries, signal }) =>
    new Promise<Handled | undefined>((resolve, reject) => {
      let acked: Outstanding['acked'] = () => {}
      const durable = new Promise<void>((done, refused) => {
        acked = (error) => (error === undefined ? done() : refused(error))
      })
      durable.catch(() => {})
      const abandon = () => {
        reject(new Error('The delivery was not answered'))
        acked(new Error('The consumer has stopped'))
      }
      signal.addEventListener('abort', abandon, { once: true })
      const answer = (handled?: Handled) => {
        signal.removeEventListener('abort', abandon)
        // Nobody waits for these to be recorded.
        if (handled?.park !== undefined || handled?.retryInMs !== undefined) outstanding.delete(entry)
        resolve(handled)
      }
      const delivery: Delivery<Event> = {
        event: entry as LogEntry<Event>,
        tries,
        signal,
        ack(effect) {
          answer(effect)
          return durable
        },
        retry(afterMs) {
          if (afterMs === undefined) reject(new Error('The delivery was not handled'))
          else answer({ retryInMs: afterMs })
        },
        park: (reason) => answer({ park: reason }),
      }
      outstanding.set(entry, { abandon, acked })
      ready.push({ entry, delivery })
      wake()
    })

  const consumer = await start({
    handler,
    recorded(entry, error) {
      outstanding.get(entry)?.acked(error)
      outstanding.delete(entry)
    },
  })
  // What nobody has seen yet must not keep it from stopping.
  consumer.stopping.addEventListener('abort', () => {
    for (const { entry } of ready.splice(0)) outstanding.get(entry)?.abandon()
  })
  const end = () => {
    over = true
    wake()
  }
  consumer.ended.then(end, end)
  try {
    while (!over) {
      for (let next = ready.shift(); next !== undefined; next = ready.shift()) yield next.delivery
      if (over) break
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
    await consumer.ended
  } finally {
    const stopped = consumer.stop()
    for (const { abandon } of outstanding.values()) abandon()
    await stopped
  }
}
