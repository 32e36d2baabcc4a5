/** The other side of `thread.ts`: holds the storage, does what it is asked, and says when something has come. */
import { parentPort, workerData } from 'node:worker_threads'
import { plainError } from '../../core/error-data.ts'
import type { CommitOutcome, Storage } from '../../core/storage.ts'
import { sqliteStorage } from './storage.ts'
import type { FromThread, ThreadOptions, ToThread } from './thread.ts'

const port = parentPort
if (port === null) throw new Error('worker.ts runs on a thread of thread.ts')

let now = 0
let watching: AbortController | undefined
const opened = sqliteStorage({ ...(workerData as ThreadOptions), clock: () => now })
// Whoever asks first is told.
opened.catch(() => {})

port.on('message', async (message: ToThread) => {
  if ('watch' in message) return watch(message.watch)
  const { call, method, args } = message
  now = message.now
  try {
    const storage = await opened
    const run = storage[method] as (...args: readonly unknown[]) => Promise<unknown>
    const answer = await run(...args)
    tell({ call, answer: method === 'commit' ? (answer as CommitOutcome[]).map(portable) : answer })
  } catch (error) {
    tell({ call, error: plainError(error) })
  }
})

async function watch(on: boolean): Promise<void> {
  if (!on) return watching?.abort()
  if (watching?.signal.aborted === false) return
  watching = new AbortController()
  const storage: Storage = await opened
  for await (const _ of storage.wake(watching.signal)) tell({ wake: true })
}

/** An error loses what it knows when it is copied, so that one within an outcome is made plain. */
function portable(outcome: CommitOutcome): CommitOutcome {
  return outcome.outcome === 'failed' ? { ...outcome, cause: plainError(outcome.cause) } : outcome
}

function tell(message: FromThread): void {
  port?.postMessage(message)
}
