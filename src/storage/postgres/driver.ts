/**
 * The slice of the driver that this storage needs: a pool of `pg`, its own or one that is handed in. Values are parsed
 * here, so that what else the application has taught `pg` does not matter.
 */
import { Unsupported } from '../../core/errors.ts'

export interface PostgresQuery {
  readonly text: string
  readonly values?: unknown[]
  readonly types?: { getTypeParser(oid: number): (value: string) => unknown }
  /** In ms. */
  readonly query_timeout?: number
}

export interface PostgresClient {
  query(query: PostgresQuery): Promise<{ rows: unknown[] }>
  on(event: 'notification', listener: (message: { payload?: string | undefined }) => void): unknown
  on(event: 'error' | 'end', listener: (error?: Error) => void): unknown
  removeListener(event: 'error', listener: (error?: Error) => void): unknown
  release(destroy?: boolean): void
}

/** What `new Pool()` of `pg` is; with room for two connections at least, since a listener keeps one. */
export interface PostgresPool {
  query(query: PostgresQuery): Promise<{ rows: unknown[] }>
  connect(): Promise<PostgresClient>
  on(event: 'connect', listener: (client: PostgresClient) => void): unknown
  end(): Promise<void>
  readonly options: {
    readonly connectionString?: string | undefined
    readonly host?: string | undefined
    readonly port?: number | undefined
    readonly database?: string | undefined
  }
  readonly totalCount: number
  readonly idleCount: number
  readonly waitingCount: number
}

/** How long to wait for the server to take a connection. */
const connectMs = 10_000

/** How long for an answer: a server, or a way to it, that has vanished without a word breaks no connection by itself. */
const answerMs = 30_000

/** Loaded only where no pool is handed in. */
export async function openPool(url: string): Promise<PostgresPool> {
  const pg = await loadDriver()
  const pool = new pg.Pool({ connectionString: url, connectionTimeoutMillis: connectMs, application_name: 'daybook' })
  // An idle connection that breaks is taken out of the pool; who asks next gets another one.
  pool.on('error', () => {})
  return pool as PostgresPool
}

/**
 * A connection that is given up after an error may still tell of another one, and `pg` then looks for a listener: without
 * one the process would end. Whoever uses the connection learns of it by its own statement.
 */
export function listenForErrors(pool: PostgresPool): void {
  pool.on('connect', (client) => client.on('error', () => {}))
}

async function loadDriver() {
  try {
    return (await import('pg')).default
  } catch (cause) {
    const mend = 'PostgreSQL needs the package "pg" beside daybook: npm install pg'
    throw Object.assign(new Unsupported('postgres', mend), { cause })
  }
}

/** Runs one statement, on a pool in a transaction of its own; rejects as lost where no answer comes. */
export async function rowsOf<Row>(
  on: Pick<PostgresPool, 'query'>,
  text: string,
  values: readonly unknown[] = [],
): Promise<readonly Row[]> {
  const { rows } = await on.query({ text, values: [...values], types: { getTypeParser }, query_timeout: answerMs })
  return rows as Row[]
}

/** For statements that may have to wait for long. */
export function patient(on: Pick<PostgresPool, 'query'>): Pick<PostgresPool, 'query'> {
  return { query: ({ query_timeout: _, ...query }) => on.query(query) }
}

/** The types that statements here give: bool, numbers, bytea, JSON; all others are texts. */
function getTypeParser(oid: number): (value: string) => unknown {
  switch (oid) {
    case 16:
      return (value) => value === 't'
    case 20:
    case 21:
    case 23:
      return Number
    case 17:
      return (value) => new Uint8Array(Buffer.from(value.slice(2), 'hex'))
    case 114:
    case 3802:
      return JSON.parse
    default:
      return (value) => value
  }
}

/** Runs in one transaction. After an error it is gone; the connection too, where it may be to blame. */
export async function transact<Result>(
  pool: PostgresPool,
  run: (client: PostgresClient) => Promise<Result>,
): Promise<Result> {
  const client = await pool.connect()
  // Where it breaks between two statements, the next one says so.
  const broken = () => {}
  client.on('error', broken)
  let failed = true
  try {
    await rowsOf(client, 'BEGIN ISOLATION LEVEL READ COMMITTED')
    const result = await run(client)
    await rowsOf(client, 'COMMIT')
    failed = false
    return result
  } finally {
    // A connection that closes rolls back, and may still say why it broke.
    if (!failed) client.removeListener('error', broken)
    client.release(failed)
  }
}

/**
 * `refused`: the server said no, and nothing was written. `busy`: so too, because others held it up. `lost`: no answer
 * came, and nothing is known.
 */
export type PostgresFailure = 'refused' | 'busy' | 'lost'

/** A lock that was not free in time, a deadlock, a cancelled query, a server that starts or has no connection left. */
const busyCodes: ReadonlySet<unknown> = new Set(['55P03', '40P01', '57014', '57P03', '53300'])

export function failureOf(error: unknown): PostgresFailure {
  const { code, severity } = error as { code?: unknown; severity?: unknown }
  if (busyCodes.has(code)) return 'busy'
  return severity === 'ERROR' ? 'refused' : 'lost'
}
