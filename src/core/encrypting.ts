/**
 * Writing what is personal: on its way into the storage an event loses what is to be encrypted, and its commit takes along what
 * the subjects need: a key for a new one, a check that the key of a known one was not destroyed, the links by which forgetting
 * finds their streams. Everything above sees events as they are given. Without a master key there are the links alone.
 */

import { encryptEvent } from './encrypted.ts'
import { type Recalling, recordedAgain } from './encrypted-repeat.ts'
import { MasterKeyMissing, SubjectForgotten } from './encryption-errors.ts'
import type { Random } from './id.ts'
import { limits } from './limits.ts'
import type { Commit, CommitOutcome, DocumentWrite, PreparedEvent, Storage, StreamAppend } from './storage.ts'
import { type Personal, type PersonalRule, personalIn } from './subject.ts'
import {
  type KnownSubject,
  putSubject,
  putSubjectStream,
  type SubjectKeys,
  type SubjectStream,
  subjectId,
  subjectKey,
  subjectStreamKey,
} from './subject-keys.ts'
import { backoffMs, sleep } from './turn.ts'

export interface Encrypting extends Recalling {
  readonly keys: SubjectKeys
  readonly random: Random
  /** What concerns whom; undefined where nothing concerns anybody. */
  rules(): Promise<RulesOf | undefined>
  /** Id of a master key under which the store is encrypted. */
  registered(): string | undefined
  readonly links: Links
}

/** Links that are known to be written. */
export interface Links {
  has(link: SubjectStream): boolean
  learn(link: SubjectStream): void
}

/** What an event has of a subject; `key` is that of its document. */
type Concerned = Personal & { readonly key: string }

/** A commit that concerns somebody. */
interface Concerning {
  readonly commit: Commit
  readonly personal: ReadonlyMap<PreparedEvent, readonly Concerned[]>
  /** By id. */
  readonly subjects: ReadonlyMap<string, string>
}

/** A subject as a commit leaves it. */
interface Settled {
  readonly known: KnownSubject
  /** In the document that the storage has by then. */
  readonly version: string
}

type Handing = Pick<Storage, 'commit'>
type RulesOf = (stream: string, type: string) => readonly PersonalRule[]
type FreshKeys = ReadonlyMap<string, Awaited<ReturnType<SubjectKeys['make']>>>

/** `alone`: what it is handed over to is a part of something that may still be undone, so that nothing is learned from it. */
export function createEncrypting(encrypting: Encrypting, handing: Handing, alone?: Handing): Handing['commit'] {
  const { keys, links } = encrypting

  const ids = new Map<string, string>()
  /** A hash, which is dear. */
  function idOf(subject: string): string {
    const known = ids.get(subject)
    if (known !== undefined) return known
    const id = subjectId(subject)
    if (ids.size >= limits.subjectKeys) ids.clear()
    ids.set(subject, id)
    return id
  }

  function concerning(commit: Commit, rules: RulesOf): Concerning | CommitOutcome | undefined {
    const personal = new Map<PreparedEvent, readonly Concerned[]>()
    const subjects = new Map<string, string>()
    try {
      for (const { stream, events } of commit.appends) {
        for (const event of events) {
          if (event.type.startsWith('$')) continue
          const found = rules(stream, event.type)
          if (found.length === 0) continue
          const all: Concerned[] = []
          for (const { subject, own, places } of personalIn(found, stream, event)) {
            const key = idOf(subject)
            all.push({ subject, own, places, key })
            subjects.set(key, subject)
          }
          if (all.length > 0) personal.set(event, all)
        }
      }
    } catch (error) {
      return { outcome: 'failed', cause: error }
    }
    return personal.size === 0 ? undefined : { commit, personal, subjects }
  }

  const fits = (known: KnownSubject | undefined): known is KnownSubject & { readonly version: string } =>
    known?.version !== undefined && (keys.master === undefined || known.cipher !== undefined)

  /** Keys for those that have none, all at once. */
  async function freshKeys(all: Iterable<Concerning>, found: ReadonlyMap<string, KnownSubject>): Promise<FreshKeys> {
    const missing = new Map<string, string>()
    for (const { subjects } of all) {
      for (const [id, subject] of subjects) if (!fits(found.get(id))) missing.set(id, subject)
    }
    if (missing.size === 0) return new Map()
    return new Map(
      await Promise.all([...missing].map(async ([id, subject]) => [id, await keys.make(subject)] as const)),
    )
  }

  /** The subjects' keys, and what is written to have them; `made` has those of commits that are handed over before. */
  function settle(
    { commit, subjects }: Concerning,
    found: ReadonlyMap<string, KnownSubject>,
    fresh: FreshKeys,
    made: Map<string, Settled>,
  ) {
    const settled = new Map<string, Settled>()
    const documents: DocumentWrite[] = []
    for (const id of subjects.keys()) {
      const known = found.get(id)
      const ready = made.get(id) ?? (fits(known) ? { known, version: known.version } : undefined)
      if (ready) {
        settled.set(id, ready)
        documents.push({ kind: 'check', key: subjectKey(id), if: { is: 'version', version: ready.version } })
        continue
      }
      const key = fresh.get(id)
      if (key === undefined) throw new TypeError('A subject has no key')
      const { version } = known ?? {}
      settled.set(id, { known: { ...key.known, version: commit.id }, version: commit.id })
      documents.push(...putSubject(key.body, version === undefined ? { is: 'absent' } : { is: 'version', version }))
    }
    return { settled, documents }
  }

  function encrypted(
    { commit, personal }: Concerning,
    settled: ReadonlyMap<string, Settled>,
  ): readonly StreamAppend[] | Promise<readonly StreamAppend[]> {
    const cipherOf = (id: string) => {
      const cipher = settled.get(id)?.known.cipher
      if (cipher === undefined) throw new TypeError('A subject has no key')
      return cipher
    }
    const waiting: Promise<PreparedEvent>[] = []
    const appends = commit.appends.map((append) => ({
      ...append,
      events: append.events.map((event) => {
        const secrets = (personal.get(event) ?? []).filter(({ places }) => places.length > 0)
        if (secrets.length === 0) return event
        const made = encryptEvent(event, append.stream, { secrets, cipherOf, random: encrypting.random })
        if (made instanceof Promise) waiting.push(made)
        return made
      }),
    }))
    if (waiting.length === 0) return appends as readonly StreamAppend[]
    return Promise.all(appends.map(async (append) => ({ ...append, events: await Promise.all(append.events) })))
  }

  function linksOf({ commit, personal }: Concerning): readonly SubjectStream[] {
    const found = new Map<string, SubjectStream>()
    for (const { stream, events } of commit.appends) {
      for (const event of events) {
        for (const { subject, own, places } of personal.get(event) ?? []) {
          // A subject's name finds its own stream.
          if (subject === stream || (!own && places.length === 0)) continue
          const holds = own ? 'own' : keys.master ? 'encrypted' : 'plain'
          const link = { subject, stream, holds } as const
          if (!links.has(link)) found.set(subjectStreamKey(link), link)
        }
      }
    }
    return [...found.values()]
  }

  /** What is in the log already is answered as it was, whoever is forgotten since. */
  async function refused(one: Concerning, cause: unknown): Promise<CommitOutcome> {
    const outcome = await recordedAgain(encrypting, handing, one.commit)
    return outcome ?? { outcome: 'failed', cause }
  }

  /** What keeps it from being recorded. */
  function refusal({ subjects }: Concerning, found: ReadonlyMap<string, KnownSubject>): unknown {
    for (const [id, subject] of subjects) {
      const known = found.get(id)
      if (known?.forgotten) return new SubjectForgotten(subject)
      if (known?.failure !== undefined) return known.failure
      // Plain, it could not be forgotten; nobody would notice.
      const under = known?.master || encrypting.registered()
      if (keys.master === undefined && under) return new MasterKeyMissing(under)
    }
    return undefined
  }

  interface Handed {
    readonly index: number
    readonly commit: Commit
    readonly one?: Concerning
    readonly settled?: ReadonlyMap<string, Settled>
    readonly links?: readonly SubjectStream[]
  }

  function prepared(one: Concerning, { settled, documents }: ReturnType<typeof settle>) {
    const { commit } = one
    const linked = linksOf(one)
    const all = [...(commit.documents ?? []), ...documents, ...linked.flatMap(putSubjectStream)]
    const handed = (appends: Commit['appends']) => ({
      ...{ commit: { ...commit, appends, documents: all }, settled, links: linked },
    })
    const ready = keys.master ? encrypted(one, settled) : commit.appends
    return ready instanceof Promise ? ready.then(handed) : handed(ready)
  }

  /** Keys that are to be there whatever becomes of the transaction that needs them. */
  async function makeAhead(
    apart: Handing,
    documents: readonly DocumentWrite[],
    ids: Iterable<string>,
  ): Promise<boolean> {
    const puts = documents.filter(({ kind }) => kind === 'put')
    if (puts.length === 0) return false
    await apart.commit([{ id: encrypting.newId(), appends: [], documents: puts }])
    for (const id of ids) keys.expire(id)
    return true
  }

  return async (commits) => {
    const rules = await encrypting.rules()
    if (rules === undefined) return handing.commit(commits)
    const all = commits.map((commit) => concerning(commit, rules))
    if (all.every((one) => one === undefined)) return handing.commit(commits)
    const outcomes: CommitOutcome[] = new Array(commits.length)
    let left = [...commits.keys()]
    for (let tries = 1; left.length > 0; tries++) {
      if (tries > 1) await sleep(backoffMs(tries - 1, limits.foldBackoffMs, limits.foldBackoffMsMax))
      const concerned = left.map((index) => all[index]).filter((one) => one !== undefined && 'subjects' in one)
      const found = await keys.find(new Set(concerned.flatMap(({ subjects }) => [...subjects.keys()])))
      const fresh = await freshKeys(concerned, found)
      const made = new Map<string, Settled>()
      const handed: Handed[] = []
      let again = false
      for (const index of left) {
        const [one, commit] = [all[index], commits[index] as Commit]
        if (one === undefined) handed.push({ index, commit })
        else if ('outcome' in one) outcomes[index] = one
        else {
          const cause = refusal(one, found)
          if (cause) {
            outcomes[index] = await refused(one, cause)
            continue
          }
          const settled = settle(one, found, fresh, made)
          if (alone && (await makeAhead(alone, settled.documents, one.subjects.keys()))) {
            again = true
            continue
          }
          const ready = prepared(one, settled)
          handed.push({ index, one, ...(ready instanceof Promise ? await ready : ready) })
          for (const [id, state] of settled.settled) if (state.version === commit.id) made.set(id, state)
        }
      }
      if (again && tries < limits.foldTries) continue
      const results = handed.length === 0 ? [] : await handing.commit(handed.map(({ commit }) => commit))
      const next: number[] = []
      for (const [at, { index, one, settled, links: linked }] of handed.entries()) {
        const outcome = results[at] as CommitOutcome
        outcomes[index] = outcome
        if (one === undefined || settled === undefined) continue
        if (outcome.outcome === 'committed' && !outcome.repeated && alone === undefined) {
          for (const [id, { known }] of settled) if (known.version === one.commit.id) keys.learn(id, known)
          for (const link of linked ?? []) links.learn(link)
        } else if (outcome.outcome === 'document-conflict' && settled.has(outcome.key.key)) {
          for (const id of settled.keys()) keys.expire(id)
          if (tries < limits.foldTries) next.push(index)
          else outcomes[index] = { outcome: 'busy', retryAfterMs: 100 }
        } else if (outcome.outcome === 'id-reused') {
          outcomes[index] = (await recordedAgain(encrypting, handing, one.commit, outcome)) ?? outcome
        }
      }
      left = next
    }
    return outcomes
  }
}

export function createLinks(): Links {
  const known = new Set<string>()
  const textOf = ({ subject, stream, holds }: SubjectStream) => `${subject}\0${stream}\0${holds}`
  return {
    has: (link) => known.has(textOf(link)),
    learn(link) {
      known.add(textOf(link))
      if (known.size <= limits.subjectKeys) return
      for (const oldest of known) {
        known.delete(oldest)
        return
      }
    },
  }
}
