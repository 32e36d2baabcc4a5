/**
 * Encryption of a store: what concerns whom, by the store's own declaration and by the schemas of event types; the master key; and
 * how a storage is made to encrypt and decrypt by them. The declaration is kept in the store, so that tools which were opened
 * without it are held to it as well.
 */
import { errorOf } from './append.ts'
import { type Archived, readThrough } from './archived.ts'
import { checkObject } from './argument.ts'
import { base64Of } from './base64.ts'
import { keyBytes } from './cipher.ts'
import type { CommitQueue } from './commit-queue.ts'
import { asStored, createDecrypt, createOpening, decrypting, type Proving } from './decrypting.ts'
import { guardOf, putDocument } from './document.ts'
import { canonicalJson } from './encoding.ts'
import { createEncrypting, createLinks, type Encrypting } from './encrypting.ts'
import {
  encryptionDocuments,
  mastersIn,
  mastersKey,
  putSearched,
  readSearched,
  subjectsKey,
} from './encryption-documents.ts'
import { StoreBusy } from './errors.ts'
import type { EventType } from './event-type.ts'
import { derivedId, type Random } from './id.ts'
import type { Catalogue } from './in-force.ts'
import { limits } from './limits.ts'
import { checkMasterKey, type MasterKey } from './master-key.ts'
import { personalInSchema } from './personal-schema.ts'
import type { Commit, Storage } from './storage.ts'
import { type PersonalRule, rulesFor, type Subjects, subjectRules } from './subject.ts'
import { createSubjectKeys, forgottenMarks, subjectDocuments, subjectStreams, unwrap } from './subject-keys.ts'

export interface EncryptionOptions {
  /** What the keys of subjects are wrapped by. */
  readonly masterKey: MasterKey
}

export interface EncryptionParts {
  readonly storage: Storage
  readonly options: EncryptionOptions | undefined
  readonly subjects: Subjects | undefined
  readonly random: Random
  readonly newId: () => string
  readonly catalogue: () => Pick<Catalogue, 'recent' | 'read'>
  readonly archived: () => Archived | undefined
}

export function createEncryption(parts: EncryptionParts) {
  const { storage, options, subjects, random, newId } = parts
  if (options) {
    checkObject(options, 'encryption')
    checkObject(options.masterKey, 'encryption.masterKey')
    checkMasterKey(options.masterKey, 'encryption.masterKey')
  }
  const master = options?.masterKey
  const keys = createSubjectKeys(storage, { master, random })
  const decrypt = createDecrypt(keys)
  const opening = createOpening(keys, works)
  let declared = subjects && subjectRules(subjects)
  let declaredText = subjects && canonicalJson(subjects)
  /** Master keys of the store, with what each has wrapped to be known by. */
  let registered: ReturnType<typeof mastersIn>['masters'] = []
  const bySchema = createSchemaRules(parts.catalogue)

  const encrypting: Encrypting = {
    keys,
    random,
    newId,
    links: createLinks(),
    readStream: (stream, range) => storage.readStream(stream, range),
    async unpack(records) {
      const archived = parts.archived()
      if (archived === undefined) return records
      return readThrough({ ...archived, decrypt: asStored }, records, (record) => record)
    },
    open: opening,
    registered: () => registered.at(-1)?.id,
    async rules() {
      const marked = await bySchema()
      if (declared === undefined && marked.size === 0) return undefined
      return (stream, type) => {
        const [own, byType] = [declared ? rulesFor(declared, stream, type) : [], marked.get(type)]
        return byType ? [...own, ...byType] : own
      }
    },
  }

  /** Throws `MasterKeyWrong` where what is wrapped here was not wrapped by this key, or one that it knows. */
  async function begin(queue: Pick<CommitQueue, 'add'>, { readOnly }: { readonly readOnly: boolean }): Promise<void> {
    for (let tries = 1; tries <= limits.executeTries; tries++) {
      const [mastersFound, subjectsFound] = await storage.getDocuments([mastersKey, subjectsKey])
      const { masters } = mastersIn(mastersFound)
      registered = masters
      if (master) for (const { id, check } of masters) await unwrap(master, check, id)
      if (subjects === undefined && subjectsFound) {
        declared = subjectRules(JSON.parse(subjectsFound.body) as Subjects)
        declaredText = subjectsFound.body
      }
      if (readOnly) return
      const news = master !== undefined && masters.every(({ id }) => id !== master.id)
      const told = subjects !== undefined && subjectsFound?.body !== declaredText
      if (!news && !told) return
      // What is recorded before anything was declared is not linked; on an empty log there is nothing of that kind.
      const { head } = await storage.readLog({ after: 0, direction: 'backwards', limit: 1 })
      const searched = { declared: head === 0 ? (declaredText ?? '') : '', all: '', position: 0, until: 0 }
      const added = news ? [...masters, { id: master.id, check: await newCheck(master) }] : masters
      const documents = [
        ...(news
          ? putDocument(encryptionDocuments, {
              key: mastersKey.key,
              body: { masters: added },
              if: guardOf(mastersFound),
            })
          : []),
        ...(told
          ? [
              ...putDocument(encryptionDocuments, { key: subjectsKey.key, body: subjects, if: guardOf(subjectsFound) }),
              ...putSearched(searched),
            ]
          : []),
      ]
      const outcome = await queue.add({ id: newId(), appends: [], documents })
      if (outcome.outcome !== 'committed' && outcome.outcome !== 'document-conflict') throw errorOf(outcome)
    }
    throw new StoreBusy('Others change the encryption of the store all the time', 1_000)
  }

  return {
    master,
    keys,
    decrypt,
    begin,
    isSearched,
    /** Nothing is read that is encrypted without a master key. */
    marks: async () => (master ? forgottenMarks(storage) : ''),
    finding: { keys, rules: encrypting.rules, rulesNow },
    collections: [encryptionDocuments, subjectDocuments, subjectStreams],
    /** Events as they were recorded; writes go through. */
    reading: (bare: Storage): Storage => decrypting(bare, decrypt),
    /** Events as they are stored, with what they decrypt to beside. */
    proving: (bare: Storage): Proving =>
      master ? { storage: decrypting(bare, opening), open: opening } : { storage: bare, open: asStored },
    /** The whole storage, as all above it sees it. */
    writing(bare: Storage): Storage {
      const { commitWithin, readWithin } = bare
      return {
        ...decrypting(bare, decrypt),
        commit: createEncrypting(encrypting, bare),
        ...(commitWithin && {
          async commitWithin(transaction, commit) {
            const handing = {
              commit: (all: readonly Commit[]) => Promise.all(all.map((one) => commitWithin(transaction, one))),
            }
            const { readStream = encrypting.readStream } = readWithin?.(transaction) ?? {}
            const [outcome] = await createEncrypting({ ...encrypting, readStream }, handing, bare)([commit])
            if (outcome === undefined) throw new TypeError('A commit has no outcome')
            return outcome
          },
        }),
      }
    },
  }

  /** What was recorded before is found by the rules as they are; what only schemas mark nobody can tell from here. */
  async function isSearched(): Promise<boolean> {
    if (declaredText === undefined) return true
    const searched = await readSearched(storage)
    return searched?.declared === declaredText && searched.position >= searched.until
  }

  async function rulesNow() {
    const marked = [...((await bySchema()) ?? [])].sort(([one], [other]) => (one < other ? -1 : 1))
    const text = declaredText ?? ''
    return { declared: text, all: derivedId(['subject rules', text, JSON.stringify(marked)]) }
  }

  /** Whether the master key of an id is at hand, and its key service answers. */
  async function works(id: string): Promise<boolean> {
    const found = registered.find((one) => one.id === id)
    if (master === undefined || found === undefined) return false
    return unwrap(master, found.check, id).then(
      () => true,
      () => false,
    )
  }

  async function newCheck(key: MasterKey): Promise<string> {
    return base64Of(await key.wrap(random(keyBytes)))
  }
}

/** What the newest schemas mark, by event type; as of when they were last read. */
function createSchemaRules(catalogue: () => Pick<Catalogue, 'recent' | 'read'>) {
  let known: { readonly types: unknown; readonly rules: ReadonlyMap<string, readonly PersonalRule[]> } | undefined
  const compiled = new WeakMap<EventType, readonly PersonalRule[]>()
  return async () => {
    const { recent, read } = catalogue()
    const { types } = recent() ??
      (known ? await read().catch(() => undefined) : await read()) ?? { types: known?.types }
    if (known && (types === known.types || types === undefined)) return known.rules
    const rules = new Map<string, readonly PersonalRule[]>()
    for (const { declared } of (types as Awaited<ReturnType<Catalogue['read']>>['types']).values()) {
      let marked = compiled.get(declared)
      if (marked === undefined) {
        marked = personalInSchema(declared.versions.at(-1)?.schema ?? true)
        compiled.set(declared, marked)
      }
      if (marked.length > 0) rules.set(declared.type, marked)
    }
    known = { types, rules }
    return rules
  }
}
