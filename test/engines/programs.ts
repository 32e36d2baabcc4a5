/** Servers of other programs that a test run starts for itself: under which account, where, and that none outlives it. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { chownSync, existsSync } from 'node:fs'
import { createServer } from 'node:net'
import pg from 'pg'

/** How a program is started so that it runs under the account. */
export type Account = readonly string[]

/** These programs refuse to run as root; then they run as `postgres` or `nobody`, who own what is given to them. */
export function accountFor(...paths: readonly string[]): Account {
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
  for (const path of paths) chownSync(path, Number(uid), Number(gid))
  return ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups']
}

/** Should this process be killed, the program gets the signal. */
export function startProgram(account: Account, signal: 'INT' | 'TERM', command: readonly string[]): ChildProcess {
  const tied = existsSync('/usr/bin/setpriv') ? ['setpriv', '--pdeathsig', signal, ...account.slice(1)] : account
  const [program = '', ...args] = [...tied, ...command]
  return spawn(program, args, { stdio: 'ignore' })
}

/** Sends the signal, and resolves when the program has ended. */
export async function endProgram(program: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const ended = new Promise((resolve) => program.once('exit', resolve))
  if (program.exitCode === null && program.signalCode === null && program.kill(signal)) await ended
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address ? address.port : 0
}

/** Resolves when one can connect; throws where the program has ended, or takes longer than half a minute. */
export async function untilReady(url: string, program: ChildProcess): Promise<void> {
  for (let tries = 1; ; tries++) {
    const client = new pg.Client({ connectionString: url })
    try {
      await client.connect()
      return await client.end()
    } catch (error) {
      if (tries === 600 || program.exitCode !== null) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}
