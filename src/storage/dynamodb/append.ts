/**
 * The plain append: one stream, events that fit one record, nothing beside them. One conditional put where the caller
 * names the revision, and a claim before it where it does not. A put at a revision is legal only where a record is known
 * to end right before it: "the caller says so" is not knowledge.
 */
import type { Commit, CommitOutcome, StreamAppend } from '../../core/storage.ts'
import { packEvents, wordsOf } from './body.ts'
import { isRefusal, pause, put, Throttled } from './driver.ts'
import { type ClaimItem, claimKey, type Key, type RecordItem, recordKey } from './items.ts'
import type { End, Session } from './session.ts'
import { findRepeat, firstOf, lastOf, look } from './stream.ts'

/** How often rivals may get in the way of one commit. */
export const commitTries = 40
export const busyMs = 200

export interface PlainCommit extends Commit {
  readonly appends: readonly [StreamAppend]
}

export async function appendPlain(session: Session, commit: PlainCommit): Promise<CommitOutcome> {
  const [append] = commit.appends
  for (let tries = 1; tries <= commitTries; tries++) {
    const { expected } = append
    const claim = tries === 1 ? claimFirst : appendAnywhere
    const outcome =
      typeof expected === 'number' ? await appendAt(session, commit, expected) : await claim(session, commit)
    if (outcome !== 'again') return outcome
    await pause(tries > 8 ? tries - 8 : 0)
  }
  return { outcome: 'busy', retryAfterMs: busyMs }
}

async function appendAt(session: Session, commit: PlainCommit, expected: number): Promise<CommitOutcome | 'again'> {
  const [{ stream }] = commit.appends
  const known = session.ends.get(stream)
  let end: End | undefined = expected === 0 || known?.revision !== expected ? undefined : known
  if (expected > 0 && end === undefined) {
    const last = await look(session, stream)
    if (last?.z || (last ? lastOf(last) : 0) !== expected) return settle(session, commit, last)
    end = last && endOf(last)
  }
  return putBehind(session, commit, end)
}

/**
 * `'any'` and `'exists'`: a claim under the first event's id says where the append lies, so that a retry finds it. The
 * first try takes it for granted that there is none yet.
 */
async function claimFirst(session: Session, commit: PlainCommit): Promise<CommitOutcome | 'again'> {
  const [{ stream, events, expected }] = commit.appends
  const known = session.ends.get(stream)
  const last = known ? undefined : await look(session, stream)
  if (last?.z || (expected === 'exists' && !known && !last)) return 'again'
  const end = known ?? (last && endOf(last))
  const claim: ClaimItem = { ...claimKeyOf(session, events), st: stream, r: (end?.revision ?? 0) + 1 }
  const { written } = await session.table.write(put(claim, { is: 'absent' }))
  return written ? putBehind(session, commit, end) : 'again'
}

async function appendAnywhere(session: Session, commit: PlainCommit): Promise<CommitOutcome | 'again'> {
  const { table } = session
  const [{ stream, events, expected }] = commit.appends
  const key = claimKeyOf(session, events)
  // In this order: what the claim says was so before the look.
  const claim = (await table.get(key)) as ClaimItem | undefined
  const last = await look(session, stream)
  if (last?.z) return settle(session, commit, last)
  const next = last ? lastOf(last) + 1 : 1
  if (claim !== undefined && (claim.st !== stream || claim.r < next)) {
    const starts = new Map([[stream, { stream: claim.st, revision: claim.r }]])
    const repeat = await findRepeat(session, commit, starts)
    if (repeat !== 'new') return repeat
  }
  if (expected === 'exists' && last === undefined) return { outcome: 'conflict', stream, expected, actual: 0 }
  if (claim?.st !== stream || claim.r !== next) {
    const item: ClaimItem = { ...key, st: stream, r: next }
    const guard = claim ? ({ is: 'equal', attribute: 'r', value: claim.r } as const) : ({ is: 'absent' } as const)
    const { written } = await table.write(put(item, guard))
    if (!written) return 'again'
  }
  return putBehind(session, commit, last && endOf(last))
}

export function claimKeyOf({ hash }: Session, [first]: StreamAppend['events']): Key {
  return claimKey(hash(`id ${first?.id}`))
}

/** Puts the record right behind the end of another, or as the first one. */
async function putBehind(
  session: Session,
  commit: PlainCommit,
  end: End | undefined,
): Promise<CommitOutcome | 'again'> {
  const [{ stream, events }] = commit.appends
  const first = (end?.revision ?? 0) + 1
  const time = Math.max(session.clock(), end?.time ?? 0)
  const item: RecordItem = {
    ...recordKey(stream, first),
    n: events.length,
    t: time,
    ...(end && { q: end.first }),
    ...packEvents(stream, first, events).body,
    y: wordsOf(session.hash, events),
  }
  const { written } = await session.table.write(put(item, { is: 'absent' })).catch((error) => {
    // It may be there all the same, and then wants a position.
    if (!(error instanceof Throttled || isRefusal(error))) session.hint({ stream, revision: first })
    throw error
  })
  if (!written) return typeof commit.appends[0].expected === 'number' ? settle(session, commit) : 'again'
  const last = first + events.length - 1
  session.ends.saw(stream, { revision: last, first, time })
  session.hint({ stream, revision: first, item })
  return { outcome: 'committed', repeated: false, streams: [{ stream, first, last, time }] }
}

/** What an append at a number meets that is not where its stream ends: a tombstone, itself, or somebody else's events. */
export async function settle(session: Session, commit: PlainCommit, seen?: RecordItem): Promise<CommitOutcome> {
  const [{ stream, expected }] = commit.appends
  const last = seen ?? (await look(session, stream))
  if (last?.z) return { outcome: 'forgotten', stream }
  const actual = last ? lastOf(last) : 0
  if (typeof expected === 'number' && actual > expected) {
    const repeat = await findRepeat(session, commit, new Map([[stream, { stream, revision: expected + 1 }]]))
    if (repeat !== 'new') return repeat
  }
  return { outcome: 'conflict', stream, expected, actual }
}

export function endOf(last: RecordItem): End {
  return { revision: lastOf(last), first: firstOf(last), time: last.t }
}
