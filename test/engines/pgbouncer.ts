/** A PgBouncer in front of the run's PostgreSQL, which gives a connection away after each transaction. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { accountFor, endProgram, freePort, startProgram, untilReady } from './programs.ts'

export interface Pooler {
  /** Of the same database as the server's, by way of the pooler. */
  readonly url: string
  stop(): Promise<void>
}

/** Debian keeps it where a user's path does not lead. */
export function findPooler(): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/usr/local/sbin']
  return folders.map((folder) => join(folder, 'pgbouncer')).find((program) => existsSync(program))
}

export async function startPooler(program: string, server: string): Promise<Pooler> {
  const { hostname, port: serverPort, username, password } = new URL(server)
  const folder = mkdtempSync(join(tmpdir(), 'daybook-pgbouncer-'))
  const [settings, users] = [join(folder, 'pgbouncer.ini'), join(folder, 'users.txt')]
  const port = await freePort()
  const quoted = [username, password].map((word) => `"${decodeURIComponent(word).replaceAll('"', '""')}"`)
  writeFileSync(users, `${quoted.join(' ')}\n`, { mode: 0o600 })
  writeFileSync(
    settings,
    `[databases]
* = host=${hostname} port=${serverPort || 5432}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${users}
pool_mode = transaction
max_client_conn = 1000
default_pool_size = 10
`,
  )
  const running = startProgram(accountFor(folder, settings, users), 'TERM', [program, '--quiet', settings])
  const url = new URL(server)
  url.hostname = '127.0.0.1'
  url.port = String(port)
  await untilReady(url.href, running)
  return {
    url: url.href,
    async stop() {
      await endProgram(running, 'SIGTERM')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
