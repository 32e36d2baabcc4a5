/**
 * A bell that tells listeners "something may have come". Rings that meet nobody waiting are kept as one. Each listener
 * goes to look, so the more there are, the longer the rings are gathered: writers must not pay for those who wait.
 */
import { limits } from './limits.ts'

export interface Bell {
  ring(): void
  /** Yields once at start and after each ring, until the signal ends it. */
  listen(signal: AbortSignal): AsyncIterable<void>
  readonly listeners: number
}

interface Listener {
  rung: boolean
  wake: () => void
}

export function createBell(): Bell {
  const listeners = new Set<Listener>()
  let nextAt = 0
  let gathering = false

  function wakeAll(): void {
    gathering = false
    nextAt = performance.now() + gapMs(listeners.size)
    for (const listener of listeners) {
      listener.rung = true
      listener.wake()
    }
  }

  async function* listen(signal: AbortSignal): AsyncGenerator<void> {
    const listener: Listener = { rung: true, wake: () => {} }
    const onAbort = () => listener.wake()
    listeners.add(listener)
    signal.addEventListener('abort', onAbort)
    try {
      while (true) {
        if (!listener.rung && !signal.aborted) {
          await new Promise<void>((resolve) => {
            listener.wake = resolve
          })
        }
        if (signal.aborted) return
        listener.rung = false
        yield
      }
    } finally {
      signal.removeEventListener('abort', onAbort)
      listeners.delete(listener)
    }
  }

  return {
    listen,
    ring() {
      if (gathering || listeners.size === 0) return
      const waitMs = nextAt - performance.now()
      if (waitMs <= 0) return wakeAll()
      gathering = true
      setTimeout(wakeAll, waitMs)
    },
    get listeners() {
      return listeners.size
    },
  }
}

/** None for the few that one process usually has. */
function gapMs(listeners: number): number {
  return listeners < 10 ? 0 : Math.min(limits.wakeGapMs, listeners * 0.1)
}
