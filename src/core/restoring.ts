/**
 * A storage that a log is being restored into says so in a document, from before its first event until its last document:
 * a store that is half there opens for nobody.
 */
import { errorOf } from './append.ts'
import { putDocument } from './document.ts'
import { RestoreUnfinished } from './errors.ts'
import { newId, secureRandom } from './id.ts'
import type { CollectionSpec, Document, Storage } from './storage.ts'

interface RestoringBody {
  readonly state: 'restoring' | 'restored'
  /** Of the backup. */
  readonly number: number
}

const restorings: CollectionSpec = { collection: '$restore', indexes: [] }

type Reads = Pick<Storage, 'getDocuments'>

async function find(storage: Reads): Promise<Document | undefined> {
  const [document] = await storage.getDocuments([{ collection: restorings.collection, key: 'log' }])
  return document
}

/** The number of the backup, where its restore was begun and is not done. */
export async function restoringOf(storage: Reads): Promise<number | undefined> {
  const document = await find(storage)
  const { state, number } = document ? (JSON.parse(document.body) as RestoringBody) : { state: 'restored', number: 0 }
  return state === 'restoring' ? number : undefined
}

/** Throws `RestoreUnfinished`. */
export async function checkRestored(storage: Reads & Pick<Storage, 'name'>): Promise<void> {
  if ((await restoringOf(storage)) !== undefined) throw new RestoreUnfinished(storage.name)
}

export async function markRestoring(storage: Storage, body: RestoringBody): Promise<void> {
  await storage.declare([restorings])
  const documents = putDocument(restorings, { key: 'log', body, if: { is: 'anything' } })
  const [outcome] = await storage.commit([{ id: newId(secureRandom()), appends: [], documents }])
  if (outcome && outcome.outcome !== 'committed') throw errorOf(outcome)
}
