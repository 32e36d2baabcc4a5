/**
 * The DynamoDB storage: one table, any number of processes and functions. An append is one conditional put; positions are
 * given soon after. `dynamoStorage({ table: 'shop', region: 'eu-central-1' })`.
 */
import { limitBroken, sizeOf, widestLimits } from '../../core/commit.ts'
import { StoreReadOnly } from '../../core/errors.ts'
import type { Commit, CommitOutcome, Storage } from '../../core/storage.ts'
import { createBell } from '../../core/wake.ts'
import { readBoundary } from './boundary.ts'
import { commitAll, commitOne } from './commit.ts'
import { declareCollections, getDocuments, queryDocuments } from './documents.ts'
import { isRefusal, openTable, Throttled } from './driver.ts'
import { erase } from './erase.ts'
import { failureOf } from './failure.ts'
import { readHead, readLog } from './feed.ts'
import { createListing, listStreams, listStreamTypes } from './listing.ts'
import type { DynamoOptions } from './options.ts'
import { readStream } from './read.ts'
import { endRestoring, restore } from './restore.ts'
import { createSequencer } from './sequencer.ts'
import { hashWith, type RecordHint, rememberEnds, type Session } from './session.ts'
import { positionAt } from './stream.ts'
import { checkPlace, connect, openLog, placeOf } from './table.ts'
import { createWaker } from './wake.ts'

export type { DynamoOptions, DynamoPlace } from './options.ts'
export {
  type DynamoSequencer,
  type DynamoSequencerOptions,
  dynamoSequencer,
  type Sequenced,
  type Swept,
  type TableChange,
} from './sequencer-elsewhere.ts'
export { createTable, type TableOptions } from './table.ts'
export { parseDynamoUrl } from './url.ts'

const defaultPollMs = 250

/** Throws `NotAStore`, `SchemaTooNew`, `StoreMissing` or `StorageFailed`, each with the table. */
export async function dynamoStorage(options: DynamoOptions): Promise<Storage> {
  const { sequencer: where = 'here', readOnly = false, clock = Date.now, pollMs = defaultPollMs } = options
  checkPlace(options)
  const place = placeOf(options)
  const { sdk, client, close } = await connect(options)
  const table = openTable(sdk, client, options.table)
  const log = await openLog(table, place, { readOnly }).catch((error) => {
    close()
    throw error
  })
  let hint = (_: RecordHint) => {}
  const session: Session = {
    ...{ place, table, log, clock, hash: hashWith(log.secret), ends: rememberEnds(), feed: {} },
    hint: (record) => hint(record),
  }
  const bell = createBell()
  const waker = createWaker({ bell, pollMs, head: () => readHead(session) })
  const listing = createListing(session)
  const sequencer = where === 'here' && !readOnly ? createSequencer({ session, listing, onPage: bell.ring }) : undefined
  if (sequencer) hint = sequencer.hint
  let restoring = log.restoring === 1
  let closed: Promise<void> | undefined

  async function commit(commits: readonly Commit[]): Promise<readonly CommitOutcome[]> {
    if (readOnly) throw new StoreReadOnly()
    try {
      await sequencer?.writing()
      if (restoring) await endRestoring(session)
      restoring = false
    } catch (error) {
      throw error instanceof Throttled || isRefusal(error) ? failureOf(error, 'write to', session) : error
    }
    return commitAll(commits, async (one) => limitBroken(sizeOf(one), widestLimits) ?? commitOne(session, one))
  }

  /** Of what may be asked again. */
  async function ask<Result>(what: 'read from' | 'write to', run: () => Promise<Result>): Promise<Result> {
    try {
      return await run()
    } catch (error) {
      throw failureOf(error, what, { place })
    }
  }
  const read = <Result>(run: () => Promise<Result>) => ask('read from', run)
  const change = <Result>(run: () => Promise<Result>) =>
    ask('write to', () => {
      if (readOnly) throw new StoreReadOnly()
      return run()
    })
  // Listings are never behind positions that were seen.
  const listed = () => (readOnly ? Promise.resolve() : listing.catchUp())

  return {
    name: place,
    limits: widestLimits,
    abilities: {
      ...{ positions: 'later', ids: 'per-append', conditions: 'tagged', search: true, statements: false },
      remnants: [
        { where: 'change stream of the table', goneAfterMs: 86_400_000, ends: 'it goes by itself after a day' },
        {
          where: 'point-in-time recovery and backups of the table',
          ends: 'where they are on: after 35 days, or when you delete them; encryption makes them unreadable',
        },
      ],
    },
    commit,
    readStream: (stream, range) => read(() => readStream(session, stream, range)),
    readBoundary: (query, from, limit) => read(() => readBoundary(session, query, { from, limit })),
    readLog: (query) => read(() => readLog(session, query)),
    listStreams: (query) => read(() => listed().then(() => listStreams(session, query))),
    listStreamTypes: () => read(() => listed().then(() => listStreamTypes(session))),
    getDocuments: (keys) => read(() => getDocuments(session, keys)),
    queryDocuments: (query) => read(() => queryDocuments(session, query)),
    declare: (collections) => change(() => declareCollections(session, collections)),
    positionOf: (stream, revision) => read(() => positionAt(session, stream, revision)),
    erase: (step) => change(() => erase(session, step)),
    async restore(records) {
      await change(() => restore(session, records))
      restoring = true
      bell.ring()
    },
    wake: (signal) => waker.listen(signal),
    gauges: () => ({ sequencerWaiting: sequencer?.waiting ?? 0 }),
    close() {
      closed ??= Promise.all([sequencer?.close(), waker.close()])
        .then(() => listing.close())
        .then(close)
      return closed
    },
  }
}
