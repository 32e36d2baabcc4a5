/** Waiting, on any runtime. */

const { setImmediate } = globalThis as { setImmediate?: (run: () => void) => unknown }

/** Resolves after everything that is ready to run now has run: callers of the same moment meet in one batch. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    if (setImmediate) setImmediate(resolve)
    else setTimeout(resolve, 0)
  })
}

/** Resolves after `ms`, or at once when the signal aborts. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve()
    const done = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal?.addEventListener('abort', done)
  })
}

/** The wait before try `tries` + 1: doubling from `firstMs`, at most `mostMs`, spread by chance so that rivals part. */
export function backoffMs(tries: number, firstMs: number, mostMs: number): number {
  return Math.min(mostMs, firstMs * 2 ** (tries - 1)) * (0.5 + Math.random() / 2)
}
