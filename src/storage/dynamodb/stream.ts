/** Streams as they lie in the table: their newest record, their records in a range, and whether an append is there already. */
import { compareIds, type Found } from '../../core/commit.ts'
import { commitmentOf } from '../../core/leaf.ts'
import type { Commit, CommitOutcome, PreparedEvent, Revision, StreamAppended } from '../../core/storage.ts'
import { idOfSlot, type Slot, slotsOf } from './body.ts'
import { type Key, type MarkItem, markKey, numberOf, padded, type RecordItem } from './items.ts'
import type { Session } from './session.ts'
import { inSight } from './sight.ts'

/** The newest record of a stream, now. */
export function look(session: Session, stream: string): Promise<RecordItem | undefined> {
  return recordAt(session, stream, Number.MAX_SAFE_INTEGER)
}

export const firstOf = (record: Key): Revision => numberOf(record)
export const lastOf = (record: RecordItem): Revision => numberOf(record) + record.n - 1

/** The stream's records from the first revision on; the bounds are of sort keys. */
export function recordsOf(stream: string, from: Revision = 1, to: Revision = Number.MAX_SAFE_INTEGER) {
  return { pk: `s#${stream}`, from: `r${padded(from)}`, to: `r${padded(to)}` }
}

export function marksOf(stream: string, from: Revision, to: Revision = Number.MAX_SAFE_INTEGER) {
  return { pk: `s#${stream}`, from: `p${padded(from)}`, to: `p${padded(to)}` }
}

/** The newest record that begins at or before a revision; never one from the midst of a commit that is coming into sight. */
export async function recordAt(
  { table }: Session,
  stream: string,
  revision: Revision,
): Promise<RecordItem | undefined> {
  const range = { ...recordsOf(stream, 1, revision), direction: 'backwards' as const, limit: 1 }
  const { items } = await inSight(
    table,
    () => table.query(range),
    ({ items }) => isWhole(stream, items[0] as RecordItem | undefined, revision),
  )
  return items[0] as RecordItem | undefined
}

/** No record of the same commit follows it in its stream, up to a revision. */
export function isWhole(
  stream: string,
  record: RecordItem | undefined,
  to: Revision = Number.MAX_SAFE_INTEGER,
): boolean {
  return !record?.w?.some(([other, revision]) => other === stream && revision > firstOf(record) && revision <= to)
}

/** Whether each of the records, which ascend, begins where the one before it ends. */
export function isDense(records: readonly RecordItem[]): boolean {
  return records.every((record, index) => {
    const before = records[index - 1]
    return before === undefined || firstOf(record) === lastOf(before) + 1
  })
}

export function covers(record: RecordItem | undefined, revision: Revision): boolean {
  return record !== undefined && firstOf(record) <= revision && lastOf(record) >= revision
}

/** The events from one revision to another, as far as they are there; most often one record holds them. */
export async function slotsBetween(
  session: Session,
  stream: string,
  { from, to }: { readonly from: Revision; readonly to: Revision },
): Promise<readonly Slot[]> {
  if (to < from) return []
  const records = await recordsBetween(session, stream, { from, to })
  const slots = await slotsOf(session.table, stream, records)
  return slots.filter(({ revision }) => revision >= from && revision <= to)
}

async function recordsBetween(
  session: Session,
  stream: string,
  { from, to }: { readonly from: Revision; readonly to: Revision },
): Promise<readonly RecordItem[]> {
  const last = await recordAt(session, stream, to)
  if (last === undefined || firstOf(last) <= from) return last ? [last] : []
  const range = { ...recordsOf(stream, from, to), direction: 'forwards' as const, limit: to - from + 1 }
  return inSight(
    session.table,
    async () => {
      const [before, { items }] = await Promise.all([recordAt(session, stream, from), session.table.query(range)])
      const records = items as readonly RecordItem[]
      return before && firstOf(before) < from ? [before, ...records] : records
    },
    (records) => covers(records[0], from) && isDense(records),
  )
}

/** The position of a revision, once it has one. */
export async function positionAt({ table }: Session, stream: string, revision: Revision): Promise<number | undefined> {
  const { items } = await table.query({ ...marksOf(stream, 1, revision), direction: 'backwards', limit: 1 })
  const mark = items[0] as MarkItem | undefined
  if (mark === undefined) return undefined
  const behind = revision - numberOf(mark)
  return behind < mark.n ? mark.p + behind : undefined
}

/** Positions of the first events of records; undefined for those that have none yet. */
export async function positionsOf(
  { table }: Session,
  records: readonly { readonly stream: string; readonly revision: Revision }[],
): Promise<readonly (number | undefined)[]> {
  const marks = await table.getMany(records.map(({ stream, revision }) => markKey(stream, revision)))
  return marks.map((mark) => (mark as MarkItem | undefined)?.p)
}

/**
 * Whether the commit's events lie where it would have put them: `'new'`, the outcome of a repeat, or the error that an
 * id is used otherwise. `starts` says of each append where its first event would lie.
 */
export async function findRepeat(
  session: Session,
  commit: Commit,
  starts: ReadonlyMap<string, { readonly stream: string; readonly revision: Revision }>,
): Promise<'new' | CommitOutcome> {
  for (const { stream, events } of commit.appends) {
    const start = starts.get(stream)
    // Who has claimed the id for another stream may put it there at any time, so nobody takes it from there.
    if (start && start.stream !== stream) return { outcome: 'id-reused', id: events[0]?.id ?? '', ...start }
  }
  const found = new Map<string, Slot>()
  let closed: string | undefined
  await Promise.all(
    commit.appends.map(async (append) => {
      const start = starts.get(append.stream)
      if (start === undefined || append.events.length === 0) return
      const to = start.revision + append.events.length - 1
      const slots = await slotsBetween(session, start.stream, { from: start.revision, to })
      // A claim has moved on where somebody else's events lie, and what is behind them it does not tell.
      const first = slots.find(({ revision }) => revision === start.revision)
      if (typeof append.expected !== 'number' && first && idOfSlot(first) !== append.events[0]?.id) return
      for (const slot of slots) {
        const id = idOfSlot(slot)
        if (id !== undefined) found.set(id, slot)
        else closed = append.stream
      }
    }),
  )
  const verdict = compareIds(commit, (event): Found | undefined => {
    const slot = found.get(event.id)
    return slot && { stream: slot.stream, revision: slot.revision, same: sameContent(slot, event) }
  })
  if (verdict !== 'repeated') {
    // Ids have gone, and what they would say with them: the stream was closed since it was looked at.
    return closed === undefined ? verdict : { outcome: 'forgotten', stream: closed }
  }
  const streams = commit.appends.flatMap(({ stream, events }): readonly StreamAppended[] => {
    const last = found.get(events.at(-1)?.id ?? '')
    return last ? [{ stream, first: last.revision - events.length + 1, last: last.revision, time: last.time }] : []
  })
  const positions = await Promise.all(streams.map(({ stream, last }) => positionAt(session, stream, last)))
  await Promise.all(
    streams.map(async ({ stream, last }, index) => {
      // Who has written it may not know, so that nobody else would see to it.
      const record = positions[index] === undefined ? await recordAt(session, stream, last) : undefined
      if (record) session.hint({ stream, revision: firstOf(record), item: record })
    }),
  )
  return {
    outcome: 'committed',
    repeated: true,
    streams: streams.map((appended, index) => {
      const position = positions[index]
      return position === undefined ? appended : { ...appended, position }
    }),
  }
}

/** The first salt wins: content that has gone to the archive is compared through its commitment. */
function sameContent({ state, content, salt, commitment }: Slot, event: PreparedEvent): boolean {
  if (state !== 'trimmed') return content === event.content
  if (salt === undefined || commitment === undefined) return false
  const again = commitmentOf(salt, event.content)
  return commitment.every((byte, index) => byte === again[index])
}
