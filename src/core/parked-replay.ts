/**
 * The replay of parked streams: one after the other, each from the first event that is not handled up to where the consumer
 * is; from there on its events are delivered as they come. What has been replayed is saved with each event.
 */
import type { Background } from './background.ts'
import type { ConsumerBody, Consuming } from './consumer.ts'
import type { LogEntry, Recorded } from './event.ts'
import { failureOf } from './failure.ts'
import type { Lease } from './lease.ts'
import { limits } from './limits.ts'
import { allParked, type Parked, parkedKey, parkedOf, putParked } from './parked.ts'
import type { Waiting } from './parked-streams.ts'
import { matchesFilter, passesTombstone } from './query.ts'
import { eventPage } from './read.ts'
import type { DocumentWrite } from './storage.ts'
import type { Tracker } from './tracker.ts'
import { sleep } from './turn.ts'
import type { Bell } from './wake.ts'

export type Attempt =
  /** `left`: it was told to end, and the event stays as it is. */
  | { readonly outcome: 'done' }
  | { readonly outcome: 'left' }
  | {
      readonly outcome: 'failed'
      readonly error: unknown
      readonly waitMs?: number | undefined
      readonly hopeless: boolean
    }

export interface Replaying {
  readonly background: Background
  readonly consuming: Consuming
  readonly lease: Lease<ConsumerBody>
  readonly of: string
  readonly tracker: Tracker
  readonly halting: AbortSignal
  readonly moved: Bell
  tryOnce(entry: LogEntry, tries: number, documents: readonly DocumentWrite[]): Promise<Attempt>
  waitMs(tries: number): number
  write(change: { readonly documents: readonly DocumentWrite[] }): Promise<boolean>
  /** Undefined: it is on its way off the list. */
  meet(item: Parked): Waiting | undefined
  unpark(stream: string): Promise<void>
  deliverTombstone(entry: LogEntry): void
}

export interface Replays {
  /** Begins where one was asked for, and none is under way. */
  run(): void
  ended(): Promise<void>
}

export function createReplays(replaying: Replaying): Replays {
  const { background, lease, of, halting } = replaying
  let running: Promise<void> | undefined

  async function replayAsked(): Promise<void> {
    while (!halting.aborted && lease.body.replays !== lease.body.replayed) {
      const asked = lease.body.replays
      for await (const { parked } of allParked(background.storage, of)) {
        if (parked.replay) await replayItem(replaying, parked.item)
        if (halting.aborted) return
      }
      await lease.write({ body: (body) => ({ ...body, replayed: asked }) })
      replaying.moved.ring()
    }
  }

  return {
    run() {
      running ??= replayAsked()
        // The storage has failed; the next ring tries again.
        .catch(() => {})
        .finally(() => {
          running = undefined
        })
    },
    ended: async () => running,
  }
}

async function replayItem(replaying: Replaying, stream: string): Promise<void> {
  const { background, lease, of } = replaying
  // What is on its way to be written of it comes first.
  await lease.look()
  const [document] = await background.storage.getDocuments([parkedKey(of, stream)])
  if (document === undefined) return
  const item = parkedOf(document)
  const waiting = replaying.meet(item)
  if (waiting === undefined) return
  waiting.replaying = true
  try {
    await replay(replaying, waiting, item)
  } finally {
    waiting.replaying = false
  }
  // Whatever became of the rest, the stream is forgotten, and that is still to be told.
  if (waiting.tombstone) replaying.deliverTombstone(waiting.tombstone)
}

async function replay(replaying: Replaying, waiting: Waiting, item: Parked): Promise<void> {
  const { background, consuming, of, tracker } = replaying
  const { stream } = item
  for (let { revision } = item; ; ) {
    const range = { after: revision - 1, direction: 'forwards', limit: limits.iterateRecords } as const
    const { events, more } = await eventPage(background.reading, stream, range)
    let reached = !more
    for (const event of events) {
      if (!isBehind(event, tracker)) {
        // Of a stream that is forgotten nothing else is left, and it comes by itself.
        if (event.tombstone) revision = event.revision
        reached = true
        break
      }
      if (isAskedFor(event, consuming)) {
        const next = { ...item, revision: event.revision + 1, position: (event.position ?? 0) + 1 }
        const end = await insist(replaying, event, putParked(of, next))
        if (end.outcome === 'left') return
        if (end.outcome === 'failed') {
          const { position = 0 } = event
          const error = failureOf(end.error, background.clock())
          const again = { ...item, revision: event.revision, position, tries: end.tries, error, replay: false }
          await replaying.write({ documents: putParked(of, again) })
          return
        }
        if (event.tombstone) delete waiting.tombstone
      }
      revision = event.revision + 1
    }
    // From here to the removal nothing else runs, so that no event comes between.
    if (reached && waiting.last < revision) {
      await replaying.unpark(stream)
      return
    }
  }
}

/** The event was passed over, or will not come any more: it is for the replay to deliver. */
function isBehind({ position, tombstone }: Recorded, tracker: Tracker): boolean {
  if (position === undefined || position > tracker.scanned) return false
  return tombstone === true || !tracker.isOpen(position)
}

/** Events are read as new ones already, and so is the filter meant. */
function isAskedFor(event: Recorded, { filter }: Consuming): boolean {
  return event.tombstone ? passesTombstone(filter, event.stream) : matchesFilter(filter, event.stream, event)
}

async function insist(
  { consuming, halting, tryOnce, waitMs }: Replaying,
  event: Recorded,
  documents: readonly DocumentWrite[],
): Promise<Attempt & { readonly tries: number }> {
  for (let tries = 1; ; tries++) {
    const attempt = await tryOnce(event, tries, documents)
    if (attempt.outcome !== 'failed' || attempt.hopeless || tries >= consuming.tries) return { ...attempt, tries }
    await sleep(attempt.waitMs ?? waitMs(tries), halting)
    if (halting.aborted) return { outcome: 'left', tries }
  }
}
