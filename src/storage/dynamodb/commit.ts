/**
 * Commits that were handed over together. Those that touch nothing in common go side by side; those that do, one behind
 * the other, so that each is seen by the ones after it.
 */
import { Unsupported } from '../../core/errors.ts'
import type { Commit, CommitOutcome, StreamAppend } from '../../core/storage.ts'
import { appendPlain, busyMs } from './append.ts'
import { fitsOneItem } from './body.ts'
import { isRefusal, Throttled } from './driver.ts'
import { failureOf } from './failure.ts'
import { isBoundaryTag, type Session } from './session.ts'
import { transact } from './transact.ts'

/** Commits under way at once. */
const commitsAtOnce = 64

export async function commitAll(
  commits: readonly Commit[],
  run: (commit: Commit) => Promise<CommitOutcome>,
): Promise<readonly CommitOutcome[]> {
  const last = new Map<string, Promise<unknown>>()
  const outcomes: Promise<CommitOutcome>[] = []
  for (const [index, commit] of commits.entries()) {
    const marks = touched(commit)
    const before = marks.flatMap((mark) => last.get(mark) ?? [])
    // Wherever that one stands, there is room again once it is done.
    before.push(outcomes[index - commitsAtOnce] ?? Promise.resolve())
    const outcome = Promise.allSettled(before).then(() => run(commit))
    for (const mark of marks) last.set(mark, outcome)
    outcomes.push(outcome)
  }
  const settled = await Promise.allSettled(outcomes)
  return settled.map((result) => {
    if (result.status === 'fulfilled') return result.value
    throw result.reason
  })
}

function touched({ appends, condition, documents = [] }: Commit): readonly string[] {
  return [
    ...appends.map(({ stream }) => `stream ${stream}`),
    ...appends.flatMap(({ events }) =>
      events.flatMap(({ id, tags }) => [`id ${id}`, ...tags.map((tag) => `tag ${tag}`)]),
    ),
    ...(condition?.query ?? []).flatMap(({ tags = [] }) => tags.map((tag) => `tag ${tag}`)),
    ...documents.map(({ key }) => `document ${key.collection}\n${key.key}`),
  ]
}

export async function commitOne(session: Session, commit: Commit): Promise<CommitOutcome> {
  try {
    const append = plainOf(session, commit)
    return append ? await appendPlain(session, { ...commit, appends: [append] }) : await transact(session, commit)
  } catch (error) {
    if (error instanceof Throttled) return { outcome: 'busy', retryAfterMs: busyMs }
    if (error instanceof Unsupported) return { outcome: 'failed', cause: error }
    if (isRefusal(error)) return { outcome: 'failed', cause: failureOf(error, 'write to', session) }
    throw error
  }
}

/** The one append that is all of the commit, and fits one item. */
function plainOf(session: Session, { appends, condition, documents = [] }: Commit): StreamAppend | undefined {
  const [append] = appends
  if (append === undefined || appends.length > 1 || condition || documents.length > 0) return undefined
  const { events, tombstone, at } = append
  if (tombstone || at !== undefined) return undefined
  const tagged = events.some(({ tags }) => tags.some((tag) => isBoundaryTag(session, tag)))
  return events.length > 0 && !tagged && fitsOneItem(events) ? append : undefined
}
