/**
 * Commits that are more than a plain append: several streams, documents, conditions, boundary tags, tombstones, events
 * too large for one item. Everything is looked at, then written in one transaction that is void if any of it has changed.
 */
import { asExpected } from '../../core/commit.ts'
import type { Commit, CommitOutcome, StreamAppend, StreamAppended } from '../../core/storage.ts'
import { busyMs, claimKeyOf, commitTries, endOf } from './append.ts'
import { cutEvents, packEvents, wordsOf } from './body.ts'
import { checkCondition, lastOrdinal, type TagEnds, tagHash } from './boundary.ts'
import { checkDocuments, getItems, writesOf } from './documents.ts'
import { isRefusal, mostTransactionItems, put, type TableWrite, Throttled } from './driver.ts'
import {
  type ClaimItem,
  claimOf,
  closingKey,
  type DocumentItem,
  type LinkItem,
  linkKey,
  type RecordItem,
  recordKey,
} from './items.ts'
import { isBoundaryTag, type RecordHint, type Session } from './session.ts'
import { findRepeat, lastOf, look } from './stream.ts'

/** What the engine takes in one transaction; attribute names and numbers are counted roughly. */
const transactionBytes = 4_194_304
/** How often a transaction is tried again whose answer was lost. */
const lostTries = 3
/** How often others may hold its items up before it is said that the store is busy. */
const heldTries = 12

interface Seen {
  /** The streams' newest records. */
  readonly last: ReadonlyMap<string, RecordItem | undefined>
  /** Of appends that expect `'any'` or `'exists'`, by stream. */
  readonly claims: ReadonlyMap<string, ClaimItem | undefined>
  readonly documents: readonly (DocumentItem | undefined)[]
}

/** Rejects where an answer was lost, and nothing after it could tell whether the transaction was done. */
export async function transact(session: Session, commit: Commit): Promise<CommitOutcome> {
  const lost: unknown[] = []
  try {
    const outcome = await transactOnce(session, commit, lost)
    if (outcome.outcome !== 'busy' || lost.length === 0) return outcome
  } catch (error) {
    if (lost.length === 0) throw error
  }
  // Whatever came later, one that was sent has no answer, and may yet be done.
  throw lost[0]
}

/** `lost`: why those that were sent before have no answer. */
async function transactOnce(session: Session, commit: Commit, lost: unknown[]): Promise<CommitOutcome> {
  let doubtful: CommitOutcome | undefined
  let held = 0
  for (let tries = 1; tries <= commitTries; tries++) {
    const seen = await see(session, commit)
    const found = await check(session, commit, seen)
    if ('outcome' in found) {
      if (found.outcome === 'committed') return lost.length > 0 ? { ...found, repeated: false } : found
      if (isCertain(found, commit)) return found
      if (doubtful?.outcome === found.outcome) return doubtful
      doubtful = found
      // What is half in sight will soon be all there.
      await session.table.pause(tries)
      continue
    }
    doubtful = undefined
    const plan = await planOf(session, commit, { seen, ends: found })
    const broken = limitBroken(plan.writes)
    if (broken !== undefined) return broken
    try {
      const result = plan.writes.length === 0 ? { written: true as const } : await session.table.transact(plan.writes)
      if (result.written) return done(session, plan)
      if (result.held && ++held === heldTries) break
      await session.table.pause(result.held ? Math.min(held, 6) : tries > 8 ? tries - 8 : 0)
    } catch (error) {
      if (error instanceof Throttled || isRefusal(error)) throw error
      // Whether it was done the next look says; what is there wants a position.
      for (const { stream, revision } of plan.records) session.hint({ stream, revision })
      if (lost.push(error) === lostTries) throw error
      await session.table.pause(lost.length)
    }
  }
  return { outcome: 'busy', retryAfterMs: busyMs }
}

/**
 * The same commit, tried elsewhere or an answer ago, may come between two reads of one look, and then stands in its own
 * way. So what refuses it is told only when another look has not found it either; but for a conflict where it cannot be
 * there yet, or where its own events were looked for and others lie.
 */
function isCertain(found: CommitOutcome, { appends }: Commit): boolean {
  if (found.outcome !== 'conflict') return found.outcome === 'forgotten' || found.outcome === 'failed'
  const { stream, expected, actual } = found
  if (typeof expected !== 'number' || actual < expected) return true
  return appends.some((append) => append.stream === stream && append.events.length > 0)
}

async function see(session: Session, { appends, documents = [] }: Commit): Promise<Seen> {
  const wordy = appends.filter(({ expected, events }) => typeof expected !== 'number' && events.length > 0)
  // What a claim says was so before the look at its stream.
  const claims = await session.table.getMany(wordy.map((append) => claimKeyOf(session, append.events)))
  const [last, found] = await Promise.all([
    Promise.all(appends.map(({ stream }) => look(session, stream))),
    getItems(
      session,
      documents.map(({ key }) => key),
    ),
  ])
  return {
    last: new Map(appends.map(({ stream }, index) => [stream, last[index]])),
    claims: new Map(wordy.map(({ stream }, index) => [stream, claims[index] as ClaimItem | undefined])),
    documents: found,
  }
}

/**
 * Closed, repeated, expected, condition, documents: in the order that every storage keeps. Where nothing stands against
 * the commit, the ordinals that its condition goes by.
 */
async function check(session: Session, commit: Commit, seen: Seen): Promise<CommitOutcome | TagEnds> {
  const { last, claims, documents } = seen
  const starts = new Map<string, { stream: string; revision: number }>()
  for (const { stream, expected } of commit.appends) {
    const claim = claims.get(stream)
    const newest = last.get(stream)
    // What came since the look stops the transaction.
    if (typeof expected !== 'number') {
      if (claim) starts.set(stream, { stream: claim.st, revision: claim.r })
    } else if (newest && lastOf(newest) > expected) starts.set(stream, { stream, revision: expected + 1 })
  }
  const closed = commit.appends.find(({ stream }) => last.get(stream)?.z)
  if (closed !== undefined) {
    const { stream, tombstone } = closed
    const newest = last.get(stream)
    if (!tombstone || !newest) return { outcome: 'forgotten', stream }
    const again = await findRepeat(session, commit, new Map([[stream, { stream, revision: lastOf(newest) }]]))
    return again !== 'new' && again.outcome === 'committed' ? again : { outcome: 'forgotten', stream }
  }
  const repeat = await findRepeat(session, commit, starts)
  if (repeat !== 'new') return repeat
  for (const append of commit.appends) {
    const { stream, expected } = append
    const newest = last.get(stream)
    const actual = newest ? lastOf(newest) : 0
    if (!asExpected(append, actual)) return { outcome: 'conflict', stream, expected, actual }
  }
  const ends = commit.condition ? await checkCondition(session, commit.condition) : new Map<string, number>()
  return 'outcome' in ends ? ends : (checkDocuments(commit, documents) ?? ends)
}

interface Plan {
  readonly writes: readonly TableWrite[]
  readonly streams: readonly StreamAppended[]
  readonly records: readonly (RecordHint & { readonly item: RecordItem })[]
}

async function planOf(
  session: Session,
  commit: Commit,
  { seen, ends }: { readonly seen: Seen; readonly ends: TagEnds },
): Promise<Plan> {
  const times = commit.appends.map(({ stream }) => seen.last.get(stream)?.t ?? 0)
  const time = Math.max(session.clock(), ...times)
  const next = await nextOrdinals(session, commit, ends)
  const writes: TableWrite[] = []
  const streams: StreamAppended[] = []
  const records: (RecordHint & { item: RecordItem })[] = []
  for (const append of commit.appends) {
    const { stream, events, tombstone } = append
    const newest = seen.last.get(stream)
    let first = (newest ? lastOf(newest) : 0) + 1
    if (events.length === 0) {
      writes.push({ write: 'check', key: recordKey(stream, first), if: { is: 'absent' } })
      continue
    }
    writes.push(...claimWrites(session, append, { claim: seen.claims.get(stream), revision: first }))
    if (tombstone) writes.push(put({ ...closingKey(stream), st: stream }, { is: 'anything' }))
    streams.push({ stream, first, last: first + events.length - 1, time })
    let q = newest && endOf(newest).first
    for (const run of cutEvents(events)) {
      const { body, chunks } = packEvents(stream, first, run)
      const links = linksOf(session, { stream, revision: first, events: run, next })
      const item: RecordItem = {
        ...{ ...recordKey(stream, first), n: run.length, t: time },
        ...(q !== undefined && { q }),
        ...body,
        y: wordsOf(session.hash, run),
        ...(links.length > 0 && { l: links.map(({ tag, ordinal }) => [tag, ordinal] as const) }),
        ...(tombstone && { z: 1 as const }),
      }
      records.push({ stream, revision: first, item })
      const more = [...chunks, ...links.map(({ item }) => item)]
      writes.push(...more.map((item) => put(item, { is: 'absent' })))
      q = first
      first += run.length
    }
  }
  const commitRecords = records.map(({ stream, revision }) => [stream, revision] as const)
  const bound = records.map((record) =>
    records.length > 1 ? { ...record, item: { ...record.item, w: commitRecords } } : record,
  )
  writes.push(...bound.map(({ item }) => put(item, { is: 'absent' })))
  const linked = new Set(bound.flatMap(({ item }) => item.l?.map(([tag]) => tag) ?? []))
  for (const [tag, end] of ends) {
    // A link of its own under the tag is the check itself.
    if (!linked.has(tag)) writes.push({ write: 'check', key: linkKey(tag, end + 1), if: { is: 'absent' } })
  }
  for (const [index, write] of (commit.documents ?? []).entries()) {
    writes.push(...writesOf(session, write, { id: commit.id, found: seen.documents[index] }))
  }
  return { writes, streams, records: bound }
}

/** Under each boundary tag of the events the ordinal that comes next; behind the condition's, where it has looked already. */
async function nextOrdinals(session: Session, { appends }: Commit, ends: TagEnds): Promise<Map<string, number>> {
  const tags = new Set(appends.flatMap(({ events }) => events.flatMap(({ tags }) => tags)))
  const hashes = [...tags].filter((tag) => isBoundaryTag(session, tag)).map((tag) => tagHash(session, tag))
  const next = await Promise.all(
    hashes.map(async (tag) => [tag, (ends.get(tag) ?? (await lastOrdinal(session, tag))) + 1] as const),
  )
  return new Map(next)
}

function linksOf(
  session: Session,
  run: {
    readonly stream: string
    readonly revision: number
    readonly events: StreamAppend['events']
    readonly next: Map<string, number>
  },
): readonly { readonly tag: string; readonly ordinal: number; readonly item: LinkItem }[] {
  const types = new Map<string, Set<string>>()
  for (const { type, tags } of run.events) {
    for (const tag of tags) {
      if (!isBoundaryTag(session, tag)) continue
      const hash = tagHash(session, tag)
      types.set(hash, (types.get(hash) ?? new Set()).add(type))
    }
  }
  return [...types].map(([tag, types]) => {
    const ordinal = run.next.get(tag) ?? 1
    run.next.set(tag, ordinal + 1)
    return { tag, ordinal, item: { ...linkKey(tag, ordinal), st: run.stream, r: run.revision, ty: [...types] } }
  })
}

/** A retry finds an append that names no revision by its claim. */
function claimWrites(
  session: Session,
  append: StreamAppend,
  { claim, revision }: { readonly claim: ClaimItem | undefined; readonly revision: number },
): readonly TableWrite[] {
  if (typeof append.expected === 'number') return []
  const item = claimOf(claimKeyOf(session, append.events), append.stream, revision)
  return [put(item, claim ? { is: 'equal', attribute: 'at', value: claim.at } : { is: 'absent' })]
}

function limitBroken(writes: readonly TableWrite[]): CommitOutcome | undefined {
  if (writes.length > mostTransactionItems) {
    return { outcome: 'limit', limit: 'commitItems', allowed: mostTransactionItems, actual: writes.length }
  }
  const actual = writes.reduce((bytes, write) => bytes + (write.write === 'put' ? bytesOf(write.item) : 0), 0)
  return actual > transactionBytes
    ? { outcome: 'limit', limit: 'commitBytes', allowed: transactionBytes, actual }
    : undefined
}

function bytesOf(value: unknown): number {
  if (typeof value === 'string') return Buffer.byteLength(value)
  if (value instanceof Uint8Array) return value.length
  if (Array.isArray(value)) return value.reduce((bytes: number, item) => bytes + 3 + bytesOf(item), 3)
  if (typeof value !== 'object' || value === null) return 8
  return Object.entries(value).reduce((bytes, [name, item]) => bytes + name.length + bytesOf(item), 0)
}

function done(session: Session, { streams, records }: Plan): CommitOutcome {
  for (const record of records) {
    if (!record.item.z) session.ends.saw(record.stream, endOf(record.item))
    session.hint(record)
  }
  return { outcome: 'committed', repeated: false, streams }
}
