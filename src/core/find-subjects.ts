/**
 * Finding subjects in what was recorded before it was declared what concerns whom. The log is walked once, by the rules that hold
 * now, and the streams of each subject are linked as appends would have done it; how far the walk is, is kept. Nothing is
 * encrypted that was not: what is plain in streams of others is told when the subject is to be forgotten.
 */
import { type Archived, notAtHand, readThrough } from './archived.ts'
import { checkObject } from './argument.ts'
import { type Background, checkWritable } from './background.ts'
import { commitDocuments, offerDocuments } from './commit-documents.ts'
import { parseContent } from './content.ts'
import { asStored } from './decrypting.ts'
import { decryptContent, encryptedIn, hiddenPlaces, isEncrypted, shownIn } from './encrypted.ts'
import { putSearched, readSearched, type Searched } from './encryption-documents.ts'
import { isStoreError } from './errors.ts'
import { limits } from './limits.ts'
import type { LogRecord, TrimmedEvent } from './storage.ts'
import { type Personal, type PersonalRule, personalIn } from './subject.ts'
import {
  cipherFor,
  putSubject,
  putSubjectStream,
  type SubjectKeys,
  type SubjectStream,
  subjectBodyOf,
  subjectId,
  subjectKey,
  subjectLinkKey,
  subjectStreamKey,
} from './subject-keys.ts'

export interface FindSubjectsOptions {
  /** Ends it; called again, it goes on. */
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: { readonly position: number; readonly head: number }) => void
}

export interface FoundSubjects {
  /** Everything up to here has been looked through, by now or before. */
  readonly position: number
  /** Streams that were not known before, by what they have of a subject: they are its own, or have something encrypted, or plain. */
  readonly own: number
  readonly encrypted: number
  readonly plain: number
  /** Of subjects that were forgotten already; forget those again. The first of them. */
  readonly forgotten: readonly string[]
  /** Events that have personal data and do not say whose. */
  readonly unclear: number
}

export interface Finding {
  /** Events and documents as they are stored. */
  readonly background: Background
  readonly archived: Archived | undefined
  readonly keys: Pick<SubjectKeys, 'read'>
  readonly rules: () => Promise<((stream: string, type: string) => readonly PersonalRule[]) | undefined>
  /** Says which rules hold, as texts that change with them. */
  readonly rulesNow: () => Promise<Pick<Searched, 'declared' | 'all'>>
}

type Link = SubjectStream & { readonly holds: 'own' | 'encrypted' | 'plain' }

/** Throws `MasterKeyMissing`, `EventArchived` or `ObjectDamaged` where an event cannot be read: nothing is passed over. */
export async function findSubjects(finding: Finding, options: FindSubjectsOptions = {}): Promise<FoundSubjects> {
  const { background, archived } = finding
  const { storage } = background
  checkWritable(background)
  checkObject(options, 'options')
  const { signal, onProgress } = options
  const rulesOf = await finding.rules()
  const now = await finding.rulesNow()
  const before = await readSearched(storage)
  const found = { own: 0, encrypted: 0, plain: 0, unclear: 0 }
  const forgotten = new Set<string>()
  const { head } = await storage.readLog({ after: 0, direction: 'backwards', limit: 1 })
  let after = before?.all === now.all ? before.position : 0
  while (after < head) {
    signal?.throwIfAborted()
    const range = { after, until: head, direction: 'forwards', limit: limits.pageRecords } as const
    const { records, scannedTo } = await storage.readLog(range)
    const bare = archived && { ...archived, decrypt: asStored }
    const stored = await readThrough(bare, records, (record) =>
      record.state === 'trimmed' ? notAtHand(record) : record,
    )
    const links = new Map<string, Link>()
    for (const record of stored) {
      for (const link of rulesOf ? await linksOf(finding, record, rulesOf, () => found.unclear++) : []) {
        links.set(subjectStreamKey(link), link)
      }
    }
    for (const link of await write(finding, [...links.values()], forgotten)) found[link.holds]++
    after = Math.max(scannedTo, after + 1)
    await commitDocuments(background, putSearched({ ...now, position: Math.min(after, head), until: head }))
    onProgress?.({ position: Math.min(after, head), head })
  }
  await commitDocuments(background, putSearched({ ...now, position: after, until: after }))
  return { position: after, ...found, forgotten: [...forgotten].slice(0, limits.exposedStreams) }
}

async function linksOf(
  { keys }: Finding,
  record: Exclude<LogRecord, TrimmedEvent>,
  rulesOf: (stream: string, type: string) => readonly PersonalRule[],
  unclear: () => void,
): Promise<readonly Link[]> {
  if (record.state === 'tombstone' || record.state === 'forgotten') return []
  const { stream, content } = record
  const { id, type } = parseContent(shownIn(content))
  const rules = type.startsWith('$') ? [] : rulesOf(stream, type)
  if (rules.length === 0) return []
  const opened = { content, hidden: [] as Awaited<ReturnType<typeof hiddenPlaces>> }
  if (isEncrypted(content)) {
    const encrypted = encryptedIn(content)
    const known = await keys.read(new Set(encrypted.parts.map(([key]) => key)))
    const cipherOf = (key: string) => {
      const one = known.get(key)
      return one && cipherFor(one)
    }
    opened.content = (await decryptContent(encrypted, stream, cipherOf)).content
    opened.hidden = await hiddenPlaces(encrypted, stream, cipherOf)
  }
  let all: readonly Personal[] = []
  try {
    all = personalIn(rules, stream, { id, type, content: opened.content })
  } catch (error) {
    if (!isStoreError(error, 'invalid-argument')) throw error
    unclear()
  }
  return all.flatMap(({ subject, own, places }): readonly Link[] => {
    // A subject's name finds its own stream.
    if (subject === stream || (!own && places.length === 0)) return []
    const key = subjectId(subject)
    const isHidden = ({ at, end }: (typeof places)[number]) =>
      opened.hidden.some((one) => one.key === key && one.at <= at && end <= one.end)
    return [{ subject, stream, holds: own ? 'own' : places.every(isHidden) ? 'encrypted' : 'plain' }]
  })
}

/** Gives those that are new. What was forgotten of a subject stays so. */
async function write(
  { background }: Finding,
  links: readonly Link[],
  forgotten: Set<string>,
): Promise<readonly Link[]> {
  const { storage } = background
  const added: Link[] = []
  for (let from = 0; from < links.length; from += limits.rotateKeys / 2) {
    const some = links.slice(from, from + limits.rotateKeys / 2)
    for (let done = false; !done; ) {
      const after = { own: 'closed', encrypted: 'masked', plain: 'plain' } as const
      const known = await storage.getDocuments(
        some.flatMap((one) => [subjectLinkKey(one), subjectLinkKey({ ...one, holds: after[one.holds] })]),
      )
      const news = some.filter((_, at) => known[2 * at] === undefined && known[2 * at + 1] === undefined)
      if (news.length === 0) break
      const names = [...new Set(news.map(({ subject }) => subject))]
      const subjects = await storage.getDocuments(names.map((name) => subjectKey(subjectId(name))))
      const fresh = names.filter((_, at) => subjects[at] === undefined)
      const documents = [
        ...news.flatMap((link) => putSubjectStream(link)),
        ...fresh.flatMap((subject) => putSubject({ subject, master: '' }, { is: 'absent' })),
      ]
      done = await offerDocuments(background, documents)
      if (!done) continue
      added.push(...news)
      // Read once the links are there, so that whoever is forgetting one either finds them or is found here.
      for (const document of await storage.getDocuments(names.map((name) => subjectKey(subjectId(name))))) {
        const body = document && subjectBodyOf(document)
        if (body?.forgotten) forgotten.add(body.subject)
      }
    }
  }
  return added
}
