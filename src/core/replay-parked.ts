/** Making one view anew on demand: of an entity that is parked, after its handler was mended, or that is lost. */
import { errorOf } from './append.ts'
import type { Background } from './background.ts'
import { checkpointOf, checkpointPlace, logIdOf, newCheckpoint, readCheckpoint } from './checkpoint.ts'
import { guardOf, putDocument } from './document.ts'
import { failureOf } from './failure.ts'
import { loadViews } from './fold.ts'
import { limits } from './limits.ts'
import { mend } from './mend.ts'
import { parkedKey, parkedOf, parkWrites, unparkWrite } from './parked-view.ts'
import type { Shape } from './projection.ts'
import { failedAt } from './projection-errors.ts'
import { projectionStates } from './projection-state.ts'
import type { DocumentWrite } from './storage.ts'
import { backoffMs, sleep } from './turn.ts'

export interface Refolded {
  /** The view holds all events of its streams now. */
  readonly done: boolean
  /** Why it is parked still. */
  readonly error?: Error
}

/** In one commit, whatever else is written to the view or passed over meanwhile; then it is done again. */
export async function refoldView(background: Background, shape: Shape, key: string): Promise<Refolded> {
  const { storage, queue, making, clock } = background
  for (let tries = 1; ; tries++) {
    const [document] = await storage.getDocuments([parkedKey(shape, key)])
    const known = document && parkedOf(document)
    const [stored = { key, body: {} }] = await loadViews(storage, shape, [key])
    // After the view, so that nothing which came into it lies beyond.
    const checkpoint = await readCheckpoint(storage, shape)
    const body = checkpoint ? checkpointOf(checkpoint) : newCheckpoint(shape, await logIdOf(storage))
    const position = Math.max(body.position, stored.body.at ?? 0)
    const { writes, failed } = await mend(background, shape, { stored, position })
    const documents: DocumentWrite[] = [...writes]
    if (failed) {
      const { stream, revision, type } = failed.event
      const before = known?.parked ?? { tries: 0, waiting: 0, at: position }
      const { waiting, at } = before
      const told = { key, stream, revision, type, tries: before.tries + 1, failure: failureOf(failed.error, clock()) }
      documents.push(...parkWrites(shape, { ...told, waiting, at }, known))
    } else if (known) documents.push(unparkWrite(shape, known))
    if (documents.length === 0) return { done: true }
    // A commit puts something.
    if (!documents.some(({ kind }) => kind === 'put')) {
      const guard = guardOf(checkpoint)
      documents.push(...putDocument(projectionStates, { key: checkpointPlace(shape).key, body, if: guard }))
    }
    const outcome = await queue.add({ id: making.newId(), appends: [], documents })
    if (outcome.outcome === 'committed')
      return failed ? { done: false, error: failedAt(shape, failed.event, failed.error) } : { done: true }
    if (outcome.outcome !== 'document-conflict' || tries >= limits.foldTries) throw errorOf(outcome)
    await sleep(backoffMs(tries, limits.foldBackoffMs, limits.foldBackoffMsMax))
  }
}
