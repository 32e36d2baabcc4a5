/**
 * What holds for all of an encrypted store, as documents: its master keys, what concerns whom, and how far the log was looked
 * through by that.
 */
import { guardOf, putDocument } from './document.ts'
import type { CollectionSpec, Document, Storage } from './storage.ts'

export const encryptionDocuments: CollectionSpec = { collection: '$encryption', indexes: [] }
export const mastersKey = { collection: encryptionDocuments.collection, key: 'master-keys' }
export const subjectsKey = { collection: encryptionDocuments.collection, key: 'subjects' }
export const searchedKey = { collection: encryptionDocuments.collection, key: 'searched' }

/** The master keys that have wrapped something, with something that each has wrapped, to know them again. */
export interface MastersBody {
  readonly masters: readonly { readonly id: string; readonly check: string }[]
}

export function mastersIn(document: Document | undefined): MastersBody {
  return document ? (JSON.parse(document.body) as MastersBody) : { masters: [] }
}

export async function readMasters(storage: Pick<Storage, 'getDocuments'>): Promise<Document | undefined> {
  const [document] = await storage.getDocuments([mastersKey])
  return document
}

export async function readSubjects(storage: Pick<Storage, 'getDocuments'>): Promise<Document | undefined> {
  const [document] = await storage.getDocuments([subjectsKey])
  return document
}

export function putMasters(body: MastersBody, before: Document | undefined) {
  return putDocument(encryptionDocuments, { key: mastersKey.key, body, if: guardOf(before) })
}

/** Everything up to a position was looked through by these rules; of what came later appends have linked it. */
export interface Searched {
  /** The declaration of subjects. */
  readonly declared: string
  /** That, and what schemas mark. */
  readonly all: string
  readonly position: number
  /** Where all is looked through that was recorded before. */
  readonly until: number
}

export async function readSearched(storage: Pick<Storage, 'getDocuments'>): Promise<Searched | undefined> {
  const [document] = await storage.getDocuments([searchedKey])
  return document && (JSON.parse(document.body) as Searched)
}

export function putSearched(searched: Searched) {
  return putDocument(encryptionDocuments, { key: searchedKey.key, body: searched, if: { is: 'anything' } })
}
