/**
 * The SQLite storage: one file, several processes. The driver is synchronous, so a batch of commits is one transaction
 * between two turns of the event loop, and one fsync. `sqliteStorage({ file: 'orders.db' })`.
 */
import { statSync } from 'node:fs'
import { widestLimits } from '../../core/commit.ts'
import { limits } from '../../core/limits.ts'
import type { Commit, CommitOutcome, EraseProgress, EraseStep, Storage } from '../../core/storage.ts'
import { createBell } from '../../core/wake.ts'
import { openAuditors } from './auditors.ts'
import { createCheckpoints, walBytes } from './checkpoint.ts'
import { commitOne, type Head } from './commit.ts'
import { declareCollections, eraseCollection, eraseHeld, getDocument, isDeclared, queryDocuments } from './documents.ts'
import { failureOf, nodeSqlite, whenFree } from './driver.ts'
import { forgetEvents, restoreOne, trimEvents } from './erase.ts'
import type { SqliteOptions } from './options.ts'
import { headOf, listStreams, listStreamTypes, positionOf, readBoundary, readLog, readStream } from './read.ts'
import { openDatabase } from './schema.ts'
import { createSession, type Session, transact } from './session.ts'

export type { SqliteDatabase, SqliteDriver, SqliteStatement } from './driver.ts'
export type { SqliteOptions } from './options.ts'

/** How often the file is asked, while somebody is subscribed, whether another process has written: who just did may do so again. */
const watchMs = { lively: 25, quiet: 100 }
const livelyMs = 5_000

/** Throws `NotAStore`, `SchemaTooNew`, `StoreMissing`, `StoreBusy` or `StorageFailed`, each with the file's name. */
export async function sqliteStorage(options: SqliteOptions): Promise<Storage> {
  if (options.thread) return (await import('./thread.ts')).sqliteThread(options)
  const { file, readOnly = false, busyTimeoutMs = 5_000, clock = Date.now } = options
  const driver = options.driver ?? (await nodeSqlite())
  const open = async () => createSession(await openDatabase({ file, driver, readOnly, busyTimeoutMs }), file)
  const bell = createBell()
  let session = await open()
  let trusted = true
  let reopening: Promise<void> | undefined
  const checkpoints = createCheckpoints(() => session)
  let watching: NodeJS.Timeout | undefined
  let seenVersion = -1
  let seenAt = 0
  let closed = false

  /** One new connection for all that wait for it. Where there is none, the next one asks again. */
  function reopen(): Promise<void> {
    reopening ??= (async () => {
      try {
        const broken = session
        session = await open()
        trusted = true
        broken.db.close()
      } finally {
        reopening = undefined
      }
    })()
    return reopening
  }

  /** After an I/O error the connection may hold what the disk does not; only a new one can be trusted. */
  function attempt<Result>(run: (session: Session) => Result): Result {
    try {
      return run(session)
    } catch (error) {
      if (failureOf(error) === 'io') trusted = false
      throw error
    }
  }

  async function read<Result>(run: (session: Session) => Result): Promise<Result> {
    if (!trusted) await reopen()
    try {
      return attempt(run)
    } catch (error) {
      const failure = failureOf(error)
      // Whether that works or not, it is this error that tells what may have been written.
      if (failure === 'io') await reopen().catch(() => {})
      if (failure !== 'busy') throw error
      return whenFree(busyTimeoutMs, () => attempt(run))
    }
  }

  async function write<Result>(run: (session: Session) => Result): Promise<Result> {
    const result = await read((session) => transact(session, () => run(session)))
    checkpoints.committed()
    bell.ring()
    return result
  }

  async function commit(commits: readonly Commit[]): Promise<readonly CommitOutcome[]> {
    try {
      return await write((session) => {
        const head = endOf(session)
        const now = clock()
        return commits.map((commit) => commitOne(session, commit, head, now))
      })
    } catch (error) {
      const failure = failureOf(error)
      if (failure === 'busy') return commits.map(() => ({ outcome: 'busy', retryAfterMs: 100 }))
      if (failure === 'io') throw error
      if (commits.length === 1) return [{ outcome: 'failed', cause: error }]
      // Nothing of the batch was written. One by one, so that only what is to blame fails.
      const outcomes: CommitOutcome[] = []
      for (const one of commits) outcomes.push(...(await commit([one])))
      return outcomes
    }
  }

  function watch(): void {
    try {
      const { data_version: version } = session.sql.dataVersion.get() as { data_version: number }
      if (version !== seenVersion) {
        bell.ring()
        seenAt = performance.now()
      }
      seenVersion = version
    } catch {
      bell.ring() // Whoever is woken reads, and meets the failure where it can be told.
    }
    watching = setTimeout(watch, performance.now() - seenAt < livelyMs ? watchMs.lively : watchMs.quiet)
  }

  return {
    name: `sqlite:${file}`,
    limits: widestLimits,
    abilities: {
      ...{ positions: 'at-commit', ids: 'everywhere', conditions: 'any', search: true, statements: true },
      remnants: [],
    },
    commit,
    readStream: (stream, range) => read((session) => readStream(session, stream, range)),
    readBoundary: (query, from, limit) => read((session) => readBoundary(session, query, from, limit)),
    readLog: (query) => read((session) => readLog(session, query)),
    listStreams: (query) => read((session) => listStreams(session, query, headOf(session))),
    listStreamTypes: () => read(listStreamTypes),
    getDocuments: (keys) => read((session) => keys.map((key) => getDocument(session, key))),
    queryDocuments: (query) => read((session) => queryDocuments(session, query)),
    async declare(collections) {
      const known = await read((session) => collections.every((spec) => isDeclared(session, spec)))
      if (!known) await write((session) => declareCollections(session, collections))
    },
    positionOf: (stream, revision) => read((session) => positionOf(session, stream, revision)),
    async erase(step) {
      if (step.erase === 'scrub') return read(scrub)
      return write((session) => erase(session, step))
    },
    restore: (records) =>
      write((session) => {
        const head = endOf(session)
        for (const record of records) restoreOne(session, record, head)
      }),
    async *wake(signal) {
      watching ??= setTimeout(watch, watchMs.lively)
      try {
        yield* bell.listen(signal)
      } finally {
        if (bell.listeners === 0) {
          clearTimeout(watching)
          watching = undefined
        }
      }
    },
    // A driver that is handed in cannot go along to another thread.
    ...(options.driver === undefined && { auditors: (most: number) => openAuditors(file, most) }),
    gauges: () => ({
      walBytes: walBytes(file),
      fileBytes: statSync(file, { throwIfNoEntry: false })?.size ?? 0,
    }),
    async close() {
      if (closed) return
      closed = true
      clearTimeout(watching)
      checkpoints.stop()
      await reopening?.catch(() => {})
      session.db.close()
    },
  }
}

function endOf({ sql }: Session): Head {
  return (sql.head.get() as Head | undefined) ?? { position: 0, time: 0 }
}

function erase(session: Session, step: Exclude<EraseStep, { erase: 'scrub' }>): EraseProgress {
  switch (step.erase) {
    case 'trim':
      return trimEvents(session, step.stream, step.from, step.to, step.segment)
    case 'events':
      return forgetEvents(session, step.stream, step.from)
    case 'documents':
      return eraseHeld(session, step.stream, limits.eraseRecords)
    case 'collection': {
      const erased = eraseCollection(session, step.collection, limits.eraseRecords)
      return { erased, done: erased < limits.eraseRecords }
    }
  }
}

/**
 * What SQLite deletes it overwrites, but not the places from which it has moved rows to other pages before: only a file that
 * is made anew has none. Then the write-ahead log is moved into the file and cut off; not while some connection still reads in it.
 */
function scrub({ db, sql, file }: Session): EraseProgress {
  const small = (statSync(file, { throwIfNoEntry: false })?.size ?? 0) <= limits.scrubVacuumBytes
  let vacuumed = false
  try {
    if (small) db.exec('VACUUM')
    vacuumed = true
  } catch (error) {
    if (failureOf(error) !== 'busy') throw error
  }
  const done = (sql.checkpointTruncate.get() as { busy: number }).busy === 0 && vacuumed
  return { erased: 0, done, ...(!small && { remnants: [unusedBytes] }) }
}

const unusedBytes = { where: 'unused bytes in pages of the file', ends: 'VACUUM makes the file anew without them' }
