/**
 * Sequencing: records get their positions. Hints say where to look; what they miss is found by going back from each
 * record to those that must stand before it: the stream's previous record, the previous link under each boundary tag,
 * and the other records of its commit. A page and the marks of its records are one transaction, so nothing can be half
 * done, and nothing has two positions.
 */
import type { Position } from '../../core/storage.ts'
import { entryOfSlot } from './body.ts'
import { idOf, mostTransactionItems, pause, put, type TableWrite } from './driver.ts'
import { lastPage, sawPage } from './feed.ts'
import {
  type LinkItem,
  linkKey,
  type MarkItem,
  markKey,
  numberOf,
  type PageEntry,
  type PageItem,
  padded,
  pageKey,
  type RecordItem,
  recordKey,
} from './items.ts'
import type { RecordHint, Session } from './session.ts'
import { recordsOf } from './stream.ts'

/** A record that wants a position. */
interface Open {
  readonly id: string
  readonly stream: string
  readonly revision: number
  readonly item: RecordItem
}

/** The records of one commit: they stand side by side. */
type Unit = readonly Open[]

export interface Sequencing {
  readonly session: Session
  /** Records that this sequencer knows to have a position. */
  readonly placed: Placed
  /** A page was written, or somebody else's was met. */
  readonly onPage?: ((page: PageItem) => void) | undefined
  readonly onRival?: (() => void) | undefined
}

export interface Placed {
  has(id: string): boolean
  add(id: string): void
}

/** Records whose positions are remembered. */
const mostPlaced = 50_000

export function rememberPlaced(): Placed {
  const ids = new Set<string>()
  return {
    has: (id) => ids.has(id),
    add(id) {
      ids.add(id)
      if (ids.size > mostPlaced) for (const oldest of ids) return void ids.delete(oldest)
    },
  }
}

/** Bytes that the entries of one page may take, with room left for the largest commit. */
const pageBytes = 200_000
const sequenceTries = 50

/** Gives positions to the hinted records and to all that must stand before them; says how many records got one. */
export async function sequence(sequencing: Sequencing, hints: readonly RecordHint[]): Promise<number> {
  const { session, placed } = sequencing
  const open = await findOpen(sequencing, hints)
  let units = inOrder(open)
  let done = 0
  let page = units.length > 0 ? await lastPage(session) : undefined
  for (let tries = 1; units.length > 0; ) {
    const taken = takePage(units)
    const item = pageOf(taken, page)
    const records = taken.flat()
    const result = await session.table.transact(writesOf(item, records))
    if (result.written) {
      for (const { id } of records) placed.add(id)
      done += records.length
      units = units.slice(taken.length)
      page = item
      sawPage(session, page)
      tries = 1
      sequencing.onPage?.(item)
      continue
    }
    if (tries++ === sequenceTries) throw new Error('the sequencer did not get through; others are at it')
    sequencing.onRival?.()
    if (result.held) await pause(Math.min(tries, 6))
    page = await lastPage(session)
    const marks = await session.table.getMany(records.map(({ stream, revision }) => markKey(stream, revision)))
    for (const [index, { id }] of records.entries()) if (marks[index]) placed.add(id)
    units = units.filter((unit) => !unit.every(({ id }) => placed.has(id)))
  }
  return done
}

const recordId = (stream: string, revision: number): string => idOf(recordKey(stream, revision))

/** Hinted records without a position, and all that must stand before them and has none either. */
async function findOpen(
  { session, placed }: Sequencing,
  hints: readonly RecordHint[],
): Promise<ReadonlyMap<string, Open>> {
  const open = new Map<string, Open>()
  const links = new Map<string, string>()
  const add = ({ stream, revision }: RecordHint, item: RecordItem) => {
    const id = recordId(stream, revision)
    open.set(id, { id, stream, revision, item })
    for (const [tag, ordinal] of item.l ?? []) links.set(idOf(linkKey(tag, ordinal)), id)
  }
  const isKnown = ({ stream, revision }: RecordHint) => {
    const id = recordId(stream, revision)
    return placed.has(id) || open.has(id)
  }
  for (const hint of hints) if (hint.item && !isKnown(hint)) add(hint, hint.item)
  let wanted: readonly RecordHint[] = hints
  for (let fresh = [...open.values()]; fresh.length > 0 || wanted.length > 0; wanted = []) {
    const before = await predecessors(session, fresh, links)
    const unknown = [...wanted, ...before].filter((hint) => !isKnown(hint))
    const unique = new Map(unknown.map((hint) => [recordId(hint.stream, hint.revision), hint]))
    const known = new Set(open.keys())
    for (const { hint, item } of await findUnmarked(session, placed, [...unique.values()])) add(hint, item)
    fresh = [...open.values()].filter(({ id }) => !known.has(id))
  }
  return open
}

/** Those of the records that are there and have no mark. Before an open record of a stream there may be many. */
async function findUnmarked(
  { table }: Session,
  placed: Placed,
  hints: readonly RecordHint[],
): Promise<readonly { readonly hint: RecordHint; readonly item: RecordItem }[]> {
  const marks = await table.getMany(hints.map(({ stream, revision }) => markKey(stream, revision)))
  const unmarked = hints.filter(({ stream, revision }, index) => {
    if (marks[index]) placed.add(recordId(stream, revision))
    return !marks[index]
  })
  const items = await table.getMany(unmarked.map(({ stream, revision }) => recordKey(stream, revision)))
  const found = unmarked.flatMap((hint, index) => {
    const item = items[index] as RecordItem | undefined
    return item ? [{ hint, item }] : []
  })
  const chains = await Promise.all(found.map(({ hint, item }) => chainBefore({ table }, hint, item)))
  return [...found, ...chains.flat()]
}

/** Records of the stream before an open one that were read at once, should a long outage have left many. */
const chainRecords = 100

async function chainBefore(
  { table }: Pick<Session, 'table'>,
  { stream, revision }: RecordHint,
  { q }: RecordItem,
): Promise<readonly { readonly hint: RecordHint; readonly item: RecordItem }[]> {
  if (q === undefined) return []
  const mark = { pk: `s#${stream}`, from: `p${padded(1)}`, to: `p${padded(revision - 1)}` }
  const { items } = await table.query({ ...mark, direction: 'backwards', limit: 1 })
  const last = items[0] as MarkItem | undefined
  const from = last ? numberOf(last) + last.n : 1
  if (from > q) return []
  const range = { ...recordsOf(stream, from, revision - 1), direction: 'backwards' as const, limit: chainRecords }
  const records = (await table.query(range)).items as readonly RecordItem[]
  return records.map((item) => ({ hint: { stream, revision: numberOf(item) }, item }))
}

/** What must stand before the records, as far as it is not among the open ones. */
async function predecessors(
  { table }: Session,
  records: readonly Open[],
  links: ReadonlyMap<string, string>,
): Promise<readonly RecordHint[]> {
  const hints: RecordHint[] = []
  const asked: { readonly pk: string; readonly sk: string }[] = []
  for (const { stream, item } of records) {
    if (item.q !== undefined) hints.push({ stream, revision: item.q })
    for (const [stream, revision] of item.w ?? []) hints.push({ stream, revision })
    for (const [tag, ordinal] of item.l ?? []) {
      const before = linkKey(tag, ordinal - 1)
      if (ordinal > 1 && !links.has(idOf(before))) asked.push(before)
    }
  }
  for (const link of await table.getMany(asked)) {
    const { st, r } = (link as LinkItem | undefined) ?? {}
    if (st !== undefined && r !== undefined) hints.push({ stream: st, revision: r })
  }
  return hints
}

/** The commits of the open records, each behind those that must stand before it. */
function inOrder(open: ReadonlyMap<string, Open>): readonly Unit[] {
  const links = new Map(
    [...open.values()].flatMap(({ id, item }) =>
      (item.l ?? []).map(([tag, ordinal]) => [idOf(linkKey(tag, ordinal)), id]),
    ),
  )
  const units = new Map<string, Unit>()
  for (const record of open.values()) {
    const { id, item, stream, revision } = record
    const members = item.w ?? [[stream, revision] as const]
    const unit = members.flatMap(([stream, revision]) => open.get(recordId(stream, revision)) ?? [])
    if (!units.has(id)) for (const member of unit) units.set(member.id, unit)
  }
  const sorted: Unit[] = []
  const state = new Map<Unit, 'entered' | 'left'>()
  for (const root of units.values()) {
    const stack: Unit[] = [root]
    while (stack.length > 0) {
      const unit = stack.at(-1) as Unit
      if (state.get(unit) === 'left') {
        stack.pop()
        continue
      }
      const waiting = state.has(unit)
        ? []
        : before(unit).filter((other) => other !== unit && state.get(other) !== 'left')
      state.set(unit, 'entered')
      if (waiting.length > 0) {
        stack.push(...waiting)
        continue
      }
      state.set(unit, 'left')
      sorted.push(unit)
      stack.pop()
    }
  }
  return sorted

  function before(unit: Unit): readonly Unit[] {
    return unit.flatMap(({ stream, item }) => {
      const ids = (item.l ?? []).map(([tag, ordinal]) => links.get(idOf(linkKey(tag, ordinal - 1))))
      if (item.q !== undefined) ids.push(recordId(stream, item.q))
      return ids.map((id) => units.get(id ?? '')).filter((other) => other !== undefined)
    })
  }
}

/** As many commits as one page holds, never a part of one. */
function takePage(units: readonly Unit[]): readonly Unit[] {
  let records = 0
  let bytes = 0
  const end = units.findIndex((unit, index) => {
    records += unit.length
    for (const { stream, item } of unit) bytes += 3 * stream.length + 60 + 2 * (item.y?.length ?? 0) + 32 * item.n
    return index > 0 && (records >= mostTransactionItems || bytes > pageBytes)
  })
  return end < 0 ? units : units.slice(0, end)
}

function pageOf(units: readonly Unit[], before: PageItem | undefined): PageItem {
  const first = (before?.end ?? 0) + 1
  const records = units.flat()
  const entries = records.map(({ stream, revision, item }): PageEntry => {
    // A tombstone passes every filter of its stream type.
    const words = item.z ? '' : Buffer.from(item.y ?? []).toString('base64')
    return [stream, revision, item.n, item.t, words]
  })
  return {
    ...pageKey(first),
    end: first - 1 + records.reduce((events, { item }) => events + item.n, 0),
    t: Math.max(before?.t ?? 0, ...records.map(({ item }) => item.t)),
    e: JSON.stringify(entries),
    h: Buffer.concat(records.flatMap(hashesOf)),
  }
}

function hashesOf({ stream, revision, item }: Open): readonly Uint8Array[] {
  return Array.from({ length: item.n }, (_, at) => {
    const part = (bytes: Uint8Array | undefined) => bytes?.slice(at * 32, at * 32 + 32)
    return entryOfSlot({ stream, revision: revision + at, time: item.t, commitment: part(item.c), entry: part(item.e) })
  })
}

function writesOf(page: PageItem, records: readonly Open[]): readonly TableWrite[] {
  let position: Position = numberOf(page)
  const marks = records.map(({ stream, revision, item }): TableWrite => {
    const mark: MarkItem = { ...markKey(stream, revision), p: position, n: item.n }
    position += item.n
    return put(mark, { is: 'absent' })
  })
  return [put(page, { is: 'absent' }), ...marks]
}
