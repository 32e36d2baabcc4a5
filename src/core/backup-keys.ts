/**
 * The keys of subjects in a backup. Events are backed up once, encrypted as they are stored; their keys stand apart, in objects
 * that every backup writes anew, so that a key which was destroyed since is in no backup any more. Without the master key
 * they are of no use.
 */
import { errorOf } from './append.ts'
import { allIndexed, putDocument } from './document.ts'
import { canonicalJson } from './encoding.ts'
import { encryptionDocuments, readMasters, readSubjects } from './encryption.ts'
import { ObjectDamaged } from './errors.ts'
import { gunzip, gzip } from './gzip.ts'
import { newId, secureRandom } from './id.ts'
import { limits } from './limits.ts'
import { getObject, listObjects, type ObjectStore } from './object-store.ts'
import type { CollectionSpec, Document, Storage } from './storage.ts'
import { subjectDocuments, subjectParts, subjectStreams } from './subject-keys.ts'

const folder = 'backup/keys/'
/** Of one object's text: a million subjects are 16 objects of a tenth of this. */
const mostBytes = 1_073_741_824
const specs: readonly CollectionSpec[] = [encryptionDocuments, subjectDocuments, subjectStreams]

/** After the events were backed up, so that none of them lacks its key. */
export async function backUpKeys(
  storage: Pick<Storage, 'getDocuments' | 'queryDocuments'>,
  objects: ObjectStore,
): Promise<void> {
  const there = new Set<string>()
  for await (const { key } of listObjects(objects, folder)) there.add(key)

  /** Also where there are none any more: what was there before must go. */
  async function put(name: string, lines: readonly string[]): Promise<void> {
    const key = `${folder}${name}.ndjson.gz`
    if (lines.length > 0) await objects.put(key, await gzip(lines.map((line) => `${line}\n`).join('')))
    else if (there.has(key)) await objects.delete(key)
  }

  const common = [await readMasters(storage), await readSubjects(storage)].filter((one) => one !== undefined)
  await put('store', common.map(lineOf))
  for (const part of subjectParts) {
    const lines: string[] = []
    for await (const document of allIndexed(storage, subjectDocuments, {
      index: 'part',
      equals: [part],
      limit: limits.pageRecords,
    })) {
      lines.push(lineOf(document))
    }
    for await (const document of allIndexed(storage, subjectStreams, {
      index: 'part',
      equals: [part],
      limit: limits.pageRecords,
    })) {
      lines.push(lineOf(document))
    }
    await put(part, lines)
  }
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
  for await (const { key } of listObjects(objects, folder)) {
    const damaged = (reason: string, cause: unknown) => new ObjectDamaged({ key, place: objects.name, reason }, cause)
    const text = await gunzip(await getObject(objects, key), mostBytes).catch((error) => {
      throw damaged('it is no gzip of text', error)
    })
    for (const [index, line] of text.split('\n').slice(0, -1).entries()) {
      try {
        lines.push(JSON.parse(line) as KeyLine)
      } catch (error) {
        throw damaged(`line ${index + 1} is no document`, error)
      }
    }
  }
  return lines
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
