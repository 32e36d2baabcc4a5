/** Sealing as a job that is never done: whoever works seals, and puts it off until the next time. */
import { errorOf } from './append.ts'
import type { Background } from './background.ts'
import { guardOf } from './document.ts'
import { type JobBody, jobBodyOf, jobId, jobKey, putJob } from './job.ts'
import { limits } from './limits.ts'
import { type Sealing, seal } from './seal.ts'
import type { JobHandler } from './worker.ts'

/** A worker without a signer leaves it to others. */
export const sealKind = '$seal'

const sealKey = 'log'

/** Adds the job where there is none; one that was parked is tried again. */
export async function addSealJob({ storage, queue, making, clock }: Background): Promise<void> {
  const now = clock()
  const body: JobBody = {
    ...{ kind: sealKind, key: sealKey, state: 'waiting', input: null, at: now, addedAt: now },
    ...{ tries: 0, mostTries: limits.workTries, backoffMs: limits.jobBackoffMs },
  }
  const [found] = await storage.getDocuments([jobKey(jobId(body))])
  if (found && jobBodyOf(found).state !== 'parked') return
  const guard = guardOf(found)
  const outcome = await queue.add({ id: making.newId(), appends: [], documents: putJob(body, guard) })
  // Another process has opened the store in the same moment.
  if (outcome.outcome !== 'committed' && outcome.outcome !== 'document-conflict') throw errorOf(outcome)
}

export function sealHandler(background: Background, sealing: Sealing, everyMs: number): JobHandler {
  return async ({ signal }) => {
    const { size, root } = await seal(background, sealing, signal)
    return { result: { size, root }, againInMs: everyMs }
  }
}
