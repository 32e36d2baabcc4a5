/** What stands between a store and its storage: it ends with the store, is observed, and fails in typed errors. */
import { isStoreError, StorageFailed, StoreClosed } from './errors.ts'
import { type Observer, observe } from './observe.ts'
import type { Storage } from './storage.ts'

/** The storage whose reads end with the store, and whose own words for a failure become the cause of a typed error. */
export function watched(storage: Storage, closing: AbortSignal, observer: Observer | undefined): Storage {
  async function ask<Answer>(operation: string, run: () => Promise<Answer>): Promise<Answer> {
    if (closing.aborted) throw new StoreClosed()
    try {
      return await observe(observer, { layer: 'storage', name: operation }, run)
    } catch (error) {
      throw isStoreError(error) ? error : new StorageFailed(operation, error)
    }
  }
  const { commitWithin } = storage
  return {
    ...storage,
    // What was accepted is still committed while the store closes, and the queue knows what a failure means.
    commit: (commits) =>
      observe(observer, { layer: 'storage', name: 'commit', size: commits.length }, () => storage.commit(commits)),
    // Whose connection breaks before it has committed has written nothing.
    ...(commitWithin && {
      commitWithin: (transaction, commit) =>
        ask('commit within a transaction', () => commitWithin(transaction, commit)),
    }),
    readStream: (stream, range) => ask('read a stream', () => storage.readStream(stream, range)),
    readBoundary: (query, from, limit) => ask('read a boundary', () => storage.readBoundary(query, from, limit)),
    readLog: (query) => ask('read the log', () => storage.readLog(query)),
    listStreams: (query) => ask('list streams', () => storage.listStreams(query)),
    listStreamTypes: () => ask('list stream types', () => storage.listStreamTypes()),
    getDocuments: (keys) => ask('get documents', () => storage.getDocuments(keys)),
    queryDocuments: (query) => ask('query documents', () => storage.queryDocuments(query)),
    declare: (collections) => ask('declare collections', () => storage.declare(collections)),
    erase: (step) => ask('erase', () => storage.erase(step)),
    wake: (signal) => storage.wake(signal),
  }
}
