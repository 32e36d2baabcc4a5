/** The PostgreSQL of a run: the one that DATABASE_URL names, else a server of this machine's own programs, durable by default. */
import pg from 'pg'
import { findPrograms, startServer } from '../test/engines/server.ts'

export interface Engine {
  /** The URL of a new, empty database. */
  newDatabase(): Promise<string>
  close(): Promise<void>
}

/** Nothing where there is neither. */
export async function openEngine(): Promise<Engine | undefined> {
  const given = process.env['DATABASE_URL']
  if (!given && findPrograms() === undefined) return undefined
  const server = given ? { url: given, remove: async () => {} } : await startServer()
  const client = new pg.Client({ connectionString: server.url })
  await client.connect()
  const made: string[] = []
  return {
    async newDatabase() {
      const name = `daybook_bench_${crypto.randomUUID().replaceAll('-', '')}`
      await client.query(`CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'`)
      made.push(name)
      const url = new URL(server.url)
      url.pathname = `/${name}`
      return url.href
    },
    async close() {
      for (const name of made) await client.query(`DROP DATABASE ${name} WITH (FORCE)`)
      await client.end()
      await server.remove()
    },
  }
}
