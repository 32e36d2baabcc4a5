/**
 * The documents of subjects, and their keys. A subject has one document: its key, wrapped by the master key, or that it was
 * forgotten, for good. Every commit that concerns a subject checks that its document is still the one that the writer knows, so
 * that nothing is ever encrypted by a key that another process has destroyed. Keys that were used lately are remembered; who
 * reads asks each time whether somebody was forgotten since, by marks, so that nothing is read by a destroyed key either.
 */
import { base64Of, bytesOfBase64 } from './base64.ts'
import { type Cipher, cipherOf, keyBytes } from './cipher.ts'
import { allIndexed, putDocument } from './document.ts'
import { MasterKeyMissing, MasterKeyWrong } from './encryption-errors.ts'
import { isStoreError, StoreBusy } from './errors.ts'
import { derivedId, type Random } from './id.ts'
import { limits } from './limits.ts'
import type { MasterKey } from './master-key.ts'
import type { CollectionSpec, Document, DocumentKey, DocumentWrite, Guard, Storage } from './storage.ts'

/** By the UUID of their name, so that any name fits into a key; lists are cut into parts, by its first digit. */
export const subjectDocuments: CollectionSpec = {
  collection: '$subjects',
  indexes: [{ name: 'part', equals: ['part'], order: 'master' }],
}

export interface SubjectBody {
  readonly subject: string
  /** Id of the master key that has wrapped `key`; empty where there is no key. */
  readonly master: string
  /** Base64. */
  readonly key?: string | undefined
  /** Nothing that concerns it is recorded any more. */
  readonly forgotten?: { readonly reasonCode: string; readonly at: string }
}

export const subjectParts: readonly string[] = [...'0123456789abcdef']

export function subjectId(subject: string): string {
  return derivedId(['subject', subject])
}

export function subjectKey(id: string): DocumentKey {
  return { collection: subjectDocuments.collection, key: id }
}

export function subjectBodyOf({ body }: Document): SubjectBody {
  return JSON.parse(body) as SubjectBody
}

export function putSubject(subject: SubjectBody, guard: Guard): readonly DocumentWrite[] {
  const body = { ...subject, part: partOf(subject.subject) }
  return putDocument(subjectDocuments, { key: subjectId(subject.subject), body, if: guard })
}

/** Written with whatever destroys a key: one for each part of the subjects, so that none of them is asked for by everybody. */
export function putForgottenMark(id: string): DocumentWrite {
  return { kind: 'put', key: markKey(id.slice(0, 1)), body: '{}', index: [], if: { is: 'anything' } }
}

/** Changes whenever somebody is forgotten. Of a store without any subject it is always the same. */
export async function forgottenMarks(storage: Pick<Storage, 'getDocuments'>): Promise<string> {
  const marks = await storage.getDocuments(subjectParts.map(markKey))
  return marks.map((mark) => mark?.version ?? '').join()
}

function markKey(part: string): DocumentKey {
  return { collection: subjectDocuments.collection, key: `forgotten/${part}` }
}

/**
 * Which streams have something of a subject: `own` goes with it; of others something is `encrypted`, or plain. Of one that is
 * forgotten: `closed` was its own and is erased in the storage, `masked` another that was made anew.
 */
export const subjectStreams: CollectionSpec = {
  collection: '$subject-streams',
  indexes: [
    { name: 'subject', equals: ['subject', 'holds'] },
    { name: 'part', equals: ['part'] },
  ],
}

export interface SubjectStream {
  readonly subject: string
  readonly stream: string
  readonly holds: 'own' | 'encrypted' | 'plain' | 'closed' | 'masked'
}

function partOf(subject: string): string {
  return subjectId(subject).slice(0, 1)
}

export function subjectStreamKey({ subject, stream, holds }: SubjectStream): string {
  return derivedId([subject, stream, holds])
}

export function subjectLinkKey(link: SubjectStream): DocumentKey {
  return { collection: subjectStreams.collection, key: subjectStreamKey(link) }
}

/** Of one subject, those that hold so. */
export async function* subjectLinks<Link extends SubjectStream>(
  storage: Pick<Storage, 'queryDocuments'>,
  subject: string,
  holds: Link['holds'],
): AsyncGenerator<Link> {
  const query = { index: 'subject', equals: [subject, holds], limit: limits.pageRecords }
  for await (const { body } of allIndexed(storage, subjectStreams, query)) yield JSON.parse(body) as Link
}

export function putSubjectStream<Link extends SubjectStream>(link: Link): readonly DocumentWrite[] {
  const body = { ...link, part: partOf(link.subject) }
  return putDocument(subjectStreams, { key: subjectStreamKey(link), body, if: { is: 'anything' } })
}

/** What is known of a subject. */
export interface KnownSubject {
  /** Of its document; absent where it has none. */
  readonly version?: string
  readonly master: string
  readonly forgotten: boolean
  /** Absent where it has no key, or where the key cannot be unwrapped. */
  readonly cipher?: Cipher
  /** Why it cannot, with the master key that there is. */
  readonly failure?: unknown
}

export interface SubjectKeys {
  readonly master: MasterKey | undefined
  /** For who writes: by id, as of no longer than `limits.subjectKeyMs` ago, which its commit checks. */
  find(ids: ReadonlySet<string>): Promise<ReadonlyMap<string, KnownSubject>>
  /** For who reads: no key that was destroyed before. */
  read(ids: ReadonlySet<string>): Promise<ReadonlyMap<string, KnownSubject>>
  /** A key for a subject: its document's body, and what is known of it once that is written. */
  make(subject: string): Promise<{ readonly body: SubjectBody; readonly known: KnownSubject }>
  learn(id: string, known: KnownSubject): void
  /** Its document is another one by now. */
  expire(id: string): void
}

/** What every storage gives in one go. */
const documentsAtOnce = 100

export function createSubjectKeys(
  storage: Pick<Storage, 'getDocuments'>,
  { master, random }: { readonly master: MasterKey | undefined; readonly random: Random },
): SubjectKeys {
  const written = remembering<{ readonly known: KnownSubject; readonly until: number }>()
  const read = remembering<KnownSubject>()
  /** By part, the version of the mark by which what is in `read` goes. */
  const marks = new Map<string, string | undefined>()

  function learn(id: string, known: KnownSubject, asked = performance.now()): void {
    written.set(id, { known, until: asked + limits.subjectKeyMs })
  }

  async function knownOf(document: Document | undefined, before: KnownSubject | undefined): Promise<KnownSubject> {
    if (document === undefined) return { master: '', forgotten: false }
    if (before?.version === document.version) return before
    const { version } = document
    const { master: wrappedBy, key, forgotten } = subjectBodyOf(document)
    const facts = { version, master: wrappedBy, forgotten: forgotten !== undefined }
    if (key === undefined || master === undefined) return facts
    try {
      return { ...facts, cipher: cipherOf(await unwrap(master, key, wrappedBy)) }
    } catch (failure) {
      return { ...facts, failure }
    }
  }

  /** Those that `remembered` does not know are read, and told to `learned`. */
  async function found(
    ids: ReadonlySet<string>,
    remembered: (id: string) => KnownSubject | undefined,
    learned: (id: string, known: KnownSubject) => void,
  ): Promise<ReadonlyMap<string, KnownSubject>> {
    const all = new Map<string, KnownSubject>()
    const missing: string[] = []
    for (const id of ids) {
      const known = remembered(id)
      if (known) all.set(id, known)
      else missing.push(id)
    }
    for (let from = 0; from < missing.length; from += documentsAtOnce) {
      const some = missing.slice(from, from + documentsAtOnce)
      const documents = await storage.getDocuments(some.map(subjectKey))
      await Promise.all(
        some.map(async (id, index) => {
          const known = await knownOf(documents[index], written.get(id)?.known ?? read.get(id))
          all.set(id, known)
          // Others may make it at any time, and a key service be well again.
          if (known.version !== undefined && known.failure === undefined) learned(id, known)
        }),
      )
    }
    return all
  }

  /** Drops what is remembered of a part of which somebody was forgotten since. */
  async function checkMarks(parts: readonly string[]): Promise<void> {
    const documents = await storage.getDocuments(parts.map(markKey))
    for (const [index, part] of parts.entries()) {
      const version = documents[index]?.version
      if (marks.get(part) === version) continue
      marks.set(part, version)
      read.deleteAll((id) => id.startsWith(part))
    }
  }

  return {
    master,
    learn,
    expire(id) {
      written.delete(id)
      read.delete(id)
    },
    find(ids) {
      const now = performance.now()
      const remembered = (id: string) => {
        const one = written.get(id)
        return one && one.until > now ? one.known : undefined
      }
      return found(ids, remembered, (id, known) => learn(id, known, now))
    },
    async read(ids) {
      await checkMarks([...new Set([...ids].map((id) => id.slice(0, 1)))])
      const asked = new Map(marks)
      return found(ids, read.get, (id, known) => {
        // What was read before another has met a newer mark may be older than that.
        if (marks.get(id.slice(0, 1)) === asked.get(id.slice(0, 1))) read.set(id, known)
      })
    },
    async make(subject) {
      if (master === undefined) return { body: { subject, master: '' }, known: { master: '', forgotten: false } }
      const key = random(keyBytes)
      const wrapped = await master.wrap(key).catch((error) => {
        // Nothing was handed over, and a key service may be well again.
        throw isStoreError(error) ? error : new StoreBusy('The master key wraps no key now', 1_000, error)
      })
      const known = { master: master.id, forgotten: false, cipher: cipherOf(key) }
      return { body: { subject, master: master.id, key: base64Of(wrapped) }, known }
    },
  }
}

/** The last `limits.subjectKeys`. */
function remembering<Value>() {
  /** Those set longest ago come first. */
  const all = new Map<string, Value>()
  return {
    get: (id: string) => all.get(id),
    delete: (id: string) => all.delete(id),
    set(id: string, value: Value): void {
      all.delete(id)
      all.set(id, value)
      if (all.size <= limits.subjectKeys) return
      for (const [oldest] of all) {
        all.delete(oldest)
        return
      }
    },
    deleteAll(which: (id: string) => boolean): void {
      for (const id of all.keys()) if (which(id)) all.delete(id)
    },
  }
}

/** Throws `MasterKeyWrong` where the master key cannot. */
export async function unwrap(master: MasterKey, wrapped: string, keyId: string): Promise<Uint8Array> {
  try {
    return await master.unwrap(bytesOfBase64(wrapped) ?? new Uint8Array(), keyId)
  } catch (error) {
    // What a key service says of itself is its own.
    if (isStoreError(error) && error.code !== 'invalid-argument') throw error
    throw new MasterKeyWrong({ keyId, given: master.id }, error)
  }
}

/** The cipher of a subject that has a key; undefined where it was destroyed. Throws `MasterKeyMissing`, `MasterKeyWrong`. */
export function cipherFor({ cipher, master, forgotten, failure }: KnownSubject): Cipher | undefined {
  if (failure !== undefined) throw failure
  if (cipher === undefined && !forgotten && master !== '') throw new MasterKeyMissing(master)
  return cipher
}
