/** Trimming and forgetting empty records and keep their keys. */
import { parseContent } from '../../core/content.ts'
import { InvalidArgument, StorageFailed } from '../../core/errors.ts'
import { limits } from '../../core/limits.ts'
import type { EraseProgress, EraseStep, Revision } from '../../core/storage.ts'
import { bodyOf, entryOfSlot, idOfSlot, packLines, type Slot, slotsIn } from './body.ts'
import { eraseCollection, eraseHolders } from './documents.ts'
import { put, type TableWrite } from './driver.ts'
import {
  type ClaimItem,
  chunkKey,
  claimKey,
  closingKey,
  type LinkItem,
  linkKey,
  numberOf,
  type RecordItem,
} from './items.ts'
import { rememberPlaced, sequence } from './sequence.ts'
import type { Session } from './session.ts'
import { firstOf, lastOf, look, recordAt, recordsOf } from './stream.ts'

export async function erase(session: Session, step: EraseStep): Promise<EraseProgress> {
  switch (step.erase) {
    case 'trim':
      return eraseRange(session, step, (slot) => trimmed(slot, step.segment))
    case 'events':
      return forgetEvents(session, step)
    case 'documents':
      return eraseHolders(session, step.stream)
    case 'collection':
      return eraseCollection(session, step.collection, step.cursor)
    case 'scrub':
      // The engine overwrites what it deletes; copies in its change stream go within a day.
      return { erased: 0, done: true }
  }
}

/** A line of the record once the event is emptied; undefined where it stays as it is. */
type Emptied = (slot: Slot) => string | undefined

function trimmed(slot: Slot, segment: string): string | undefined {
  if (slot.state !== 'stored') return undefined
  const { id, type, tags } = parseContent(slot.content)
  return JSON.stringify({ id, type, tags, segment })
}

async function forgetEvents(
  session: Session,
  { stream, from }: EraseStep & { erase: 'events' },
): Promise<EraseProgress> {
  const newest = await look(session, stream)
  if (!newest?.z) throw new InvalidArgument('stream', `"${stream}" has no tombstone, so its events stay`)
  // The sequencer goes by what the records hold.
  await sequence({ session, placed: rememberPlaced() }, [{ stream, revision: firstOf(newest) }])
  const to = firstOf(newest) - 1
  const progress = await eraseRange(session, { stream, from, to }, (slot) =>
    slot.state === 'forgotten' ? undefined : '',
  )
  if (progress.done) await session.table.write({ write: 'delete', key: closingKey(stream), if: { is: 'anything' } })
  return progress
}

async function eraseRange(
  session: Session,
  { stream, from, to }: { readonly stream: string; readonly from: Revision; readonly to: Revision },
  emptied: Emptied,
): Promise<EraseProgress> {
  const end = Math.min(to, from + limits.eraseRecords - 1)
  if (end < from) return { erased: 0, done: true }
  const first = await recordAt(session, stream, from)
  if (first === undefined) return { erased: 0, done: true }
  const range = { ...recordsOf(stream, firstOf(first), end), direction: 'forwards' as const }
  const { items } = await session.table.query({ ...range, limit: limits.eraseRecords + 1 })
  const records = items as readonly RecordItem[]
  const last = records.at(-1) ?? first
  const reached = Math.min(end, lastOf(last))
  let erased = 0
  for (const record of records) erased += await eraseRecord(session, stream, { record, from, to: end, emptied })
  // Where the stream ends before the range does, so does the step.
  return reached < to && reached === end ? { erased, next: end + 1, done: false } : { erased, done: true }
}

const eraseTries = 10
const hash = 32

/** Rewrites one record, unless it has changed since it was read: then it is read again. */
async function eraseRecord(
  session: Session,
  stream: string,
  { record, from, to, emptied }: { record: RecordItem; from: Revision; to: Revision; emptied: Emptied },
): Promise<number> {
  let item: RecordItem | undefined = record
  for (let tries = 1; item !== undefined && tries <= eraseTries; tries++) {
    const body = await bodyOf(session.table, stream, item)
    item = body.record
    const slots = slotsIn(stream, body)
    const lines = [...body.lines]
    let erased = 0
    for (const [at, slot] of slots.entries()) {
      const line = slot.revision < from || slot.revision > to ? undefined : emptied(slot)
      if (line === undefined) continue
      lines[at] = line
      erased++
    }
    if (erased === 0) return 0
    const forgotten = lines.every((line) => line === '')
    if (forgotten) await eraseClaim(session, stream, slots)
    const rewritten = rewrite(item, slots, lines)
    const writes: TableWrite[] = [
      put(rewritten, { is: 'equal', attribute: 'u', value: item.u }),
      ...chunksOf(stream, item).map((key): TableWrite => ({ write: 'delete', key, if: { is: 'anything' } })),
      ...(forgotten ? bareLinks(stream, item) : []),
    ]
    const { written } = await session.table.transact(writes)
    if (written) return erased
    await session.table.pause(tries)
    item = (await session.table.get(item)) as RecordItem | undefined
  }
  throw new StorageFailed(`erase revision ${firstOf(record)} of "${stream}"`, 'others keep changing it')
}

function rewrite(item: RecordItem, slots: readonly Slot[], lines: readonly string[]): RecordItem {
  const { pk, sk, n, t, q, l, w, z, y, u = 0 } = item
  const kept = {
    pk,
    sk,
    n,
    t,
    ...(q !== undefined && { q }),
    ...(l && { l }),
    ...(w && { w }),
    ...(z && { z }),
    u: u + 1,
  }
  const gone = lines.map((line) => line === '')
  const e = gone.includes(true) ? { e: Buffer.concat(slots.map(entryOfSlot)) } : {}
  if (!gone.includes(false)) return { ...kept, ...e }
  const proofs = (of: 'salt' | 'commitment') =>
    Buffer.concat(slots.map((slot, at) => (gone[at] ? new Uint8Array(hash) : (slot[of] ?? new Uint8Array(hash)))))
  return { ...kept, ...e, b: packLines(lines), s: proofs('salt'), c: proofs('commitment'), ...(y && { y }) }
}

function chunksOf(stream: string, item: RecordItem) {
  return Array.from({ length: item.k ?? 0 }, (_, chunk) => chunkKey(stream, numberOf(item), chunk))
}

/** Links stay, for they are counted; that they lost their types says that the record was forgotten. */
function bareLinks(stream: string, item: RecordItem): readonly TableWrite[] {
  return (item.l ?? []).map(([tag, ordinal]): TableWrite => {
    const link: LinkItem = { ...linkKey(tag, ordinal), st: stream, r: numberOf(item) }
    return put(link, { is: 'anything' })
  })
}

async function eraseClaim({ table, hash }: Session, stream: string, slots: readonly Slot[]): Promise<void> {
  const [first] = slots
  const id = first && idOfSlot(first)
  if (id === undefined) return
  const key = claimKey(hash(`id ${id}`))
  const claim = (await table.get(key)) as ClaimItem | undefined
  if (claim?.st !== stream || claim.r !== first?.revision) return
  await table.write({ write: 'delete', key, if: { is: 'equal', attribute: 'at', value: claim.at } })
}
