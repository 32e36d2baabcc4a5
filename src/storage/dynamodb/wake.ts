/** Wake-ups: what this process sequences rings at once; what others do is seen by asking for the head now and then. */
import { sleep } from '../../core/turn.ts'
import type { Bell } from '../../core/wake.ts'

export interface Waker {
  /** Somebody subscribes: the head is asked for until the signal ends it. */
  listen(signal: AbortSignal): AsyncIterable<void>
  close(): Promise<void>
}

export function createWaker({
  bell,
  pollMs,
  head,
}: {
  readonly bell: Bell
  readonly pollMs: number
  readonly head: () => Promise<number>
}): Waker {
  let ended: AbortController | undefined
  let polling: Promise<void> | undefined

  async function poll(signal: AbortSignal): Promise<void> {
    for (let seen = -1; !signal.aborted; ) {
      // Whoever is woken reads, and meets a failure where it can be told.
      const now = await head().catch(() => -1)
      if (now !== seen || now < 0) bell.ring()
      seen = now
      await sleep(pollMs, signal)
    }
  }

  return {
    async *listen(signal) {
      if (ended === undefined) {
        ended = new AbortController()
        polling = poll(ended.signal)
      }
      try {
        yield* bell.listen(signal)
      } finally {
        if (bell.listeners === 0) {
          ended?.abort()
          ended = undefined
        }
      }
    },
    async close() {
      ended?.abort()
      await polling
    },
  }
}
