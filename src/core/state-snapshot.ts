/**
 * State snapshots: all views of projections as they are at a position, in an object store. Compressed NDJSON, a view a line,
 * and a manifest that says of which projections, from which position each goes on, and what its objects hash to. The log can
 * make all of it again; this is quicker.
 */
import { bytesToHex } from '@noble/hashes/utils.js'
import type { Packed } from './backup.ts'
import { canonicalJson, utf8, utf8Length } from './encoding.ts'
import { ObjectDamaged } from './errors.ts'
import { gzip, hashOf } from './gzip.ts'
import { getObject, listObjects, type ObjectStore } from './object-store.ts'
import type { ShapeFacts } from './projection.ts'
import { entryOfRecord } from './record-line.ts'
import type { Storage } from './storage.ts'

export interface StateSnapshot {
  /** 1, 2, 3 … in its place. */
  readonly number: number
  readonly madeAt: string
  /** The lowest from which one of the projections goes on. */
  readonly position: number
  readonly projections: readonly StatesOf[]
  /** Projections that are not in it, and are built from the log instead, with why. */
  readonly leftOut: readonly { readonly name: string; readonly reason: string }[]
}

export interface StatesOf {
  readonly name: string
  readonly version: number
  /** All events up to here are in the views; some of them hold later ones too, and know it. */
  readonly position: number
  readonly views: number
  readonly bytes: number
}

export interface StateManifest extends Omit<StateSnapshot, 'projections'> {
  readonly format: 1
  readonly logId: string
  readonly projections: readonly ProjectionManifest[]
}

export interface ProjectionManifest extends Omit<StatesOf, 'bytes'> {
  readonly facts: ShapeFacts
  /** The ledger's entry of the event at the position, in hex; empty at 0. */
  readonly entry: string
  readonly chunks: readonly Packed[]
  /** Entities that were parked, a line each. */
  readonly parked: readonly Packed[]
}

export function snapshotOfManifest({ number, madeAt, position, projections, leftOut }: StateManifest): StateSnapshot {
  return {
    ...{ number, madeAt, position, leftOut },
    projections: projections.map(({ name, version, position, views, chunks, parked }) => {
      return {
        name,
        version,
        position,
        views,
        bytes: [...chunks, ...parked].reduce((sum, { bytes }) => sum + bytes, 0),
      }
    }),
  }
}

function numberText(number: number): string {
  return String(number).padStart(8, '0')
}

export function manifestKey(number: number): string {
  return `states/${numberText(number)}.json`
}

/** Under which the objects of one snapshot lie. */
export function folderOf(number: number, id: string): string {
  return `states/${numberText(number)}-${id}`
}

export async function packLines(objects: ObjectStore, key: string, lines: readonly string[]): Promise<Packed> {
  const text = lines.map((line) => `${line}\n`).join('')
  const bytes = await gzip(text)
  await objects.put(key, bytes)
  return { key, lines: lines.length, bytes: bytes.length, textBytes: utf8Length(text), sha256: await hashOf(bytes) }
}

/** With a hash of itself. */
export async function printManifest(manifest: StateManifest): Promise<Uint8Array> {
  const checksum = await hashOf(utf8(canonicalJson(manifest)))
  return utf8(`${canonicalJson({ ...manifest, checksum })}\n`)
}

/** Throws `ObjectDamaged` where it is missing, or is not as it was written. */
export async function readManifest(objects: ObjectStore, number: number): Promise<StateManifest> {
  const key = manifestKey(number)
  const bytes = await getObject(objects, key)
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    const { checksum: _, ...manifest } = JSON.parse(text) as StateManifest & { readonly checksum: string }
    const whole = manifest.format === 1 && manifest.number === number
    if (whole && new TextDecoder().decode(await printManifest(manifest)) === text) return manifest
  } catch {}
  throw new ObjectDamaged({ key, place: objects.name, reason: 'it is no manifest of a state snapshot' })
}

/** Of all snapshots in the place, the oldest first; and all objects there, by the number that they belong to. */
export async function listStateObjects(objects: ObjectStore) {
  const numbers: number[] = []
  const others: { readonly key: string; readonly number: number }[] = []
  for await (const { key } of listObjects(objects, 'states/')) {
    const [, digits, rest = ''] = /^states\/(\d{8})(.*)$/.exec(key) ?? []
    if (digits === undefined) continue
    if (rest === '.json') numbers.push(Number(digits))
    else others.push({ key, number: Number(digits) })
  }
  return { numbers, others }
}

/** The ledger's entry at a position, in hex. */
export async function entryAt(storage: Pick<Storage, 'readLog'>, position: number): Promise<string> {
  if (position === 0) return ''
  const range = { after: position - 1, until: position, direction: 'forwards', limit: 1, evidence: true } as const
  const [record] = (await storage.readLog(range)).records
  return record ? bytesToHex(entryOfRecord(record)) : ''
}
