/** What the commands print, for people or (with --json) for scripts: answers to the standard output, the rest beside it. */
import { once } from 'node:events'
import { styleText } from 'node:util'
import { SingleBar } from 'cli-progress'
import { type ErrorCode, isStoreError } from '../core/errors.ts'
import type { LogEntry } from '../core/event.ts'
import type { Failure } from '../core/failure.ts'

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
  'object-damaged': 'failed',
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
  'not-sealed': 'busy, try again',
  'proof-invalid': 'failed',
  'ledger-broken': 'failed',
  'store-busy': 'busy, try again',
  'store-closed': 'failed',
  'store-missing': 'not found',
  'store-read-only': 'bad input',
  'not-a-store': 'not a usable store',
  'schema-too-new': 'not a usable store',
  'restore-unfinished': 'not a usable store',
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
export function printError(error: unknown, how: 'for people' | 'for scripts'): void {
  if (!isStoreError(error)) {
    note(
      error instanceof Error && 'syscall' in error
        ? error.message
        : error instanceof Error
          ? (error.stack ?? '')
          : String(error),
    )
  } else if (how === 'for scripts') {
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

/** What a list holds: to scripts an object a line, to people a line each, in columns. */
export async function printList<Item>(items: readonly Item[], { json, noun, cells }: Listing<Item>): Promise<void> {
  if (json) {
    for (const item of items) await printJson(item)
    return
  }
  for (const line of columns(items.map(cells))) await print(line)
  note(plural(items.length, noun))
}

/** One page: to scripts an object that has `next` where there is more, to people lines, and how to go on. */
export async function printPage<Item>(
  page: { readonly next?: string },
  items: readonly Item[],
  listing: Listing<Item>,
): Promise<void> {
  if (listing.json) return printJson(page)
  await printList(items, listing)
  if (page.next !== undefined) note(`there is more: --cursor '${page.next.replaceAll("'", `'\\''`)}'`)
}

export interface Listing<Item> {
  readonly json?: true | undefined
  readonly noun: string
  /** Of a line. */
  readonly cells: (item: Item) => readonly string[]
}

function columns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)))
  return rows.map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

/** One thing, a fact a line; what is `undefined` is left out. */
export async function printFacts(facts: Readonly<Record<string, string | undefined>>): Promise<void> {
  const known = Object.entries(facts).filter(([, fact]) => fact !== undefined)
  const width = Math.max(...known.map(([name]) => name.length))
  for (const [name, fact] of known) await print(`${name.padEnd(width)}  ${fact}`)
}

export function triesText(tries: number): string {
  return tries === 1 ? '1 try' : `${tries} tries`
}

/** What went wrong, on one line. */
export function failureText({ code, name, message }: Failure): string {
  return `${code ?? name}: ${message}`
}

export interface Progress {
  /** How far it is, in the unit of the total, which may have moved on. */
  update(done: number, total?: number): void
  stop(): void
}

/** A bar on a terminal, else nothing: how far of how much, how fast, how long it will still take. */
export function createProgress(label: string, total: number): Progress {
  if (!process.stderr.isTTY || total === 0) return { update() {}, stop() {} }
  /** From where the rate is counted: work that has to wait, or begins anew, has not begun before. */
  let begun: { readonly at: number; readonly done: number } | undefined
  const bar = new SingleBar({
    format: `${label} {bar} {percentage}% | {value} of {total} | {speed}`,
    formatValue: (value, _, type) =>
      type === 'value' || type === 'total' ? value.toLocaleString('en') : String(value),
    hideCursor: true,
    stream: process.stderr,
  })
  bar.start(total, 0, { speed: '' })
  return {
    update(done, of = total) {
      if (begun === undefined || done <= begun.done) begun = { at: performance.now(), done }
      const rate = ((done - begun.done) * 1_000) / (performance.now() - begun.at)
      const speed = rate > 0 ? `${Math.round(rate).toLocaleString('en')}/s | ${duration((of - done) / rate)} left` : ''
      if (of !== bar.getTotal()) bar.setTotal(of)
      bar.update(done, { speed })
    },
    stop: () => bar.stop(),
  }
}

function duration(seconds: number): string {
  const whole = Math.ceil(seconds)
  return whole < 60 ? `${whole}s` : `${Math.floor(whole / 60)}m ${whole % 60}s`
}

/** A bar for work that tells its total as it goes. */
export function lateProgress(label: string): Progress {
  let bar: Progress | undefined
  return {
    update(done, total = 0) {
      bar ??= createProgress(label, total)
      bar.update(done, total)
    },
    stop: () => bar?.stop(),
  }
}
