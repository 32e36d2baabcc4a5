/**
 * What forgetting a subject does once its key is gone: the streams that are its own are closed and erased in the storage, one after
 * the other; what was made of other ones is made anew; then archive, backups and bytes, once for all of them. Where it is
 * stands in the links, each of which moves on in one commit, so that every step can be repeated.
 */
import { errorOf } from './append.ts'
import { commitDocuments } from './commit-documents.ts'
import { allIndexed, deleteDocument } from './document.ts'
import { SubjectExposed } from './encryption-errors.ts'
import {
  type CopiesProgress,
  type CopiesStep,
  type Erased,
  type Erasing,
  eraseCopies,
  eraseStream,
  nothingErased,
  type StreamProgress,
  withKinds,
} from './erasure.ts'
import { isStoreError } from './errors.ts'
import { closeStream, type ForgetOptions } from './forget.ts'
import { jobBodyOf, jobStates, jobs } from './job.ts'
import { limits } from './limits.ts'
import { fenceViews, type Renewed, type Renewing, renewed, versionsElsewhere } from './renew.ts'
import type { DocumentWrite } from './storage.ts'
import {
  putSubjectStream,
  type SubjectStream,
  subjectId,
  subjectLinkKey,
  subjectLinks,
  subjectStreamKey,
  subjectStreams,
} from './subject-keys.ts'

export interface SubjectErasing {
  readonly forgetting: Erasing
  readonly renewing: Renewing
  /** What was recorded before its subjects were declared has been looked through. */
  readonly isSearched: () => Promise<boolean>
}

/** What became of its streams, in numbers. */
export interface SubjectTally {
  readonly streams: number
  readonly events: number
  readonly documents: number
  readonly kinds: Readonly<Record<string, number>>
  readonly masked: number
  readonly rebuild: readonly string[]
  readonly tables: readonly string[]
}

interface OwnLink extends SubjectStream {
  readonly erased?: StreamProgress
}

interface ClosedLink extends SubjectStream {
  readonly events: number
  readonly erased: StreamProgress
}

interface MaskedLink extends SubjectStream, Renewed {
  /** Jobs that named it are gone; what is added later holds nothing of what is masked. */
  readonly jobsDropped?: true
}

export interface SubjectStep extends Omit<CopiesStep, 'trail'> {
  readonly options: ForgetOptions
}

export interface ErasedSubject extends Erased {
  readonly tally: SubjectTally
  /** Nothing is left but what others define. */
  readonly whole: boolean
}

export async function eraseSubject(
  of: SubjectErasing,
  subject: string,
  { options, progress, ...step }: SubjectStep,
): Promise<ErasedSubject> {
  const { forgetting } = of
  const { signal } = step
  const failures: unknown[] = []
  let copies = progress
  const attempt = async (run: () => Promise<void>) => {
    signal?.throwIfAborted()
    if (copies === progress) {
      // What is done of copies was done without this stream.
      copies = fromTheBeginning(progress)
      await step.save(copies)
    }
    await run().catch((error) => {
      if (signal?.aborted || isStoreError(error, 'storage-failed')) throw error
      failures.push(error)
    })
  }
  await linkItself(forgetting, subject)
  for await (const link of subjectLinks<OwnLink>(forgetting.storage, subject, 'own')) {
    await attempt(() => closeOwn(forgetting, link, { options, signal }))
  }
  let fenced = false
  const renew = async (link: SubjectStream) => {
    if (!fenced) await fenceViews(of.renewing)
    fenced = true
    await renewOther(of, link)
  }
  for await (const link of subjectLinks(forgetting.storage, subject, 'encrypted')) await attempt(() => renew(link))
  for await (const link of subjectLinks<MaskedLink>(forgetting.storage, subject, 'masked')) {
    // What could not be reached before.
    if (await canRenew(of, link)) await attempt(() => renew(link))
  }
  await dropJobs(forgetting, subject)
  const { streams, masked, missing, tally } = await count(forgetting, subject)
  const trail = { subject: subjectId(subject) }
  const erased = await eraseCopies(forgetting, streams, { ...step, masked, progress: copies, trail })
  const exposed = await exposedStreams(forgetting, subject)
  // Whatever was recorded while its key was destroyed, or was found since.
  if (exposed.length > 0) failures.push(new SubjectExposed(subject, exposed))
  const whole = erased.scrubbed && !erased.pending && failures.length === 0
  const pending = !whole || missing.length > 0
  return { ...(failures.length > 0 && { failure: failures[0] }), ...erased, tally, pending, whole }
}

function fromTheBeginning({ segments, backups, kept }: CopiesProgress): CopiesProgress {
  const again = <Progress>(all: Readonly<Record<string, Progress>>) =>
    Object.fromEntries(Object.entries(all).map(([name, progress]) => [name, { ...progress, after: 0 }]))
  return { segments: again(segments), backups: again(backups), kept }
}

async function renewOther(
  { forgetting, renewing }: SubjectErasing,
  link: SubjectStream & Partial<Renewed>,
): Promise<void> {
  const { emptied = [], kinds = {} } = link
  const anew = await renewed(renewing, link.stream)
  const told = { emptied: unique([...emptied, ...anew.emptied]), kinds: summed([kinds, anew.kinds]) }
  await move<MaskedLink>(forgetting, link, { ...link, ...anew, ...told, holds: 'masked' })
}

/** Something of it that was not defined where it was tried is defined here, or is not there any more. */
async function canRenew({ renewing }: SubjectErasing, { missing }: MaskedLink): Promise<boolean> {
  if (missing.length === 0) return false
  const elsewhere = await versionsElsewhere(renewing)
  return missing.some((version) => !elsewhere.has(version))
}

/** Whether there is something to be done here, beyond what was done before. */
export async function hasWork(of: SubjectErasing, subject: string): Promise<boolean> {
  for (const holds of ['own', 'encrypted'] as const) {
    for await (const _ of subjectLinks(of.forgetting.storage, subject, holds)) return true
  }
  for await (const link of subjectLinks<MaskedLink>(of.forgetting.storage, subject, 'masked'))
    if (await canRenew(of, link)) return true
  return (await exposedStreams(of.forgetting, subject)).length > 0
}

/** Whatever their state: what names a stream in which the subject is masked by now may hold something of it. */
async function dropJobs(forgetting: Erasing, subject: string): Promise<void> {
  const masked = new Map<string, MaskedLink>()
  for await (const link of subjectLinks<MaskedLink>(forgetting.storage, subject, 'masked')) {
    if (!link.jobsDropped) masked.set(link.stream, link)
  }
  if (masked.size === 0) return
  for (const state of jobStates) {
    const query = { index: 'state', equals: [state], limit: limits.pageRecords }
    for await (const document of allIndexed(forgetting.storage, jobs, query)) {
      const link = jobBodyOf(document)
        .streams?.map((stream) => masked.get(stream))
        .find((one) => one !== undefined)
      if (link === undefined) continue
      const told: MaskedLink = { ...link, kinds: summed([link.kinds, { jobs: 1 }]) }
      const gone = deleteDocument(jobs, { key: document.key, if: { is: 'anything' } })
      await commitDocuments(forgetting, [...gone, ...putSubjectStream<MaskedLink>(told)])
      masked.set(link.stream, told)
    }
  }
  for (const link of masked.values())
    await commitDocuments(forgetting, putSubjectStream<MaskedLink>({ ...link, jobsDropped: true }))
}

/** A subject's name finds its own stream, which has no link until here. */
async function linkItself(forgetting: Erasing, subject: string): Promise<void> {
  const { storage } = forgetting
  const own: SubjectStream = { subject, stream: subject, holds: 'own' }
  const known = await storage.getDocuments([own, { ...own, holds: 'closed' as const }].map(subjectLinkKey))
  if (known.some((document) => document !== undefined)) return
  const { head } = await storage.readStream(subject, { after: 0, direction: 'backwards', limit: 1 })
  if (head) await commitDocuments(forgetting, putSubjectStream(own))
}

async function closeOwn(
  forgetting: Erasing,
  link: OwnLink,
  { options, signal }: { readonly options: ForgetOptions; readonly signal: AbortSignal | undefined },
): Promise<void> {
  const { stream, erased = nothingErased } = link
  const { with: closing, outcome } = await closeStream(forgetting, stream, options, (deleted) => {
    const documents = erased.documents + deleted.length
    const next = { ...erased, documents, kinds: withKinds(erased.kinds, deleted) }
    return { erased: next, documents: putSubjectStream<OwnLink>({ ...link, erased: next }) }
  })
  if (outcome.outcome !== 'committed') {
    const error = errorOf(outcome)
    // There is none of this name, or it was forgotten for itself.
    if (outcome.outcome !== 'conflict' && !isStoreError(error, 'stream-forgotten')) throw error
    return commitDocuments(forgetting, unlink(link))
  }
  const progress = await eraseStream(forgetting, stream, {
    progress: outcome.repeated ? erased : closing.erased,
    save: (erased) => commitDocuments(forgetting, putSubjectStream<OwnLink>({ ...link, erased })),
    signal,
  })
  const { head } = await forgetting.storage.readStream(stream, { after: 0, direction: 'backwards', limit: 1 })
  const events = (head?.revision ?? 1) - 1
  await move<ClosedLink>(forgetting, link, { ...link, holds: 'closed', events, erased: progress })
}

async function count(forgetting: Erasing, subject: string) {
  const closed: ClosedLink[] = []
  for await (const link of subjectLinks<ClosedLink>(forgetting.storage, subject, 'closed')) closed.push(link)
  const all: MaskedLink[] = []
  for await (const link of subjectLinks<MaskedLink>(forgetting.storage, subject, 'masked')) all.push(link)
  const kinds = summed([...closed.map(({ erased }) => erased.kinds), ...all.map(({ kinds }) => kinds)])
  const missing = unique(all.flatMap(({ missing }) => missing))
  const tally: SubjectTally = {
    streams: closed.length,
    events: closed.reduce((sum, { events }) => sum + events, 0),
    documents: Object.values(kinds).reduce((sum, count) => sum + count, 0),
    kinds,
    masked: all.length,
    rebuild: unique([...missing, ...all.flatMap(({ emptied }) => emptied)]),
    tables: unique(all.flatMap(({ tables }) => tables)),
  }
  return { streams: closed.map(({ stream }) => stream), masked: all.map(({ stream }) => stream), missing, tally }
}

function summed(all: readonly Readonly<Record<string, number>>[]): Readonly<Record<string, number>> {
  const sums: Record<string, number> = {}
  for (const one of all) for (const [kind, count] of Object.entries(one)) sums[kind] = (sums[kind] ?? 0) + count
  return sums
}

function unique(names: readonly string[]): readonly string[] {
  return [...new Set(names)].sort()
}

/** Other streams that hold its data as plain text, the first of them. */
export async function exposedStreams(forgetting: Erasing, subject: string): Promise<readonly string[]> {
  const exposed: string[] = []
  for await (const { stream } of subjectLinks(forgetting.storage, subject, 'plain')) {
    const { head } = await forgetting.storage.readStream(stream, { after: 0, direction: 'backwards', limit: 1 })
    if (head && !head.closed) exposed.push(stream)
    if (exposed.length >= limits.exposedStreams) break
  }
  return exposed
}

function move<To extends SubjectStream>(forgetting: Erasing, from: SubjectStream, to: To): Promise<void> {
  return commitDocuments(forgetting, [...(from.holds === to.holds ? [] : unlink(from)), ...putSubjectStream(to)])
}

function unlink(link: SubjectStream): readonly DocumentWrite[] {
  return deleteDocument(subjectStreams, { key: subjectStreamKey(link), if: { is: 'anything' } })
}
