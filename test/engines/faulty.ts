/**
 * Engines that are made to fail while stores work on them. Each is one log for as many handles as are opened, and has the
 * faults of its kind: locks, broken connections, lost answers, restarts.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import pino from 'pino'
import { checkClients } from '../../src/conformance/clients.ts'
import type { Operation } from '../../src/conformance/history.ts'
import { range } from '../../src/conformance/kit.ts'
import { openStore, type Store } from '../../src/core/store.ts'
import { serve } from '../../src/hosts/node.ts'
import { createClient } from '../../src/http/client.ts'
import { createTable, dynamoStorage } from '../../src/storage/dynamodb/storage.ts'
import { memoryLog, memoryStorage } from '../../src/storage/memory/storage.ts'
import { postgresStorage } from '../../src/storage/postgres/storage.ts'
import type { SqliteDatabase, SqliteDriver } from '../../src/storage/sqlite/driver.ts'
import { sqliteStorage } from '../../src/storage/sqlite/storage.ts'
import { missingDynamo, newClient } from './dynamodb.ts'
import { missingPostgres, newDatabase } from './postgres.ts'

export interface FaultyEngine {
  open(): Promise<Store>
  /** Makes it fail once, or a few times from now on; absent where nothing can fail. */
  readonly faults?: () => Promise<void>
  /** Called when all that was opened is closed. */
  close(): Promise<void>
}

type Chance = () => number

export const faultyEngines: Readonly<Record<string, (random: Chance) => Promise<FaultyEngine>>> = {
  memory,
  'sqlite on node:sqlite': sqliteHere,
  'sqlite on a thread': sqliteOnThread,
  postgres,
  dynamodb,
  'the client of a server': client,
}

export interface Rounds {
  readonly rounds: number
  readonly clients: number
  /** Of each client in each round. */
  readonly operations: number
  readonly random: Chance
}

/** Lets clients work on the engine while it fails, on new streams and by new handles in each round; gives all histories. */
export async function checkEngine(
  engine: FaultyEngine,
  { rounds, clients, operations, random }: Rounds,
): Promise<readonly Operation[]> {
  const histories: Operation[] = []
  const { faults } = engine
  for (const round of range(1, rounds)) {
    const stores = [await engine.open(), await engine.open(), await engine.open()]
    const names = range(1, clients).map((client) => `client ${round}-${client}`)
    const streams = range(1, 3).map((stream) => `seat/${round}-${stream}`)
    const options = { stores, clients: names, streams, operations, random, ...(faults && { faults }) }
    histories.push(...(await checkClients(options)))
    for (const store of stores) await store.close()
  }
  return histories
}

/** Why an engine is not there on this machine. */
export function missingEngine(name: string): string | undefined {
  if (name === 'postgres') return missingPostgres()
  return name === 'dynamodb' ? missingDynamo() : undefined
}

/** One of several, each as likely as the others. */
function oneOf<const Item>(random: Chance, items: readonly Item[]): Item {
  return items[Math.floor(random() * items.length)] as Item
}

/** Nothing but interleavings. */
async function memory(): Promise<FaultyEngine> {
  const log = memoryLog()
  return { open: () => openStore(memoryStorage({ log })), async close() {} }
}

function newFile() {
  const folder = mkdtempSync(join(tmpdir(), 'daybook-faulty-'))
  return { file: join(folder, 'store.db'), remove: () => rmSync(folder, { recursive: true, force: true }) }
}

/** Short, so that stores meet the end of their patience. */
const busyTimeoutMs = 40

/** Another writer has the file for as long as they wait, or for less. */
async function holdFile(file: string, random: Chance): Promise<void> {
  const rival = new DatabaseSync(file)
  try {
    rival.exec('BEGIN IMMEDIATE')
    await new Promise((resolve) => setTimeout(resolve, random() * 2 * busyTimeoutMs))
    rival.exec('COMMIT')
  } catch {
    // Somebody else has it already, which is as good.
  } finally {
    rival.close()
  }
}

/** The disk fails too: before a commit, after it and before its answer, at a read, or when the file is opened. */
async function sqliteHere(random: Chance): Promise<FaultyEngine> {
  const { file, remove } = newFile()
  const pending = { commit: 0, answer: 0, read: 0, open: 0 }
  const fail = (what: keyof typeof pending) => {
    if (pending[what] === 0) return
    pending[what]--
    throw Object.assign(new Error('disk I/O error'), { code: 'ERR_SQLITE_ERROR', errcode: what === 'open' ? 14 : 10 })
  }
  const driver: SqliteDriver = (place, { readOnly }) => {
    fail('open')
    const db = new DatabaseSync(place, { readOnly }) as SqliteDatabase
    return { ...db, exec: (sql) => db.exec(sql), close: () => db.close(), prepare: (sql) => failing(db, sql, fail) }
  }
  return {
    open: async () => openStore(await sqliteStorage({ file, driver, busyTimeoutMs })),
    async faults() {
      if (random() < 0.4) return holdFile(file, random)
      if (random() < 0.2) pending.open = 1
      pending[oneOf(random, ['commit', 'answer', 'read'])] = 1 + Math.floor(random() * 5)
    },
    async close() {
      remove()
    },
  }
}

function failing(db: SqliteDatabase, sql: string, fail: (what: 'commit' | 'answer' | 'read') => void) {
  const statement = db.prepare(sql)
  const around = <Result>(run: () => Result): Result => {
    if (sql === 'COMMIT') fail('commit')
    else if (sql.includes('FROM stream WHERE name')) fail('read')
    const result = run()
    if (sql === 'COMMIT') fail('answer')
    return result
  }
  return {
    run: (...values: Parameters<typeof statement.run>) => around(() => statement.run(...values)),
    get: (...values: Parameters<typeof statement.get>) => around(() => statement.get(...values)),
    all: (...values: Parameters<typeof statement.all>) => around(() => statement.all(...values)),
  }
}

async function sqliteOnThread(random: Chance): Promise<FaultyEngine> {
  const { file, remove } = newFile()
  return {
    open: async () => openStore(await sqliteStorage({ file, thread: true, busyTimeoutMs })),
    faults: () => holdFile(file, random),
    async close() {
      remove()
    },
  }
}

async function postgres(random: Chance): Promise<FaultyEngine> {
  const { url, drop } = await newDatabase()
  const breaking = new pg.Pool({ connectionString: url, application_name: 'the fault', max: 1 })
  return {
    open: async () => openStore(await postgresStorage({ url })),
    faults: () => breakPostgres(breaking, random),
    async close() {
      await breaking.end()
      await drop()
    },
  }
}

/** Breaks all connections of stores, or cancels what they ask just now. */
export async function breakPostgres(pool: pg.Pool, random: Chance): Promise<void> {
  const others = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'daybook'"
  await pool.query(
    oneOf(random, [
      `SELECT pg_terminate_backend(pid) ${others}`,
      `SELECT pg_terminate_backend(pid) ${others} AND state = 'active'`,
      `SELECT pg_cancel_backend(pid) ${others} AND state = 'active'`,
    ]),
  )
}

/** Requests get lost, or their answers; the engine throttles, or says that it failed. */
async function dynamodb(random: Chance): Promise<FaultyEngine> {
  const table = `faulty-${crypto.randomUUID()}`
  const client = newClient()
  await createTable({ table, client })
  let failing = 0
  const send = client.send.bind(client) as (command: object) => Promise<unknown>
  const sendOrFail = async (command: object) => {
    if (failing === 0) return send(command)
    failing--
    const fault = oneOf(random, ['request', 'answer', 'throttled', 'broken'])
    if (fault === 'throttled') throw Object.assign(new Error(fault), { name: 'ThrottlingException', $fault: 'client' })
    if (fault === 'broken') throw Object.assign(new Error(fault), { name: 'InternalServerError', $fault: 'server' })
    if (fault === 'answer') await send(command)
    throw new TypeError('socket hang up')
  }
  const failingClient = Object.assign(client, { send: sendOrFail })
  return {
    open: async () => openStore(await dynamoStorage({ table, client: failingClient })),
    async faults() {
      // A few, which one call sees through, or more than that.
      failing = 1 + Math.floor(random() ** 3 * 80)
    },
    async close() {
      client.destroy()
    },
  }
}

/** Over HTTP: the server is started anew, or answers get lost on their way. */
async function client(random: Chance): Promise<FaultyEngine> {
  const store = await openStore(memoryStorage())
  const logger = pino({ level: 'silent' })
  let server = await serve({ store, port: 0, logger })
  const { url } = server
  let lost = 0
  let restarted = Promise.resolve()
  const restart = async () => {
    await server.close()
    server = await serve({ store, port: Number(new URL(url).port), logger })
  }
  const fetchOrLose: typeof fetch = async (...request) => {
    const response = await fetch(...request)
    if (lost === 0) return response
    lost--
    await response.body?.cancel()
    throw new TypeError('fetch failed')
  }
  return {
    open: async () => createClient({ url, fetch: fetchOrLose, tries: 3 }),
    async faults() {
      if (random() < 0.7) lost = 1 + Math.floor(random() * 8)
      else restarted = restarted.then(restart)
      await restarted
    },
    async close() {
      await restarted
      await server.close()
      await store.close()
    },
  }
}
