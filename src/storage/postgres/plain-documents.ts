/**
 * The documents of a plain batch: each place once, with what must be there before the batch and what is there after it. What
 * commits of the batch write over each other is followed here, so that the database sees the first guard and the last write.
 */
import type { Commit, DocumentPut, DocumentWrite, Guard } from '../../core/storage.ts'
import { intArray, textArray } from './binary-array.ts'
import { attachedOf, wordsOfDocument } from './documents.ts'

interface Place {
  readonly write: DocumentWrite
  /** Before the batch. */
  guard: Guard
  /** As far as the batch has come: a version, or that there is none; absent where nobody has said. */
  now: { readonly version: string | undefined } | undefined
  last:
    | { readonly action: 'put'; readonly version: string; readonly put: DocumentPut }
    | { readonly action: 'delete' }
    | undefined
}

export type Places = Map<string, Place>

/** Adds the documents of the next commit; false where a guard cannot hold whatever the database holds. */
export function gatherDocuments(places: Places, { id, documents = [] }: Commit): boolean {
  for (const write of documents) {
    const { collection, key } = write.key
    const name = `${collection}\n${key}`
    const known = places.get(name)
    const place: Place = known ?? { write, guard: { is: 'anything' }, now: undefined, last: undefined }
    if (known === undefined) places.set(name, place)
    if (!narrow(place, write.if)) return false
    if (write.kind === 'put') {
      place.last = { action: 'put', version: id, put: write }
      place.now = { version: id }
    }
    if (write.kind === 'delete') {
      place.last = { action: 'delete' }
      place.now = { version: undefined }
    }
  }
  return true
}

function narrow(place: Place, guard: Guard): boolean {
  if (guard.is === 'anything') return true
  const version = guard.is === 'version' ? guard.version : undefined
  if (place.now !== undefined) return place.now.version === version
  place.guard = guard
  place.now = { version }
  return true
}

const actions = { check: 0, put: 1, delete: 2 } as const
const guards = { anything: 0, absent: 1, version: 2 } as const

/** In the columns that `append_documents_1` takes beside those of `append_plain_1`. */
export function documentValues(places: Places): readonly unknown[] {
  const all = [...places.values()]
  const puts = all.map(({ last }) => (last?.action === 'put' ? last : undefined))
  return [
    intArray(all.map(({ last }) => actions[last?.action ?? 'check'])),
    textArray(all.map(({ write }) => write.key.collection)),
    textArray(all.map(({ write }) => write.key.key)),
    intArray(all.map(({ guard }) => guards[guard.is])),
    textArray(all.map(({ guard }) => (guard.is === 'version' ? guard.version : ''))),
    textArray(puts.map((last) => last?.version ?? '')),
    textArray(puts.map((last) => last?.put.body ?? '')),
    textArray(puts.map((last) => (last ? JSON.stringify(attachedOf(last.put)) : ''))),
    textArray(puts.map((last) => (last ? wordsText(last.put) : ''))),
  ]
}

function wordsText({ key, words }: DocumentPut): string {
  return words ? JSON.stringify(wordsOfDocument(key.collection, words)) : ''
}
