/**
 * What backups are in an object store: manifests, each made after the one before it, and compressed objects that belong to
 * them. Forgetting writes objects anew and replaces a manifest by one that names them; what binds manifests to each other is
 * what that does not change.
 */
import { canonicalJson, utf8, utf8Length } from './encoding.ts'
import { ObjectDamaged } from './errors.ts'
import { gzip, hashOf } from './gzip.ts'
import { getObject, listObjects, type ObjectStore } from './object-store.ts'
import { recordOfLine } from './record-line.ts'
import { entriesHash, linesOf } from './segment.ts'
import type { LogRecord } from './storage.ts'

export interface Backup {
  /** 1, 2, 3 … in its place. */
  readonly number: number
  /** Positions after `from`, up to and with `to`. */
  readonly from: number
  readonly to: number
  readonly documents: number
  /** Of all its objects but the manifest. */
  readonly bytes: number
  readonly madeAt: string
}

/** A compressed NDJSON object. */
export interface Packed {
  readonly key: string
  readonly lines: number
  readonly bytes: number
  /** Of its text, in UTF-8. */
  readonly textBytes: number
  /** SHA-256 of its bytes, in hex. */
  readonly sha256: string
}

export interface BackupManifest extends Omit<Backup, 'documents' | 'bytes'> {
  readonly format: 1
  readonly logId: string
  /** SHA-256 of what lasts of the manifest before, in hex; empty in the first. */
  readonly previous: string
  /** SHA-256 of the entries of the chunk's events, in hex. */
  readonly chunks: readonly (Packed & { readonly entries: string })[]
  /** The ledger's entry of the last event, in hex; empty where there is none yet. */
  readonly lastEntry: string
  /** Streams that were closed here: what older backups hold of them is not restored. */
  readonly closed: readonly string[]
  readonly documents: Packed
  /** How often objects of it were written anew, because something in them was forgotten. */
  readonly rewritten?: number
}

/** A manifest, and the hash of what no forgetting changes in it. */
export interface Link {
  readonly manifest: BackupManifest
  readonly hash: string
}

export function numberText(number: number): string {
  return String(number).padStart(8, '0')
}

export function manifestKey(number: number): string {
  return `backup/${numberText(number)}.json`
}

/** All manifests of a place, in their order, each the one that the next was made after. Throws `ObjectDamaged`. */
export async function readChain(objects: ObjectStore): Promise<readonly Link[]> {
  const keys: string[] = []
  for await (const { key } of listObjects(objects, 'backup/')) if (/^backup\/\d{8}\.json$/.test(key)) keys.push(key)
  const chain: Link[] = []
  for (const [index, key] of keys.entries()) {
    const damaged = (reason: string) => new ObjectDamaged({ key, place: objects.name, reason })
    if (key !== manifestKey(index + 1)) throw damaged(`backup ${index + 1}, which it was made after, is missing`)
    const { manifest } = await readManifest(objects, index + 1)
    const before = chain.at(-1)
    const follows = (before?.hash ?? '') === manifest.previous && (before?.manifest.to ?? 0) === manifest.from
    if (!follows || manifest.number !== index + 1) throw damaged('it was not made after the backup before it')
    chain.push({ manifest, hash: await lastingHash(manifest) })
  }
  return chain
}

/** Throws `ObjectDamaged`. */
export async function readManifest(objects: ObjectStore, number: number) {
  const key = manifestKey(number)
  const damaged = (reason: string) => new ObjectDamaged({ key, place: objects.name, reason })
  const object = await objects.get(key)
  if (object === undefined) throw damaged('it is missing')
  const manifest = await parseManifest(object.bytes)
  if (manifest === undefined) throw damaged('it is no manifest of a backup')
  return { manifest, etag: object.etag }
}

/** Chunks by what they are in the ledger, so that one that is written anew breaks no chain. */
function lastingHash(manifest: BackupManifest): Promise<string> {
  const { documents: _, rewritten: __, chunks, ...lasting } = manifest
  return hashOf(utf8(canonicalJson({ ...lasting, chunks: chunks.map(({ lines, entries }) => ({ lines, entries })) })))
}

/** With a hash of itself, for no other manifest may know it yet. */
export async function printManifest(manifest: BackupManifest): Promise<Uint8Array> {
  const checksum = await hashOf(utf8(canonicalJson(manifest)))
  return utf8(`${canonicalJson({ ...manifest, checksum })}\n`)
}

async function parseManifest(bytes: Uint8Array): Promise<BackupManifest | undefined> {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    const { checksum: _, ...manifest } = JSON.parse(text) as BackupManifest & { readonly checksum: string }
    const whole = manifest.format === 1 && new TextDecoder().decode(await printManifest(manifest)) === text
    return whole ? manifest : undefined
  } catch {
    return undefined
  }
}

/** The folder of a backup's objects; nothing else is in it. */
export function folderOf({ documents }: BackupManifest): string {
  return documents.key.slice(0, documents.key.lastIndexOf('/') + 1)
}

/** Compresses lines, and puts them. */
export async function pack(objects: ObjectStore, key: string, lines: readonly string[]): Promise<Packed> {
  const text = lines.map((line) => `${line}\n`).join('')
  const bytes = await gzip(text)
  await objects.put(key, bytes)
  const [textBytes, sha256] = [utf8Length(text), await hashOf(bytes)]
  return { key, lines: lines.length, bytes: bytes.length, textBytes, sha256 }
}

export async function readPacked(objects: ObjectStore, packed: Packed): Promise<readonly string[]> {
  return linesOf({ ...packed, place: objects.name, bytes: await getObject(objects, packed.key) })
}

/** A chunk's records, which must be those after `position`. Throws `ObjectDamaged`. */
export async function readChunk(
  objects: ObjectStore,
  chunk: BackupManifest['chunks'][number],
  position: number,
): Promise<readonly LogRecord[]> {
  const wrong = (reason: string, cause?: unknown) =>
    new ObjectDamaged({ key: chunk.key, place: objects.name, reason }, cause)
  const records = (await readPacked(objects, chunk)).map((line, index) => {
    try {
      return recordOfLine(line)
    } catch (error) {
      throw wrong(`line ${index + 1} is no record of a log`, error)
    }
  })
  const odd = records.findIndex((record, index) => record.position !== position + index + 1)
  if (odd >= 0) throw wrong(`line ${odd + 1} is not the event of position ${position + odd + 1}`)
  if (entriesHash(records) !== chunk.entries) throw wrong('it holds other events than those that were backed up')
  return records
}
