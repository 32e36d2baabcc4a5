/**
 * Rotating the master key: the key of every subject is wrapped anew, in steps that can be repeated, and nothing else is
 * rewritten. Processes go on meanwhile, as long as each of them knows both keys.
 */
import { errorOf } from './append.ts'
import { type Background, checkWritable } from './background.ts'
import { base64Of } from './base64.ts'
import { indexQuery } from './document.ts'
import { mastersIn, putMasters, readMasters } from './encryption-documents.ts'
import { Unsupported } from './errors.ts'
import type { FindSubjectsOptions, FoundSubjects } from './find-subjects.ts'
import { limits } from './limits.ts'
import type { MasterKey } from './master-key.ts'
import type { Document } from './storage.ts'
import { putSubject, subjectBodyOf, subjectDocuments, subjectKey, subjectParts, unwrap } from './subject-keys.ts'

export interface Encryption {
  /** Counts all keys: it takes as long as there are subjects. */
  status(): Promise<EncryptionStatus>
  /**
   * Wraps the keys of all subjects by the master key that the store was opened with. Ended or broken off, it goes on when it is
   * called again. Throws `Unsupported` without a master key, `MasterKeyWrong` where an older one is not known.
   */
  rotate(options?: RotateOptions): Promise<Rotated>
  /**
   * Looks through what was recorded before `subjects` was declared as it is, or before schemas marked fields, for streams of
   * subjects, so that forgetting finds them. Ended or broken off, it goes on when it is called again.
   */
  findSubjects(options?: FindSubjectsOptions): Promise<FoundSubjects>
}

export interface EncryptionStatus {
  /** Of the master key that the store was opened with. */
  readonly masterKey?: string
  /** Subjects whose key each master key has wrapped. */
  readonly keys: readonly { readonly masterKey: string; readonly subjects: number }[]
  /** Subjects without a key, which were recorded while nothing was encrypted. */
  readonly plain: number
  readonly forgotten: number
}

export interface RotateOptions {
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: { readonly rotated: number }) => void
}

export interface Rotated {
  readonly masterKey: string
  /** Keys that were wrapped anew. */
  readonly rotated: number
}

export function createRotation(
  background: Background,
  master: MasterKey | undefined,
): Omit<Encryption, 'findSubjects'> {
  const { storage, queue, making } = background

  async function* pages(part: string, of?: string): AsyncGenerator<readonly Document[]> {
    let cursor: string | undefined
    do {
      const range = of === undefined ? { limit: limits.pageRecords } : { from: of, to: of, limit: limits.rotateKeys }
      const query = { index: 'part', equals: [part], ...range, ...(cursor !== undefined && { cursor }) }
      const page = await storage.queryDocuments(indexQuery(subjectDocuments, query))
      yield page.documents
      cursor = page.next
    } while (cursor !== undefined)
  }

  /** Those of the documents that are still as they were found, each by itself: others may be at it, or forget a subject. */
  async function wrapAnew(documents: readonly Document[], key: MasterKey): Promise<number> {
    const results = await Promise.all(
      documents.map(async (document) => {
        let now: Document | undefined = document
        while (now) {
          const body = subjectBodyOf(now)
          if (body.key === undefined || body.master === key.id) return 0
          const wrapped = base64Of(await key.wrap(await unwrap(key, body.key, body.master)))
          const next = { ...body, master: key.id, key: wrapped }
          const put = putSubject(next, { is: 'version', version: now.version })
          const outcome = await queue.add({ id: making.newId(), appends: [], documents: put })
          if (outcome.outcome === 'committed') return 1
          if (outcome.outcome !== 'document-conflict') throw errorOf(outcome)
          ;[now] = await storage.getDocuments([subjectKey(document.key)])
        }
        return 0
      }),
    )
    return results.reduce<number>((sum, one) => sum + one, 0)
  }

  return {
    async status() {
      const [wrapped, counts] = [new Map<string, number>(), { plain: 0, forgotten: 0 }]
      for (const part of subjectParts) {
        for await (const documents of pages(part)) {
          for (const { key, master, forgotten } of documents.map(subjectBodyOf)) {
            if (forgotten) counts.forgotten++
            else if (key === undefined) counts.plain++
            else wrapped.set(master, (wrapped.get(master) ?? 0) + 1)
          }
        }
      }
      const keys = [...wrapped].map(([masterKey, subjects]) => ({ masterKey, subjects }))
      return { ...(master && { masterKey: master.id }), keys, ...counts }
    },
    async rotate({ signal, onProgress } = {}) {
      checkWritable(background)
      if (master === undefined) {
        throw new Unsupported('rotate', 'The store was opened without a master key (encryption.masterKey)')
      }
      let rotated = 0
      const others = mastersIn(await readMasters(storage)).masters.filter(({ id }) => id !== master.id)
      for (const { id } of others) {
        for (const part of subjectParts) {
          for await (const documents of pages(part, id)) {
            signal?.throwIfAborted()
            rotated += await wrapAnew(documents, master)
            onProgress?.({ rotated })
          }
        }
      }
      await retire(others.map(({ id }) => id))
      return { masterKey: master.id, rotated }
    },
  }

  /** The store can be opened without them from now on. */
  async function retire(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return
    const before = await readMasters(storage)
    const masters = mastersIn(before).masters.filter(({ id }) => !ids.includes(id))
    const documents = putMasters({ masters }, before)
    const outcome = await queue.add({ id: making.newId(), appends: [], documents })
    // Another process has been opened, or has rotated, at the same moment: they stay in the list until the next time.
    if (outcome.outcome !== 'committed' && outcome.outcome !== 'document-conflict') throw errorOf(outcome)
  }
}
