/**
 * A real PostgreSQL for one test run: the one that DATABASE_URL names, else a server of the run's own; and a pooler in
 * front of it. Each test file has a database of its own in it.
 */
import pg from 'pg'
import { inject } from 'vitest'
import type { TestProject } from 'vitest/node'
import { until } from '../../src/conformance/store/kit.ts'
import { findPooler, startPooler } from './pgbouncer.ts'
import { findPrograms, startServer } from './server.ts'

type Engine = { readonly url: string } | { readonly missing: string }

declare module 'vitest' {
  interface ProvidedContext {
    /** Of a database whose user may make others; or why there is none. */
    postgres: Engine
    /** The same by way of PgBouncer. */
    pooler: Engine
  }
}

/** Vitest calls it once for a run, and what it gives at the run's end. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = process.env['DATABASE_URL']
  const server = given || findPrograms() === undefined ? undefined : await startServer()
  const url = given || server?.url
  const missing = 'no DATABASE_URL, and no PostgreSQL server on this machine'
  project.provide('postgres', url ? { url } : { missing })
  const program = findPooler()
  const pooler = url && program ? await startPooler(program, url) : undefined
  project.provide('pooler', pooler ? { url: pooler.url } : { missing: url ? 'no pgbouncer on this machine' : missing })
  return async () => {
    await pooler?.stop()
    await server?.remove()
  }
}

/** Why tests on PostgreSQL are skipped here, in a line; where everything must hold they are not. */
export function missingPostgres(): string | undefined {
  return missingEngine('postgres')
}

/** Why those by way of the pooler are. */
export function missingPooler(): string | undefined {
  return missingEngine('pooler')
}

function missingEngine(name: 'postgres' | 'pooler'): string | undefined {
  const engine = inject(name)
  return 'missing' in engine && !process.env['CI'] ? engine.missing : undefined
}

export interface Database {
  readonly url: string
  drop(): Promise<void>
}

/** A new, empty database in the run's server, or in another one; dropped by `drop`. */
export async function newDatabase(server = urlOf('postgres')): Promise<Database> {
  const name = `daybook_test_${crypto.randomUUID().replaceAll('-', '')}`
  const run = async (sql: string) => {
    const client = new pg.Client({ connectionString: server })
    await client.connect()
    await client.query(sql).finally(() => client.end())
  }
  await run(`CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'`)
  const url = new URL(server)
  url.pathname = `/${name}`
  return { url: url.href, drop: () => run(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) }
}

/** The way to a database of the run's server that leads through the pooler. */
export function pooled(url: string): string {
  const through = new URL(urlOf('pooler'))
  through.pathname = new URL(url).pathname
  return through.href
}

/** Resolves when no storage that has made its own pool is connected to the database any more. */
export async function quiet(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await until(async () => {
    const { rows } = await client.query(
      "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'daybook' LIMIT 1",
    )
    return rows.length === 0
  }).finally(() => client.end())
}

function urlOf(name: 'postgres' | 'pooler'): string {
  const engine = inject(name)
  if ('missing' in engine) throw new Error(engine.missing)
  return engine.url
}
