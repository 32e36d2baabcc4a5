/** A bell that tells listeners "something may have come". Rings that meet nobody waiting are kept as one. */

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
      for (const listener of listeners) {
        listener.rung = true
        listener.wake()
      }
    },
    get listeners() {
      return listeners.size
    },
  }
}
