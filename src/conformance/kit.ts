/** What the cases of the suite share: how a case is said, and the shortest way to write and to read. */
import assert from 'node:assert/strict'
import { makeEvent } from '../core/append.ts'
import { parseContent } from '../core/content.ts'
import type { Expected } from '../core/errors.ts'
import type { NewEvent } from '../core/event.ts'
import { newId, secureRandom } from '../core/id.ts'
import type { ObjectStore } from '../core/object-store.ts'
import type {
  Commit,
  CommitOutcome,
  LogPage,
  LogQuery,
  LogRecord,
  PreparedEvent,
  RevisionRange,
  Storage,
  StreamAppend,
} from '../core/storage.ts'
import type { Clock } from '../core/time.ts'

/** One promise, said as a sentence; `run` rejects where it is broken. Needs no test runner. */
export interface ConformanceCase {
  readonly promise: string
  readonly run: () => Promise<void>
}

export interface Setting {
  /** Names the data: the same name again opens the same data, as another process would; a new name is empty. */
  readonly name: string
  readonly clock?: Clock
}

export type OpenStorage = (setting: Setting) => Promise<Storage>
export type OpenObjects = (setting: Setting) => Promise<ObjectStore>

/** Opens the case's own data; again for another handle on it. */
export type Opener<Opening extends Setting, Handle> = (setting?: Partial<Opening>) => Promise<Handle>

/** Cases of one subject; each gets an opener for data of its own, and all that it opened is closed after it. */
export function cases<Opening extends Setting, Handle extends { close(): Promise<void> }>(
  open: (setting: Opening) => Promise<Handle>,
  promises: Readonly<Record<string, (open: Opener<Opening, Handle>) => Promise<void>>>,
): readonly ConformanceCase[] {
  return Object.entries(promises).map(([promise, run]) => ({
    promise,
    async run() {
      const opened: Handle[] = []
      const name = `case-${crypto.randomUUID()}`
      try {
        await run(async (setting) => {
          const handle = await open({ name, ...setting } as Opening)
          opened.push(handle)
          return handle
        })
      } finally {
        for (const handle of opened) await handle.close()
      }
    },
  }))
}

const random = secureRandom()

export function event(type: string, more: Omit<NewEvent, 'type'> = {}): PreparedEvent {
  return makeEvent({ newId: () => newId(random), random }, { type, ...more }, 'event')
}

export function events(count: number, type = 'Happened'): readonly PreparedEvent[] {
  return Array.from({ length: count }, (_, index) => event(type, { data: { index } }))
}

export function append(stream: string, expected: Expected, ...events: readonly PreparedEvent[]): StreamAppend {
  return { stream, expected, events }
}

export function commitOf(appends: readonly StreamAppend[], more: Partial<Commit> = {}): Commit {
  return { id: crypto.randomUUID(), appends, ...more }
}

/** Commits one commit, and gives its outcome. */
export async function commit(
  storage: Storage,
  appends: readonly StreamAppend[],
  more: Partial<Commit> = {},
): Promise<CommitOutcome> {
  const outcomes = await storage.commit([commitOf(appends, more)])
  assert.equal(outcomes.length, 1)
  return outcomes[0] as CommitOutcome
}

/** Commits one append that must succeed. */
export async function write(storage: Storage, stream: string, ...events: readonly PreparedEvent[]) {
  const outcome = await commit(storage, [append(stream, 'any', ...events)])
  assert.equal(outcome.outcome, 'committed')
  return outcome as CommitOutcome & { outcome: 'committed' }
}

export function closing(stream: string, tombstone: PreparedEvent): StreamAppend {
  return { stream, expected: 'exists', events: [tombstone], tombstone: true }
}

/** Closes the stream and erases its events, as forgetting does. */
export async function forget(storage: Storage, stream: string): Promise<PreparedEvent> {
  const tombstone = event('$forgotten')
  const outcome = await commit(storage, [closing(stream, tombstone)])
  assert.equal(outcome.outcome, 'committed')
  await eraseEvents(storage, stream)
  return tombstone
}

export async function eraseEvents(storage: Storage, stream: string): Promise<void> {
  for (let from: number | undefined = 1; from !== undefined; ) {
    from = (await storage.erase({ erase: 'events', stream, from })).next
  }
}

export async function readAll(storage: Storage, stream: string, range: Partial<RevisionRange> = {}) {
  const page = await storage.readStream(stream, { after: 0, direction: 'forwards', limit: 1_000, ...range })
  return page.records
}

export async function logPage(storage: Storage, query: Partial<LogQuery> = {}): Promise<LogPage> {
  return storage.readLog({ after: 0, direction: 'forwards', limit: 1_000, ...query })
}

/** All pages of a log query, in its direction. */
export async function logAll(storage: Storage, query: Partial<LogQuery> = {}): Promise<readonly LogRecord[]> {
  const records: LogRecord[] = []
  let range = query
  while (true) {
    const page = await logPage(storage, range)
    records.push(...page.records)
    if (!page.more) return records
    range =
      range.direction === 'backwards' ? { ...range, until: page.scannedTo - 1 } : { ...range, after: page.scannedTo }
  }
}

/** Waits until everything committed has a position: at once on most storages, soon after on some. */
export async function sequenced(storage: Storage, stream: string, revision: number): Promise<number> {
  for (let tries = 0; tries < 1_000; tries++) {
    const position = await storage.positionOf(stream, revision)
    if (position !== undefined) return position
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error(`${stream} ${revision} was given no position within 10 s`)
}

export function typesOf(records: readonly LogRecord[]): readonly string[] {
  return records.map((record) => {
    if (record.state === 'forgotten') return '(forgotten)'
    return record.state === 'trimmed' ? record.type : parseContent(record.content).type
  })
}

export function revisionsOf(records: readonly { readonly revision: number }[]): readonly number[] {
  return records.map(({ revision }) => revision)
}

export function positionsOf(records: readonly { readonly position?: number }[]): readonly (number | undefined)[] {
  return records.map(({ position }) => position)
}

/** The whole numbers from `first` to `last`. */
export function range(first: number, last: number): readonly number[] {
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index)
}

export function outcomesOf(outcomes: readonly CommitOutcome[]): readonly string[] {
  return outcomes.map(({ outcome }) => outcome)
}

/** Asserts the outcome's tag, and gives it with its facts. */
export function is<Tag extends CommitOutcome['outcome']>(outcome: CommitOutcome | undefined, tag: Tag) {
  assert.equal(outcome?.outcome, tag, JSON.stringify(outcome))
  return outcome as CommitOutcome & { outcome: Tag }
}
