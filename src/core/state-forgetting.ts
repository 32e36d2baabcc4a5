/**
 * What a stream that was forgotten, or in which a subject was, has left in state snapshots: views that hold content of it. Those
 * of other streams too are marked, and made again from the log when the snapshot is restored. An object is written anew, its manifest then names it,
 * and the old one goes; whoever comes after a crash finds it by no manifest naming it.
 */
import type { Packed } from './backup-chain.ts'
import { isStoreError, StoreBusy } from './errors.ts'
import type { ViewBody } from './fold.ts'
import { derivedId } from './id.ts'
import { limits } from './limits.ts'
import { getObject, type ObjectStore } from './object-store.ts'
import { linesOf } from './segment.ts'
import {
  listStateObjects,
  manifestKey,
  openManifest,
  type ProjectionManifest,
  packLines,
  printManifest,
  readManifest,
  type StateManifest,
} from './state-snapshot.ts'
import { backoffMs, sleep } from './turn.ts'

export interface ViewLine {
  readonly key: string
  /** Absent of a view that is to be made again. */
  readonly body?: ViewBody & { readonly stream?: string }
  /** Of a view that is to be made again, the streams that are left. */
  readonly streams?: readonly string[]
}

type NewId = { readonly newId: () => string }

export interface ForgottenInStates {
  readonly stream: string
  /** `masked`: views are made again with it. */
  readonly how: 'closed' | 'masked'
}

/** In all snapshots of the place; can be repeated. Throws `StoreBusy` where others keep changing one of them. */
export async function forgetInStates(
  objects: ObjectStore,
  forgotten: ForgottenInStates,
  { newId }: NewId,
): Promise<void> {
  for (const number of (await listStateObjects(objects)).numbers) {
    for (let tries = 1; !(await forgetInOne(objects, number, { ...forgotten, newId })); tries++) {
      if (tries >= limits.foldTries) throw new StoreBusy(`Others keep changing state snapshot ${number}`, 1_000)
      await sleep(backoffMs(tries, limits.foldBackoffMs, limits.foldBackoffMsMax))
    }
  }
  await sweepStates(objects)
}

/** False where somebody else has changed the manifest meanwhile. */
async function forgetInOne(
  objects: ObjectStore,
  number: number,
  { newId, ...forgotten }: NewId & ForgottenInStates,
): Promise<boolean> {
  const { manifest, etag } = await openManifest(objects, number)
  const kept = new Map<string, { readonly key: string; readonly lines: readonly string[] }>()
  for (const { facts, chunks, parked } of manifest.projections) {
    for (const packed of facts.holds === 'content' ? [...chunks, ...parked] : []) {
      const lines = await linesAfter(objects, packed, forgotten)
      const key = packed.key.replace(/(=[0-9a-f-]+)?\.ndjson\.gz$/, `=${derivedId(['states', newId()])}.ndjson.gz`)
      if (lines) kept.set(packed.key, { key, lines })
    }
  }
  if (kept.size === 0) return true
  const put = async (next: StateManifest, over: string) =>
    objects.put(manifestKey(number), await printManifest(next), { if: 'unchanged', etag: over })
  // Named before they are there, so that nobody sweeps them away.
  const coming = [...kept.values()].map(({ key }) => key)
  const announced = await put({ ...manifest, coming }, etag)
  if (announced.outcome === 'conflict') return false
  const renewed = async (packed: Packed): Promise<readonly Packed[]> => {
    const change = kept.get(packed.key)
    if (change === undefined) return [packed]
    return change.lines.length === 0 ? [] : [await packLines(objects, change.key, change.lines)]
  }
  const projections: ProjectionManifest[] = []
  for (const one of manifest.projections) {
    const [chunks, parked]: [Packed[], Packed[]] = [[], []]
    for (const packed of one.chunks) chunks.push(...(await renewed(packed)))
    for (const packed of one.parked) parked.push(...(await renewed(packed)))
    projections.push({ ...one, chunks, parked, views: chunks.reduce((sum, { lines }) => sum + lines, 0) })
  }
  const { coming: _, ...rest } = manifest
  return (await put({ ...rest, projections }, announced.etag)).outcome === 'written'
}

/** Deletes what no manifest names, but for those of a snapshot that may be at work. */
export async function sweepStates(objects: ObjectStore): Promise<void> {
  const { numbers, others } = await listStateObjects(objects)
  const used = new Set<string>()
  const unknown = new Set<number>()
  for (const number of numbers) {
    const manifest = await readManifest(objects, number).catch((error) => {
      if (!isStoreError(error, 'object-damaged')) throw error
      // What is its own nobody can tell.
      unknown.add(number)
      return undefined
    })
    for (const key of manifest?.coming ?? []) used.add(key)
    for (const { chunks, parked } of manifest?.projections ?? []) {
      for (const { key } of [...chunks, ...parked]) used.add(key)
    }
  }
  const newest = numbers.at(-1) ?? 0
  for (const { key, number } of others) {
    if (number <= newest && !unknown.has(number) && !used.has(key)) await objects.delete(key)
  }
}

/** Nothing where none of its lines is of the stream. */
async function linesAfter(
  objects: ObjectStore,
  packed: Packed,
  forgotten: ForgottenInStates,
): Promise<readonly string[] | undefined> {
  const lines = await linesOf({ ...packed, place: objects.name, bytes: await getObject(objects, packed.key) })
  const kept = lines.flatMap((line) => lineAfter(line, forgotten))
  return kept.length === lines.length && kept.every((line, index) => line === lines[index]) ? undefined : kept
}

function lineAfter(line: string, { stream, how }: ForgottenInStates): readonly string[] {
  const { key, body, streams } = JSON.parse(line) as ViewLine
  if (body?.stream === stream) return []
  const held = streams ?? Object.keys(body?.revisions ?? {})
  if (!held.includes(stream)) return [line]
  const left = how === 'masked' ? held : held.filter((each) => each !== stream)
  // A key of nothing but the stream's own content goes too.
  return left.length === 0 ? [] : [JSON.stringify({ key, streams: left })]
}
