/**
 * Auditing pieces of the log on threads of their own, each with its own connection that only reads: hashing is most of the
 * work of verifying, and one core does a part of it only.
 */
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { reviveError } from '../../core/error-data.ts'
import type { Auditors, Piece, PieceAudit } from '../../core/finding.ts'

export type FromAuditor = { readonly audit: PieceAudit } | { readonly error: unknown }

interface Thread {
  readonly worker: Worker
  /** What it has been asked, in the order in which it answers. */
  readonly asked: PromiseWithResolvers<PieceAudit>[]
}

/** As many threads as there are cores, and at most so many; of a file that is there. */
export function openAuditors(file: string, most: number): Auditors {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const threads = Array.from({ length: Math.min(most, availableParallelism()) }, (): Thread => {
    const worker = new Worker(new URL(`./auditor.${extension}`, import.meta.url), { workerData: { file } })
    const asked: PromiseWithResolvers<PieceAudit>[] = []
    worker.on('message', (message: FromAuditor) => {
      const caller = asked.shift()
      if ('error' in message) caller?.reject(reviveError(message.error))
      else caller?.resolve(message.audit)
    })
    const end = (error: Error) => {
      for (const { reject } of asked.splice(0)) reject(error)
    }
    worker.on('error', end)
    worker.on('exit', () => end(new Error('The thread that audits has ended')))
    return { worker, asked }
  })
  return {
    audit(piece: Piece) {
      const [idlest] = threads.toSorted((left, right) => left.asked.length - right.asked.length)
      const answer = Promise.withResolvers<PieceAudit>()
      idlest?.asked.push(answer)
      idlest?.worker.postMessage(piece)
      return answer.promise
    },
    async close() {
      await Promise.all(threads.map(({ worker }) => worker.terminate()))
    },
  }
}
