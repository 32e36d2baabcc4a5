/**
 * The PostgreSQL storage: one schema of a database, many processes. A batch of commits is one call of a function that
 * lives there. `postgresStorage({ url: 'postgres://localhost/shop' })`.
 */
import { widestLimits } from '../../core/commit.ts'
import { InvalidArgument, isStoreError, StorageFailed, StoreBusy, StoreReadOnly } from '../../core/errors.ts'
import type { Storage } from '../../core/storage.ts'
import { createBell } from '../../core/wake.ts'
import { declareCollections, getDocuments, isDeclared, queryDocuments } from './documents.ts'
import { failureOf, listenForErrors, openPool, type PostgresPool } from './driver.ts'
import { erase, restore } from './erase.ts'
import { commitInTurn } from './inside.ts'
import type { PostgresOptions } from './options.ts'
import { listStreams, listStreamTypes, positionOf, readBoundary, readLog, readStream } from './read.ts'
import { checkSchema, explain, migrations, openSchema } from './schema.ts'
import type { Session } from './session.ts'
import { statementsOf } from './statements.ts'
import { createWaker } from './wake.ts'
import { commitWithin, readWithin } from './within.ts'

export type { PostgresClient, PostgresPool, PostgresQuery } from './driver.ts'
export type { PostgresOptions, PostgresPlace } from './options.ts'

/** Throws `NotAStore`, `SchemaTooNew`, `StoreMissing` or `StorageFailed`, each with the place and never a password. */
export async function postgresStorage(options: PostgresOptions): Promise<Storage> {
  const { schema = 'daybook', readOnly = false, clock = Date.now } = options
  checkSchema(schema)
  const pool = 'pool' in options ? options.pool : await openPool(options.url)
  listenForErrors(pool)
  const closePool = async () => {
    if (!('pool' in options)) await pool.end()
  }
  const place = placeOf(pool, schema)
  const opening = { pool, place, schema, readOnly, migrations }
  const session: Session = await openSchema(opening).then(
    (logId) => ({ place, pool, logId, sql: statementsOf(schema), explain: (error) => explain(opening, error) }),
    async (error) => {
      await closePool()
      throw error
    },
  )
  const bell = createBell()
  const waker = createWaker(session, `daybook_${schema}`, bell)
  let closed: Promise<void> | undefined

  async function write<Result>(run: () => Promise<Result>): Promise<Result> {
    if (readOnly) throw new StoreReadOnly()
    const result = await run()
    waker.committed()
    return result
  }

  /** Of what is no commit, and can be asked for again. */
  function change<Result>(run: () => Promise<Result>): Promise<Result> {
    return write(run).catch(async (failure) => {
      const error = await session.explain(failure)
      if (isStoreError(error)) throw error
      if (failureOf(error) === 'busy') throw new StoreBusy(`Others hold ${place} locked`, 1_000, error)
      throw new StorageFailed(`write to ${place}`, error)
    })
  }

  return {
    name: place,
    limits: widestLimits,
    abilities: {
      ...{ positions: 'at-commit', ids: 'everywhere', conditions: 'any', search: true, statements: true },
      remnants: [
        { where: 'unused space in the files of tables and indexes', ends: 'VACUUM FULL and a CHECKPOINT overwrite it' },
        {
          where: 'write-ahead log, its archive, base backups and standbys',
          ends: 'they go when you delete them; encryption makes them unreadable',
        },
      ],
    },
    commit: (commits) => write(() => commitInTurn(session, commits, clock)),
    async commitWithin(transaction, one) {
      if (readOnly) throw new StoreReadOnly()
      const outcome = await commitWithin(session, transaction, { commit: one, clock })
      if (outcome.outcome === 'committed' && !outcome.repeated) waker.expect(outcome.streams.at(-1)?.position ?? 0)
      return outcome
    },
    readWithin: (transaction) => readWithin(session, transaction),
    readStream: (stream, range) => readStream(session, stream, range),
    readBoundary: (query, from, limit) => readBoundary(session, query, from, limit),
    readLog: (query) => readLog(session, query),
    listStreams: (query) => listStreams(session, query),
    listStreamTypes: () => listStreamTypes(session),
    getDocuments: (keys) => getDocuments(session, keys),
    queryDocuments: (query) => queryDocuments(session, query),
    async declare(collections) {
      if (!(await isDeclared(session, collections))) await change(() => declareCollections(session, collections))
    },
    positionOf: (stream, revision) => positionOf(session, stream, revision),
    erase: (step) => change(() => erase(session, step)),
    restore: (records) => change(() => restore(session, records)),
    wake: (signal) => waker.listen(signal),
    gauges: () => ({
      connections: pool.totalCount,
      connectionsIdle: pool.idleCount,
      queriesWaiting: pool.waitingCount,
    }),
    close() {
      closed ??= waker.close().then(closePool)
      return closed
    },
  }
}

/** Engine and place, without a user or a password. */
function placeOf({ options }: PostgresPool, schema: string): string {
  const { connectionString } = options
  const url = connectionString === undefined ? undefined : URL.parse(connectionString)
  if (url === null) throw new InvalidArgument('url', 'is no URL; write postgres://user@host/database')
  const host = url?.hostname || url?.searchParams.get('host') || options.host || 'localhost'
  const port = url?.port || options.port || 5432
  const database = url ? url.pathname.slice(1) : (options.database ?? '')
  return `postgres:${host}:${port}/${database}${schema === 'daybook' ? '' : `, schema ${schema}`}`
}
