/**
 * Work in the background: job workers, consumers. Nothing of it runs unless it was asked for; what runs stands in one set,
 * so that closing the store can end all of it.
 */
import type { Making } from './append.ts'
import type { CommitQueue } from './commit-queue.ts'
import { InvalidArgument, StoreClosed, StoreReadOnly } from './errors.ts'
import type { Forms } from './form.ts'
import { limits } from './limits.ts'
import type { Reading } from './read.ts'
import type { Storage } from './storage.ts'
import type { Clock } from './time.ts'
import { sleep } from './turn.ts'
import { type Bell, createBell } from './wake.ts'

/** What work in the background needs of its store. */
export interface Background extends Forms {
  readonly storage: Storage
  readonly queue: CommitQueue
  readonly making: Making
  readonly reading: Reading
  /** What time it is, for what is due and for what is shown. */
  readonly clock: Clock
  readonly readOnly: boolean
  /** Aborted when the store closes. */
  readonly closing: AbortSignal
  readonly running: Set<Running>
}

export interface Running {
  /** Begins nothing more; resolves when what was begun has ended, or has been told to and has had its time. */
  stop(): Promise<void>
}

export interface TroubleOptions {
  /**
   * Called when the storage failed and will be asked again. With it the work goes on until it is stopped; without it, it
   * ends once 20 tries in a row have failed, so that trouble is never silent.
   */
  readonly onTrouble?: (error: unknown, retryInMs: number) => void
}

export function checkWritable({ readOnly, closing }: Pick<Background, 'readOnly' | 'closing'>): void {
  if (closing.aborted) throw new StoreClosed()
  if (readOnly) throw new StoreReadOnly()
}

/** A bell that also rings when another does, and at least every `everyMs`, until the signal ends it. */
export function ringingBell({
  other,
  everyMs,
  signal,
}: {
  readonly other: Bell
  readonly everyMs: number
  readonly signal: AbortSignal
}): Bell {
  const bell = createBell()
  if (signal.aborted) return bell
  const ticking = setInterval(bell.ring, everyMs)
  signal.addEventListener('abort', () => clearInterval(ticking), { once: true })
  void (async () => {
    for await (const _ of other.listen(signal)) bell.ring()
  })()
  return bell
}

/** Waits for what runs; after a while tells it to hurry by `abort`, and after another while leaves it behind. */
export async function settle(running: Iterable<Promise<unknown>>, abort: () => void): Promise<void> {
  const all = Promise.allSettled(running)
  const ended = new AbortController()
  const patience = () => sleep(limits.workStopMs, ended.signal)
  await Promise.race([all, patience()])
  abort()
  await Promise.race([all, patience()])
  ended.abort()
}

export function checkParallel(parallel: number = limits.workParallelDefault): number {
  return checkCount(parallel, 'parallel', limits.workParallel)
}

export function checkCount(count: number, path: string, most: number): number {
  if (Number.isSafeInteger(count) && count >= 1 && count <= most) return count
  throw new InvalidArgument(path, `must be 1 to ${most}`)
}
