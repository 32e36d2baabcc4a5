/**
 * A real PostgreSQL for one test run: the one that DATABASE_URL names, else a server of this machine's own programs in a
 * folder of its own, stopped and removed at the end. Each test file has a database of its own in it.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { inject } from 'vitest'
import type { TestProject } from 'vitest/node'

declare module 'vitest' {
  interface ProvidedContext {
    /** Of a database whose user may make others; or why there is none. */
    postgres: { readonly url: string } | { readonly missing: string }
  }
}

/** Vitest calls it once for a run, and what it gives at the run's end. */
export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const given = process.env['DATABASE_URL']
  if (given) {
    project.provide('postgres', { url: given })
    return undefined
  }
  const programs = findPrograms()
  if (programs === undefined) {
    project.provide('postgres', { missing: 'no DATABASE_URL, and no PostgreSQL server on this machine' })
    return undefined
  }
  const server = await startServer(programs)
  project.provide('postgres', { url: server.url })
  return server.stop
}

/** Why tests on PostgreSQL are skipped here, in a line; where everything must hold they are not. */
export function missingPostgres(): string | undefined {
  const engine = inject('postgres')
  return 'missing' in engine && !process.env['CI'] ? engine.missing : undefined
}

/** A new, empty database in the run's server; dropped by `drop`. */
export async function newDatabase(): Promise<{ readonly url: string; drop(): Promise<void> }> {
  const engine = inject('postgres')
  if ('missing' in engine) throw new Error(engine.missing)
  const name = `daybook_test_${crypto.randomUUID().replaceAll('-', '')}`
  const run = async (sql: string) => {
    const client = new pg.Client({ connectionString: engine.url })
    await client.connect()
    await client.query(sql).finally(() => client.end())
  }
  await run(`CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'`)
  const url = new URL(engine.url)
  url.pathname = `/${name}`
  return { url: url.href, drop: () => run(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) }
}

/** The folder of `initdb` and `postgres`: on the path, or where Debian and others keep each version. */
export function findPrograms(): string | undefined {
  const path = (process.env['PATH'] ?? '').split(':')
  const versions = ['/usr/lib/postgresql', '/usr/local/pgsql'].flatMap((folder) =>
    existsSync(folder) ? readdirSync(folder).map((version) => join(folder, version, 'bin')) : [],
  )
  return [...path, ...versions.reverse()].find(
    (folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres')),
  )
}

export async function startServer(programs: string): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'daybook-postgres-'))
  const [data, secret, password] = [join(folder, 'data'), join(folder, 'password'), crypto.randomUUID()]
  writeFileSync(secret, password, { mode: 0o600 })
  const account = accountOf(folder, secret)
  const port = await freePort()
  const initdb = ['-D', data, '-U', 'tester', '-A', 'scram-sha-256', `--pwfile=${secret}`, '-E', 'UTF8', '-N']
  const [first = '', ...rest] = [...account, join(programs, 'initdb'), ...initdb, '--locale=C']
  execFileSync(first, rest, { stdio: ['ignore', 'ignore', 'inherit'] })
  const settings = [
    `port=${port}`,
    'listen_addresses=127.0.0.1',
    `unix_socket_directories=${folder}`,
    'log_statement=none',
  ]
  const [program = '', ...args] = [
    // Should this run be killed, the server goes with it.
    ...(existsSync('/usr/bin/setpriv') ? ['setpriv', '--pdeathsig', 'INT', ...account.slice(1)] : account),
    ...[join(programs, 'postgres'), '-D', data, ...settings.flatMap((setting) => ['-c', setting])],
  ]
  const server = spawn(program, args, { stdio: 'ignore' })
  const url = `postgres://tester:${password}@127.0.0.1:${port}/postgres`
  await untilReady(url, server)
  return {
    url,
    async stop() {
      const ended = new Promise((resolve) => server.once('exit', resolve))
      if (server.exitCode === null && server.kill('SIGINT')) await ended
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** PostgreSQL refuses to run as root; then it runs as `postgres` or `nobody`, who own the folder. */
function accountOf(folder: string, secret: string): readonly string[] {
  if (process.getuid?.() !== 0) return []
  const idOf = (user: string, flag: string) => {
    try {
      return execFileSync('id', [flag, user], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
    } catch {
      return undefined
    }
  }
  const user = idOf('postgres', '-u') === undefined ? 'nobody' : 'postgres'
  const [uid, gid] = [idOf(user, '-u') ?? '65534', idOf(user, '-g') ?? '65534']
  for (const path of [folder, secret]) chownSync(path, Number(uid), Number(gid))
  return ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups']
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address ? address.port : 0
}

async function untilReady(url: string, server: ChildProcess): Promise<void> {
  for (let tries = 1; ; tries++) {
    const client = new pg.Client({ connectionString: url })
    try {
      await client.connect()
      return await client.end()
    } catch (error) {
      if (tries === 200 || server.exitCode !== null) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}
