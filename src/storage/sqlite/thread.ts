/**
 * The SQLite storage on a thread of its own, so that an fsync does not stop the event loop: worth it where the disk is
 * slow and the process does other things. Every call and its answer are copied between the threads.
 */
import { statSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { widestLimits } from '../../core/commit.ts'
import { reviveError } from '../../core/error-data.ts'
import { InvalidArgument, StoreClosed } from '../../core/errors.ts'
import type { Storage } from '../../core/storage.ts'
import { createBell } from '../../core/wake.ts'
import { openAuditors } from './auditors.ts'
import { walBytes } from './checkpoint.ts'
import type { SqliteOptions } from './options.ts'

/** The calls that go over as they are. */
export type ThreadMethod = Exclude<
  keyof Storage,
  'name' | 'limits' | 'abilities' | 'wake' | 'auditors' | 'gauges' | 'commitWithin' | 'readWithin'
>

export interface ThreadOptions extends Pick<SqliteOptions, 'file' | 'readOnly' | 'busyTimeoutMs'> {}

export type ToThread =
  | { readonly call: number; readonly method: ThreadMethod; readonly args: readonly unknown[]; readonly now: number }
  | { readonly watch: boolean }

export type FromThread =
  | { readonly call: number; readonly answer: unknown }
  | { readonly call: number; readonly error: unknown }
  | { readonly wake: true }

interface Waiting {
  resolve(answer: unknown): void
  reject(error: unknown): void
}

/** Throws as `sqliteStorage` does. A driver that is handed in cannot go along: the thread opens `node:sqlite`. */
export async function sqliteThread(options: SqliteOptions): Promise<Storage> {
  const { file, readOnly = false, busyTimeoutMs = 5_000, clock = Date.now } = options
  if (options.driver !== undefined) {
    throw new InvalidArgument('driver', 'cannot be handed to a thread; leave out one of the two')
  }
  const workerData: ThreadOptions = { file, readOnly, busyTimeoutMs }
  // From source the thread runs TypeScript as well.
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const worker = new Worker(new URL(`./worker.${extension}`, import.meta.url), { workerData })
  const waiting = new Map<number, Waiting>()
  const bell = createBell()
  let calls = 0
  let ended: Error | undefined

  worker.on('message', (message: FromThread) => {
    if ('wake' in message) return bell.ring()
    const caller = waiting.get(message.call)
    waiting.delete(message.call)
    if ('error' in message) caller?.reject(reviveError(message.error))
    else caller?.resolve(message.answer)
  })
  const end = (error: Error) => {
    ended ??= error
    for (const { reject } of waiting.values()) reject(ended)
    waiting.clear()
  }
  worker.on('error', end)
  worker.on('exit', () => end(new StoreClosed()))

  /** Answers come in the order of the calls, for the thread does one thing at a time. */
  function call<Method extends ThreadMethod>(
    method: Method,
    ...args: Parameters<Storage[Method]>
  ): ReturnType<Storage[Method]> {
    const answer = new Promise((resolve, reject) => {
      if (ended) return reject(ended)
      waiting.set(++calls, { resolve, reject })
      worker.postMessage({ call: calls, method, args, now: clock() } satisfies ToThread)
    })
    return answer as ReturnType<Storage[Method]>
  }

  const storage: Storage = {
    name: `sqlite:${file}`,
    limits: widestLimits,
    abilities: {
      ...{ positions: 'at-commit', ids: 'everywhere', conditions: 'any', search: true, statements: false },
      remnants: [],
    },
    async commit(commits) {
      const outcomes = await call('commit', commits)
      return outcomes.map((outcome) =>
        outcome.outcome === 'failed' ? { ...outcome, cause: reviveError(outcome.cause) } : outcome,
      )
    },
    readStream: (stream, range) => call('readStream', stream, range),
    readBoundary: (query, from, limit) => call('readBoundary', query, from, limit),
    readLog: (query) => call('readLog', query),
    listStreams: (query) => call('listStreams', query),
    listStreamTypes: () => call('listStreamTypes'),
    getDocuments: (keys) => call('getDocuments', keys),
    queryDocuments: (query) => call('queryDocuments', query),
    declare: (collections) => call('declare', collections),
    positionOf: (stream, revision) => call('positionOf', stream, revision),
    erase: (step) => call('erase', step),
    restore: (records) => call('restore', records),
    async *wake(signal) {
      worker.postMessage({ watch: true } satisfies ToThread)
      try {
        yield* bell.listen(signal)
      } finally {
        if (bell.listeners === 0) worker.postMessage({ watch: false } satisfies ToThread)
      }
    },
    auditors: (most) => openAuditors(file, most),
    gauges: () => ({ walBytes: walBytes(file), fileBytes: statSync(file, { throwIfNoEntry: false })?.size ?? 0 }),
    async close() {
      if (ended) return
      await call('close')
      await worker.terminate()
    },
  }
  try {
    // The thread opens the file first, so that its answer to anything tells whether that went well.
    await storage.listStreamTypes()
  } catch (error) {
    await worker.terminate()
    throw error
  }
  return storage
}
