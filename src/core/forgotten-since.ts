/**
 * What was forgotten since a moment, for whoever copies what was made of the log meanwhile, or brings such a copy back: streams
 * that were closed, and those in which a subject is masked.
 */
import { parseContent } from './content.ts'
import { allIndexed } from './document.ts'
import { forgetKind, forgetSubjectKind, jobStates, jobs } from './job.ts'
import { limits } from './limits.ts'
import type { Storage } from './storage.ts'
import { subjectBodyOf, subjectKey, subjectLinks } from './subject-keys.ts'
import { type SubjectForgotten, subjectForgottenType } from './trail.ts'

export interface Forgotten {
  readonly closed: ReadonlySet<string>
  readonly masked: ReadonlySet<string>
}

/** A moment of the log. */
export interface Since {
  readonly position: number
  /** Being forgotten at that moment: what was made of them may still have been there. */
  readonly streams: readonly string[]
  readonly subjects: readonly string[]
}

type Reads = Pick<Storage, 'readLog' | 'getDocuments' | 'queryDocuments'>

export async function forgettingNow(storage: Reads): Promise<Since> {
  const { head } = await storage.readLog({ after: 0, direction: 'backwards', limit: 1 })
  const left = async (kind: string) => {
    const keys: string[] = []
    for (const state of jobStates) {
      if (state === 'done') continue
      const query = { index: 'kind', equals: [kind, state], limit: limits.pageRecords }
      for await (const { key } of allIndexed(storage, jobs, query)) keys.push(key.slice(kind.length + 1))
    }
    return keys
  }
  return { position: head, streams: await left(forgetKind), subjects: await left(forgetSubjectKind) }
}

export async function forgottenSince(storage: Reads, { position, streams, subjects }: Since): Promise<Forgotten> {
  const closed = new Set(streams)
  const masked = new Set<string>()
  const ids: string[] = []
  for (let after = position; ; ) {
    // A tombstone passes every filter.
    const range = { after, types: [subjectForgottenType], direction: 'forwards', limit: limits.pageRecords } as const
    const page = await storage.readLog(range)
    for (const record of page.records) {
      if (record.state === 'tombstone') closed.add(record.stream)
      else if (record.state === 'stored') ids.push((parseContent(record.content).data as SubjectForgotten).subject)
    }
    if (!page.more) break
    after = page.scannedTo
  }
  const names = new Set(subjects)
  for (const id of ids) {
    const [document] = await storage.getDocuments([subjectKey(id)])
    if (document) names.add(subjectBodyOf(document).subject)
  }
  for (const subject of names) {
    closed.add(subject)
    for (const holds of ['own', 'closed', 'encrypted', 'masked'] as const) {
      const into = holds === 'own' || holds === 'closed' ? closed : masked
      for await (const { stream } of subjectLinks(storage, subject, holds)) into.add(stream)
    }
  }
  return { closed, masked }
}
