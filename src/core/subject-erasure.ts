/**
 * What forgetting a subject does once its key is gone: the streams that are its own are closed and erased in the storage, one after
 * the other; what was made of other ones is made anew; then archive, backups and bytes, once for all of them. Where it is
 * stands in the links, each of which moves on in one commit, so that every step can be repeated.
 */
import { errorOf } from './append.ts'
import { allIndexed, deleteDocument } from './document.ts'
import { SubjectExposed } from './encryption-errors.ts'
import {
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
import { limits } from './limits.ts'
import type { DocumentWrite } from './storage.ts'
import { putSubjectStream, type SubjectStream, subjectId, subjectStreamKey, subjectStreams } from './subject-keys.ts'

export interface SubjectErasing {
  readonly forgetting: Erasing
  /** Makes anew, or drops, what was made of a stream that reads otherwise by now; gives what it cannot reach. */
  readonly renew: (stream: string) => Promise<readonly string[]>
}

/** What became of its streams, in numbers. */
export interface SubjectTally {
  readonly streams: number
  readonly events: number
  readonly documents: number
  readonly kinds: Readonly<Record<string, number>>
  readonly masked: number
  readonly rebuild: readonly string[]
}

interface OwnLink extends SubjectStream {
  readonly erased?: StreamProgress
}

interface ClosedLink extends SubjectStream {
  readonly events: number
  readonly erased: StreamProgress
}

interface MaskedLink extends SubjectStream {
  readonly rebuild: readonly string[]
}

export interface SubjectStep extends Omit<CopiesStep, 'trail'> {
  readonly options: ForgetOptions
}

export async function eraseSubject(
  of: SubjectErasing,
  subject: string,
  { options, ...step }: SubjectStep,
): Promise<Erased & { readonly tally: SubjectTally }> {
  const { forgetting } = of
  const { signal } = step
  await linkItself(forgetting, subject)
  for await (const link of linksOf<OwnLink>(forgetting, subject, 'own')) {
    signal?.throwIfAborted()
    await closeOwn(forgetting, link, { options, signal })
  }
  for await (const link of linksOf(forgetting, subject, 'encrypted')) {
    signal?.throwIfAborted()
    const rebuild = await of.renew(link.stream)
    await move<MaskedLink>(forgetting, link, { ...link, holds: 'masked', rebuild })
  }
  const { streams, tally } = await count(forgetting, subject)
  const trail = { subject: subjectId(subject) }
  const erased = await eraseCopies(forgetting, streams, { ...step, trail })
  // One that was recorded while its key was destroyed.
  const exposed = await exposedStreams(forgetting, subject)
  if (exposed.length === 0) return { ...erased, tally }
  return { failure: new SubjectExposed(subject, exposed), ...erased, tally, pending: true }
}

/** A subject's name finds its own stream, which has no link until here. */
async function linkItself(forgetting: Erasing, subject: string): Promise<void> {
  const { storage } = forgetting
  const own: SubjectStream = { subject, stream: subject, holds: 'own' }
  const known = await storage.getDocuments([keyOf(own), keyOf({ ...own, holds: 'closed' })])
  if (known.some((document) => document !== undefined)) return
  const { head } = await storage.readStream(subject, { after: 0, direction: 'backwards', limit: 1 })
  if (head) await put(forgetting, putSubjectStream(own))
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
    return put(forgetting, unlink(link))
  }
  const progress = await eraseStream(forgetting, stream, {
    progress: outcome.repeated ? erased : closing.erased,
    save: (erased) => put(forgetting, putSubjectStream<OwnLink>({ ...link, erased })),
    signal,
  })
  const { head } = await forgetting.storage.readStream(stream, { after: 0, direction: 'backwards', limit: 1 })
  const events = (head?.revision ?? 1) - 1
  await move<ClosedLink>(forgetting, link, { ...link, holds: 'closed', events, erased: progress })
}

async function count(
  forgetting: Erasing,
  subject: string,
): Promise<{ readonly streams: readonly string[]; readonly tally: SubjectTally }> {
  const streams: string[] = []
  let [events, documents, masked] = [0, 0, 0]
  const kinds: Record<string, number> = {}
  for await (const link of linksOf<ClosedLink>(forgetting, subject, 'closed')) {
    streams.push(link.stream)
    events += link.events
    documents += link.erased.documents
    for (const [kind, count] of Object.entries(link.erased.kinds)) kinds[kind] = (kinds[kind] ?? 0) + count
  }
  const rebuild = new Set<string>()
  for await (const link of linksOf<MaskedLink>(forgetting, subject, 'masked')) {
    masked++
    for (const version of link.rebuild) rebuild.add(version)
  }
  return { streams, tally: { streams: streams.length, events, documents, kinds, masked, rebuild: [...rebuild].sort() } }
}

/** Other streams that hold its data as plain text, the first of them. */
export async function exposedStreams(forgetting: Erasing, subject: string): Promise<readonly string[]> {
  const exposed: string[] = []
  for await (const { stream } of linksOf(forgetting, subject, 'plain')) {
    const { head } = await forgetting.storage.readStream(stream, { after: 0, direction: 'backwards', limit: 1 })
    if (head && !head.closed) exposed.push(stream)
    if (exposed.length >= limits.exposedStreams) break
  }
  return exposed
}

async function* linksOf<Link extends SubjectStream>(
  { storage }: Pick<Erasing, 'storage'>,
  subject: string,
  holds: Link['holds'],
): AsyncGenerator<Link> {
  const query = { index: 'subject', equals: [subject, holds], limit: limits.pageRecords }
  for await (const { body } of allIndexed(storage, subjectStreams, query)) yield JSON.parse(body) as Link
}

function move<To extends SubjectStream>(forgetting: Erasing, from: SubjectStream, to: To): Promise<void> {
  return put(forgetting, [...unlink(from), ...putSubjectStream(to)])
}

function unlink(link: SubjectStream): readonly DocumentWrite[] {
  return deleteDocument(subjectStreams, { key: subjectStreamKey(link), if: { is: 'anything' } })
}

async function put({ queue, making }: Erasing, documents: readonly DocumentWrite[]): Promise<void> {
  const outcome = await queue.add({ id: making.newId(), appends: [], documents })
  if (outcome.outcome !== 'committed') throw errorOf(outcome)
}

function keyOf(link: SubjectStream) {
  return { collection: subjectStreams.collection, key: subjectStreamKey(link) }
}
