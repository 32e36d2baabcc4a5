/**
 * The keys of subjects in a backup. Events are backed up once, encrypted as they are stored; their keys stand apart, in objects
 * that every backup writes anew, so that a key which was destroyed since is in no backup any more. Without the master key
 * they are of no use.
 */
import { errorOf } from './append.ts'
import { allIndexed, putDocument } from './document.ts'
import { canonicalJson } from './encoding.ts'
import { encryptionDocuments, readMasters, readSubjects } from './encryption-documents.ts'
import { ObjectDamaged, StoreBusy } from './errors.ts'
import { gunzip, gzip } from './gzip.ts'
import { newId, secureRandom } from './id.ts'
import { limits } from './limits.ts'
import { listObjects, type ObjectStore } from './object-store.ts'
import type { CollectionSpec, Document, Storage } from './storage.ts'
import { subjectDocuments, subjectParts, subjectStreams } from './subject-keys.ts'
import { backoffMs, sleep } from './turn.ts'

const folder = 'backup/keys/'
/** Of one object's text: a million subjects are 16 objects of a tenth of this. */
const mostBytes = 1_073_741_824
const specs: readonly CollectionSpec[] = [encryptionDocuments, subjectDocuments, subjectStreams]

/** After the events were backed up, so that none of them lacks its key. */
export async function backUpKeys(storage: Documents, objects: ObjectStore): Promise<void> {
  await putAnew(objects, keyObject('store'), async () => {
    const common = [await readMasters(storage), await readSubjects(storage)]
    return common.filter((one) => one !== undefined).map(lineOf)
  })
  for (const part of subjectParts) await backUpPart(storage, objects, part)
}

/**
 * After the key of a subject was destroyed: it is in no object from here on, nor does a backup that was begun before bring it
 * back. Gives the object that held it, if one did. Nothing is written where there is no backup.
 */
export async function forgetKey(storage: Documents, objects: ObjectStore, id: string): Promise<string | undefined> {
  const part = id.slice(0, 1)
  const key = keyObject(part)
  const held = (await readObject(objects, key))?.some((line) => line.key === id && 'key' in line.body)
  if (held === undefined) return undefined
  await backUpPart(storage, objects, part)
  return held ? key : undefined
}

type Documents = Pick<Storage, 'getDocuments' | 'queryDocuments'>

function keyObject(name: string): string {
  return `${folder}${name}.ndjson.gz`
}

function backUpPart(storage: Documents, objects: ObjectStore, part: string): Promise<void> {
  return putAnew(objects, keyObject(part), async () => {
    const lines: string[] = []
    for (const spec of [subjectDocuments, subjectStreams]) {
      const query = { index: 'part', equals: [part], limit: limits.pageRecords }
      for await (const document of allIndexed(storage, spec, query)) lines.push(lineOf(document))
    }
    return lines
  })
}

/** In place of what was there before the documents are read, so that nobody's older reading replaces a newer one. */
async function putAnew(objects: ObjectStore, key: string, read: () => Promise<readonly string[]>): Promise<void> {
  for (let tries = 1; tries <= limits.rewriteTries; tries++) {
    const before = await objects.get(key)
    const lines = await read()
    if (lines.length === 0 && before === undefined) return
    // Also where there are none any more: what was there before must go.
    const bytes = await gzip(lines.map((line) => `${line}\n`).join(''))
    const condition = before ? ({ if: 'unchanged', etag: before.etag } as const) : ({ if: 'absent' } as const)
    if ((await objects.put(key, bytes, condition)).outcome === 'written') return
    await sleep(backoffMs(tries, 5, 200))
  }
  throw new StoreBusy(`Others write ${key} in ${objects.name} anew all the time`, 1_000)
}

function lineOf({ collection, key, body }: Document): string {
  return `${canonicalJson({ collection, key }).slice(0, -1)},"body":${body}}`
}

interface KeyLine {
  readonly collection: string
  readonly key: string
  readonly body: object
}

/** All of them, before anything is restored. Throws `ObjectDamaged`. */
export async function readBackedUpKeys(objects: ObjectStore): Promise<readonly KeyLine[]> {
  const lines: KeyLine[] = []
  for await (const { key } of listObjects(objects, folder)) lines.push(...((await readObject(objects, key)) ?? []))
  return lines
}

/** Undefined where there is none. Throws `ObjectDamaged`. */
async function readObject(objects: ObjectStore, key: string): Promise<readonly KeyLine[] | undefined> {
  const found = await objects.get(key)
  if (found === undefined) return undefined
  const damaged = (reason: string, cause: unknown) => new ObjectDamaged({ key, place: objects.name, reason }, cause)
  const text = await gunzip(found.bytes, mostBytes).catch((error) => {
    throw damaged('it is no gzip of text', error)
  })
  return text
    .split('\n')
    .slice(0, -1)
    .map((line, index) => {
      try {
        return JSON.parse(line) as KeyLine
      } catch (error) {
        throw damaged(`line ${index + 1} is no document`, error)
      }
    })
}

/** Those that an earlier try has put stay. */
export async function restoreKeys(into: Storage, lines: readonly KeyLine[]): Promise<void> {
  if (lines.length === 0) return
  await into.declare(specs)
  const random = secureRandom()
  for (let from = 0; from < lines.length; from += limits.rotateKeys) {
    const commits = lines.slice(from, from + limits.rotateKeys).flatMap(({ collection, key, body }) => {
      const spec = specs.find((one) => one.collection === collection)
      const documents = spec ? putDocument(spec, { key, body, if: { is: 'absent' } }) : []
      return documents.length === 0 ? [] : [{ id: newId(random), appends: [], documents }]
    })
    for (const outcome of await into.commit(commits)) {
      if (outcome.outcome !== 'committed' && outcome.outcome !== 'document-conflict') throw errorOf(outcome)
    }
  }
}
