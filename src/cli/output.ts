/** What the commands print, for people or (with --json) for scripts: answers to the standard output, the rest beside it. */
import { once } from 'node:events'
import { styleText } from 'node:util'
import { SingleBar } from 'cli-progress'
import { type ErrorCode, isStoreError } from '../core/errors.ts'
import type { LogEntry } from '../core/event.ts'

export const exitCodes = {
  done: 0,
  failed: 1,
  'bad input': 2,
  conflict: 3,
  'not found': 4,
  forgotten: 5,
  'busy, try again': 6,
  'not a usable store': 7,
  'not allowed': 8,
} as const

const codes: Readonly<Record<ErrorCode, keyof typeof exitCodes>> = {
  'invalid-argument': 'bad input',
  'schema-violation': 'bad input',
  'limit-exceeded': 'bad input',
  'revision-conflict': 'conflict',
  'stream-not-found': 'not found',
  'stream-forgotten': 'forgotten',
  'condition-failed': 'conflict',
  'event-id-reused': 'conflict',
  'event-archived': 'failed',
  'document-conflict': 'conflict',
  'position-beyond-head': 'bad input',
  'log-diverged': 'failed',
  'foreign-log': 'bad input',
  unsupported: 'bad input',
  'collection-clash': 'conflict',
  'projection-not-found': 'not found',
  'projection-clash': 'conflict',
  'projection-missing': 'failed',
  'projection-failed': 'failed',
  'value-taken': 'conflict',
  'view-not-ready': 'busy, try again',
  'view-behind': 'busy, try again',
  'definition-clash': 'conflict',
  'event-type-not-found': 'not found',
  'consumer-not-found': 'not found',
  'job-not-found': 'not found',
  'job-not-parked': 'conflict',
  'store-busy': 'busy, try again',
  'store-closed': 'failed',
  'store-missing': 'not found',
  'store-read-only': 'bad input',
  'not-a-store': 'not a usable store',
  'schema-too-new': 'not a usable store',
  'outcome-unknown': 'failed',
  'storage-failed': 'failed',
  unauthenticated: 'not allowed',
  forbidden: 'not allowed',
  'rate-limited': 'busy, try again',
  'server-unreachable': 'failed',
  'request-failed': 'failed',
}

export function exitCodeOf(error: unknown): number {
  return exitCodes[isStoreError(error) ? codes[(error as Error & { code: ErrorCode }).code] : 'failed']
}

/** One line for people; for scripts the error's code and facts. An error that nobody expects shows where it came from. */
export function printError(error: unknown): void {
  if (!isStoreError(error)) {
    note(
      error instanceof Error && 'syscall' in error
        ? error.message
        : error instanceof Error
          ? (error.stack ?? '')
          : String(error),
    )
  } else if (process.argv.includes('--json')) {
    const { name: _, cause: __, ...facts } = error
    note(JSON.stringify({ ...facts, message: error.message }))
  } else {
    note(`${styleText('red', 'error')} ${error.message}`)
  }
}

/** To the standard error: what is not the answer itself. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** To the standard output, as fast as it is read. */
export async function print(text: string): Promise<void> {
  if (!process.stdout.write(`${text}\n`)) await once(process.stdout, 'drain')
}

export function printJson(value: unknown): Promise<void> {
  return print(JSON.stringify(value))
}

/** An event on one line. `where`: what tells it apart from its neighbours. */
export function eventLine(entry: LogEntry, where: string): string {
  const at = styleText('dim', `${where}  ${entry.time}`)
  if (entry.forgotten) return `${at}  ${styleText('dim', '(forgotten)')}`
  const data = entry.data === null ? '' : `  ${styleText('dim', JSON.stringify(entry.data))}`
  return `${at}  ${styleText('bold', entry.type)}${data}`
}

export function plural(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`
}

export interface Progress {
  /** How far it is, in the unit of the total. */
  update(done: number): void
  stop(): void
}

/** A bar on a terminal, else nothing. */
export function createProgress(label: string, total: number): Progress {
  if (!process.stderr.isTTY || total === 0) return { update() {}, stop() {} }
  const bar = new SingleBar({
    format: `${label} {bar} {percentage}% | {duration_formatted}`,
    hideCursor: true,
    stream: process.stderr,
  })
  bar.start(total, 0)
  return { update: (done) => bar.update(done), stop: () => bar.stop() }
}
