/** A consumer in this process: stands by until the lease is to be had, works until it is stopped, and tells how far it is. */
import { type Background, checkWritable, type Running, ringingBell } from './background.ts'
import {
  type ConsumerBody,
  type ConsumerStatus,
  type Consuming,
  consumerBodyOf,
  consumerKey,
  consumers,
} from './consumer.ts'
import { work } from './consuming.ts'
import { backOff, mayHeal } from './feed.ts'
import { createWatch, type Lease, takeLease } from './lease.ts'
import { limits } from './limits.ts'
import type { Document } from './storage.ts'
import { formatInstant } from './time.ts'
import { finishedTo } from './tracker.ts'
import { type Bell, createBell } from './wake.ts'
import { ConsumerNotFound } from './work-errors.ts'

export interface Consumer extends Running {
  readonly name: string
  /**
   * Resolves when everything that the log holds now is handled or parked, with the checkpoint behind it, and every replay
   * that was asked for is over; wherever the consumer is at work. Rejects where it is stopped before.
   */
  whenCaughtUp(options?: { readonly signal?: AbortSignal }): Promise<void>
  status(): Promise<ConsumerStatus>
  /** Resolves when it was stopped; rejects with what does not heal, such as another log. */
  readonly ended: Promise<void>
  /** Aborted when it is stopped. */
  readonly stopping: AbortSignal
}

export interface ConsumerRun {
  /** Rings where something is asked of a consumer. */
  readonly asked: Bell
  readonly signal: AbortSignal | undefined
  readonly status: () => Promise<ConsumerStatus>
}

export function startConsumer(background: Background, consuming: Consuming, run: ConsumerRun): Consumer {
  checkWritable(background)
  const { storage, queue, making, clock } = background
  const { name, termMs } = consuming
  const { asked, signal } = run
  const stopping = new AbortController()
  const bell = ringingBell({ other: asked, everyMs: limits.workPollMs, signal: stopping.signal })
  const moved = createBell()
  const watch = createWatch()
  /** Of the lease that another has. */
  let expiry: ReturnType<typeof setTimeout> | undefined

  async function take(): Promise<Lease<ConsumerBody> | undefined> {
    const document = await find()
    if (document === undefined) throw new ConsumerNotFound(name)
    const body = consumerBodyOf(document)
    if (body.paused) return undefined
    const [leftMs = 0] = watch.look([{ key: name, held: body.held }])
    clearTimeout(expiry)
    if (leftMs > 0) {
      expiry = setTimeout(bell.ring, leftMs)
      return undefined
    }
    const since = formatInstant(clock())
    const held = { owner: making.newId(), since, termMs, beat: 0 }
    const place = { collection: consumers, key: name }
    const taken = { body: { ...body, held, failed: undefined, seenAt: since }, previous: document }
    return takeLease<ConsumerBody>({ storage, queue, newId: making.newId }, place, taken)
  }

  async function find(): Promise<Document | undefined> {
    return (await storage.getDocuments([consumerKey(name)]))[0]
  }

  async function standBy(): Promise<void> {
    let failures = 0
    for await (const _ of bell.listen(stopping.signal)) {
      try {
        const lease = await take()
        failures = 0
        if (lease === undefined) continue
        await work(background, consuming, { lease, stopping: stopping.signal, bell, moved })
        // Others may want it, and so may this one where it was lost.
        asked.ring()
        bell.ring()
      } catch (error) {
        if (stopping.signal.aborted) return
        if (!mayHeal(error)) throw error
        await backOff(error, ++failures, consuming, stopping.signal)
        bell.ring()
      }
    }
  }

  const ended = standBy().finally(() => {
    stopping.abort()
    clearTimeout(expiry)
    background.running.delete(consumer)
    signal?.removeEventListener('abort', stop)
    moved.ring()
  })
  ended.catch(() => {})

  function stop(): Promise<void> {
    stopping.abort()
    return ended.catch(() => {})
  }

  async function whenCaughtUp(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const { head } = await storage.readLog({ after: 0, direction: 'backwards', limit: 1 })
    const done = new AbortController()
    const signals = [done.signal, stopping.signal, ...(options.signal ? [options.signal] : [])]
    const waiting = AbortSignal.any(signals)
    bell.ring()
    try {
      const looking = ringingBell({ other: moved, everyMs: limits.workPollMs, signal: waiting })
      for await (const _ of looking.listen(waiting)) {
        const document = await find()
        if (document === undefined) throw new ConsumerNotFound(name)
        const { checkpoint, replays, replayed } = consumerBodyOf(document)
        if (finishedTo(checkpoint) >= head && replays === replayed) return
      }
    } finally {
      done.abort()
    }
    options.signal?.throwIfAborted()
    await ended
    stopping.signal.throwIfAborted()
  }

  const consumer: Consumer = { name, whenCaughtUp, status: run.status, stop, ended, stopping: stopping.signal }
  background.running.add(consumer)
  signal?.addEventListener('abort', stop)
  if (signal?.aborted) stopping.abort()
  return consumer
}
