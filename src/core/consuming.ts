/**
 * A consumer at work, under its lease: pages of the log go into a lane for each stream, some lanes at a time go through the
 * handler, and the checkpoint follows. Whatever is written (checkpoint, effects, parked streams) is one commit after the
 * other under the lease, so that what one process has begun and lost is never mixed with what the next one does.
 */
import { type Background, settle } from './background.ts'
import { type ConsumerBody, type Consuming, checkHandled, parkedFor } from './consumer.ts'
import { prepareEffect } from './effect.ts'
import { PositionBeyondHead } from './errors.ts'
import type { LogEntry } from './event.ts'
import { type Failure, failureOf } from './failure.ts'
import { feedPages } from './feed.ts'
import type { Lease } from './lease.ts'
import { limits } from './limits.ts'
import { deleteParked, putParked } from './parked.ts'
import { type Attempt, createReplays } from './parked-replay.ts'
import { createParkedStreams, type Waiting } from './parked-streams.ts'
import type { AppendCondition } from './query.ts'
import type { DocumentWrite, StreamAppend } from './storage.ts'
import { formatInstant } from './time.ts'
import { createTracker, finishedTo } from './tracker.ts'
import { backoffMs } from './turn.ts'
import type { Bell } from './wake.ts'

/** Events of one stream that wait for the first of them. */
interface Lane {
  readonly stream: string
  readonly queue: LogEntry[]
  tries: number
}

export interface Place {
  readonly lease: Lease<ConsumerBody>
  /** Stops the work, and gives the lease back. */
  readonly stopping: AbortSignal
  /** Rings now and then, and when something was asked of the consumer. */
  readonly bell: Bell
  /** Rung when the checkpoint has moved. */
  readonly moved: Bell
}

/** Resolves when it was stopped or paused, or the lease is lost. Throws what does not heal; the consumer has then failed. */
export async function work(background: Background, consuming: Consuming, place: Place): Promise<void> {
  const { storage, reading, clock } = background
  const { handler, filter, parallel, recorded } = consuming
  const { lease, stopping, bell, moved } = place
  const of = parkedFor(lease.body)
  const resumed = lease.body.checkpoint
  const unmet = new Set(resumed.open)
  const tracker = createTracker(resumed)
  const lanes = new Map<string, Lane>()
  const ready: Lane[] = []
  const tasks = new Set<Promise<void>>()
  const timers = new Set<ReturnType<typeof setTimeout>>()
  const halting = new AbortController()
  const hurrying = new AbortController()
  const parked = createParkedStreams({ storage, of, count: lease.body.parked, halting: halting.signal })
  const handlerSignal = AbortSignal.any([lease.lost, hurrying.signal])
  let trouble: (Failure & { readonly stream: string }) | undefined
  let active = 0
  let freed = () => {}

  function halt(): void {
    halting.abort()
    freed()
  }

  // The checkpoint.

  let dirty: 'no' | 'moved' | 'handled' = 'no'
  let flushing: ReturnType<typeof setTimeout> | undefined
  let flushedAt = 0

  const state =
    (finishing: readonly number[] = [], fewer = 0) =>
    (body: ConsumerBody): ConsumerBody => ({
      ...body,
      checkpoint: tracker.checkpoint(finishing),
      parked: parked.count - fewer,
      trouble: trouble && { name: trouble.name, message: trouble.message, time: trouble.time },
      seenAt: formatInstant(clock()),
    })

  async function write(change: {
    readonly appends?: readonly StreamAppend[]
    readonly condition?: AppendCondition
    readonly documents?: readonly DocumentWrite[]
    /** Positions that are finished by this. */
    readonly finishing?: readonly number[]
    /** Called when it is written, which takes one off the parked list. */
    readonly unparked?: () => void
    readonly begun?: () => void
  }): Promise<boolean> {
    const { finishing = [], unparked, begun, ...rest } = change
    const body = (current: ConsumerBody) => {
      begun?.()
      dirty = 'no'
      flushedAt = performance.now()
      return state(finishing, unparked === undefined ? 0 : 1)(current)
    }
    try {
      const written = () => {
        for (const position of finishing) tracker.finish(position)
        unparked?.()
        freed()
        moved.ring()
      }
      return await lease.write({ ...rest, body, written })
    } catch (error) {
      dirty = 'handled'
      throw error
    }
  }

  function flushSoon(): void {
    if (flushing !== undefined || dirty === 'no' || halting.signal.aborted) return
    const gapMs = dirty === 'handled' ? limits.consumerCheckpointMs : limits.workPollMs
    flushing = setTimeout(flush, Math.max(0, flushedAt + gapMs - performance.now()))
  }

  function flush(): void {
    flushing = undefined
    // Where it fails, the next ring of the bell tries again; where that is too late, the lease is lost.
    if (dirty !== 'no') durable().catch(() => {})
  }

  let upcoming: Promise<boolean> | undefined
  /** One write for all that ask before its turn comes. */
  function durable(): Promise<boolean> {
    const begun = () => {
      upcoming = undefined
    }
    upcoming ??= write({ begun })
    return upcoming
  }

  function handled(): void {
    if (dirty !== 'handled') {
      clearTimeout(flushing)
      flushing = undefined
    }
    dirty = 'handled'
    flushSoon()
  }

  // Lanes.

  function admit(entry: LogEntry): void {
    const position = entry.position as number
    if (position <= resumed.scanned && !unmet.delete(position)) return
    const waiting = parked.get(entry.stream)
    if (waiting) {
      passOver(waiting, entry)
      return
    }
    enqueue(entry)
  }

  function enqueue(entry: LogEntry): void {
    tracker.begin(entry.position as number)
    const lane = lanes.get(entry.stream) ?? { stream: entry.stream, queue: [], tries: 0 }
    lanes.set(entry.stream, lane)
    if (lane.queue.push(entry) === 1) ready.push(lane)
  }

  /** It waits in the log. A tombstone does not: what it says of the stream is all that there is left to be handled. */
  function passOver(waiting: Waiting, entry: LogEntry): void {
    if (entry.forgotten || !entry.tombstone) {
      waiting.last = entry.revision
      tracker.finish(entry.position as number)
    } else if (waiting.replaying) {
      waiting.last = entry.revision
      waiting.tombstone = entry
      tracker.begin(entry.position as number)
    } else {
      deliverTombstone(entry)
    }
  }

  function deliverTombstone(entry: LogEntry): void {
    void unpark(entry.stream)
    enqueue(entry)
    pump()
  }

  function unpark(stream: string): Promise<void> {
    return parked.unpark(stream, (unparked) => write({ documents: deleteParked(of, stream), unparked }))
  }

  function pump(): void {
    while (active < parallel && !halting.signal.aborted) {
      const lane = ready.shift()
      if (lane === undefined) return
      active++
      const task = step(lane).finally(() => {
        active--
        tasks.delete(task)
        pump()
      })
      tasks.add(task)
    }
  }

  async function step(lane: Lane): Promise<void> {
    const entry = lane.queue[0] as LogEntry
    const attempt = await tryOnce(entry, lane.tries + 1)
    if (attempt.outcome === 'left') return
    if (attempt.outcome === 'done') {
      lane.queue.shift()
      lane.tries = 0
      if (trouble?.stream === lane.stream) {
        trouble = undefined
        handled()
      }
      if (lane.queue.length > 0) ready.push(lane)
      else lanes.delete(lane.stream)
      return
    }
    lane.tries++
    try {
      if (attempt.hopeless || lane.tries >= consuming.tries) return await park(lane, attempt.error)
    } catch {
      // The storage has failed; the next try may end otherwise.
    }
    const { name } = failureOf(attempt.error, 0)
    const message = `The handler failed at revision ${entry.revision} of "${lane.stream}", try ${lane.tries}`
    trouble = { stream: lane.stream, name, message, time: formatInstant(clock()) }
    handled()
    later(attempt.waitMs ?? waitMs(lane.tries), () => {
      ready.push(lane)
      pump()
    })
  }

  function waitMs(tries: number): number {
    return backoffMs(tries, consuming.backoffMs, limits.consumerBackoffMsMost)
  }

  function later(ms: number, run: () => void): void {
    const timer = setTimeout(() => {
      timers.delete(timer)
      run()
    }, ms)
    timers.add(timer)
  }

  /** Runs the handler once, and makes durable what it has said. `documents` come with it. */
  async function tryOnce(entry: LogEntry, tries: number, documents: readonly DocumentWrite[] = []): Promise<Attempt> {
    try {
      const { park, retryInMs, ...effect } = checkHandled(await handler(entry, { tries, signal: handlerSignal }))
      const failed = { outcome: 'failed', error: new Error(park ?? 'The handler asked to be called again') } as const
      if (park !== undefined) return { ...failed, hopeless: true }
      if (retryInMs !== undefined) return { ...failed, hopeless: false, waitMs: retryInMs }
      const prepared = await prepareEffect(background, effect)
      const all = [...(prepared.documents ?? []), ...documents]
      const position = entry.position as number
      if (prepared.appends.length + all.length > 0) {
        if (!(await write({ ...prepared, documents: all, finishing: [position] }))) return left(entry)
      } else {
        tracker.finish(position)
        freed()
        handled()
        if (recorded && !(await durable())) return left(entry)
      }
      recorded?.(entry)
      return { outcome: 'done' }
    } catch (error) {
      recorded?.(entry, error)
      return halting.signal.aborted ? { outcome: 'left' } : { outcome: 'failed', error, hopeless: false }
    }
  }

  function left(entry: LogEntry): Attempt {
    recorded?.(entry, lease.lost.reason)
    return { outcome: 'left' }
  }

  /** All that came after it waits with it, but a tombstone: then the stream is done with. */
  async function park(lane: Lane, error: unknown): Promise<void> {
    const { stream, queue, tries } = lane
    const { revision, position } = queue[0] as LogEntry & { position: number }
    const item = { item: stream, stream, revision, position, tries, error: failureOf(error, clock()), replay: false }
    const finishing = queue
      .filter((entry, index) => index === 0 || !isTombstone(entry))
      .map((entry) => entry.position as number)
    parked.expect()
    if (trouble?.stream === stream) trouble = undefined
    if (!(await write({ documents: putParked(of, item), finishing }))) return
    lanes.delete(stream)
    const waiting = parked.park(item)
    waiting.last = revision
    for (const entry of queue.slice(1)) passOver(waiting, entry)
  }

  const replays = createReplays({
    ...{ background, consuming, lease, of, tracker, moved, tryOnce, waitMs, write, unpark, deliverTombstone },
    meet: parked.meet,
    halting: halting.signal,
  })

  /** What others have asked of the consumer. */
  async function control(): Promise<void> {
    for await (const _ of bell.listen(halting.signal)) {
      await lease.look().catch(() => {})
      if (lease.body.paused) return halt()
      replays.run()
      flushSoon()
    }
  }

  async function readOn(): Promise<void> {
    const from = { ...filter, after: finishedTo(resumed), logId: lease.body.logId }
    // A reader that does not come through to the storage loses its lease, and begins anew from there.
    const onTrouble = consuming.onTrouble ?? (() => {})
    for await (const page of feedPages(reading, { ...from, onTrouble }, halting.signal)) {
      // The tail is lost, and what has come since stands where other events were.
      if (page.head < resumed.scanned) throw new PositionBeyondHead({ position: resumed.scanned, head: page.head })
      await parked.learn(page.entries, (stream) => lanes.has(stream))
      if (halting.signal.aborted) return
      for (const entry of page.entries) admit(entry)
      // What was not finished and does not come any more was forgotten meanwhile.
      for (const position of unmet) if (position <= page.scannedTo && unmet.delete(position)) tracker.finish(position)
      if (page.scannedTo > tracker.scanned && dirty === 'no') dirty = 'moved'
      tracker.advance(page.scannedTo)
      pump()
      flushSoon()
      while (tracker.size >= limits.consumerEvents && !halting.signal.aborted) {
        await new Promise<void>((resolve) => {
          freed = resolve
        })
      }
    }
  }

  const ends = AbortSignal.any([stopping, lease.lost])
  ends.addEventListener('abort', halt, { once: true })
  if (ends.aborted) halt()
  let failed: Failure | undefined
  const controlling = control()
  try {
    await readOn()
  } catch (error) {
    failed = failureOf(error, clock())
    throw error
  } finally {
    halt()
    for (const timer of timers) clearTimeout(timer)
    clearTimeout(flushing)
    await settle([...tasks, replays.ended(), controlling], () => hurrying.abort(new Error('The consumer is stopping')))
    const given = (body: ConsumerBody): ConsumerBody => ({ ...state()(body), held: undefined, failed })
    if (!lease.lost.aborted) await lease.write({ body: given }).catch(() => {})
    lease.end()
    moved.ring()
  }
}

export function isTombstone(entry: LogEntry): boolean {
  return !entry.forgotten && entry.tombstone === true
}
