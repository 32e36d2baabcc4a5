/**
 * The trail: what Daybook has done to places outside the log, as events of the log, in streams of its own. Who forgot a stream,
 * when and why stands in its tombstone; the trail says which archive segments and backups were written anew for it.
 */
import { errorOf, type Making, makeEvent } from './append.ts'
import type { CommitQueue } from './commit-queue.ts'
import { derivedId } from './id.ts'
import { trailType } from './name.ts'
import type { StreamAppend } from './storage.ts'

export const erasureTrail = `${trailType}/erasures`

/** What was forgotten, told without its name, which may be personal. */
export type ErasedFor =
  /** A stream, by the id of its tombstone. */
  | { readonly tombstone: string }
  /** A subject, as `$subject-forgotten` tells it. */
  | { readonly subject: string }

/** Of `$content-erased`. */
export type ContentErased = ErasedFor & {
  /** Archive segments that were written anew, and objects of backups. */
  readonly segments: number
  readonly backups: number
  /** The first of them: segments, and manifests of backups. */
  readonly names: readonly string[]
}

export const subjectForgottenType = '$subject-forgotten'

/** Of that type. It may have no stream of its own, and so no tombstone. */
export interface SubjectForgotten {
  /** Derived from its name, which may be personal. */
  readonly subject: string
  readonly reasonCode: string
  readonly principal?: string
  /** What became of its key. */
  readonly key: 'destroyed' | 'none'
}

/** For the commit that forgets it. */
export function subjectForgotten(making: Making, forgotten: SubjectForgotten): StreamAppend {
  const event = makeEvent(making, { type: subjectForgottenType, data: forgotten }, 'trail')
  return { stream: erasureTrail, expected: 'any', events: [event] }
}

export interface Trailing {
  readonly queue: Pick<CommitQueue, 'add'>
  readonly making: Making
}

/** Once, however often it is asked for. */
export async function recordErasure({ queue, making }: Trailing, erased: ContentErased): Promise<void> {
  const { segments, backups } = erased
  const of = 'tombstone' in erased ? erased.tombstone : erased.subject
  const id = derivedId(['content erased', of, segments, backups])
  const event = makeEvent(making, { id, type: '$content-erased', data: erased }, 'trail')
  const append = { stream: erasureTrail, expected: 'any', events: [event] } as const
  const outcome = await queue.add({ id: making.newId(), appends: [append] })
  // The same again, with names in another order.
  if (outcome.outcome !== 'committed' && outcome.outcome !== 'id-reused') throw errorOf(outcome)
}
