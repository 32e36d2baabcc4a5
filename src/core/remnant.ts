/**
 * What forgetting cannot reach itself: what a storage says of its engine, and what places of objects keep of what was deleted
 * there. Content that was encrypted for its subject cannot be read in any of it, once the key is gone.
 */
import { deleteObjects, type ObjectStore } from './object-store.ts'

export interface Remnant {
  /** Where something may still be: `write-ahead log`, `change stream`, `older versions of objects` … */
  readonly where: string
  /** The object store. */
  readonly place?: string
  /** How many objects. */
  readonly objects?: number
  /** The instant from which it is gone, or can be deleted; absent where `ends` alone says it. */
  readonly until?: string
  /** What ends it. */
  readonly ends: string
}

/** As a storage says it of itself. */
export interface EngineRemnant extends Pick<Remnant, 'where' | 'ends'> {
  /** It is gone after so long, whatever anybody does. */
  readonly goneAfterMs?: number
}

/** Deletes objects, and knows what their places keep of them. */
export interface Kept {
  delete(objects: ObjectStore, keys: readonly string[]): Promise<void>
  /** As one that is replaced. */
  note(objects: ObjectStore, key: string): Promise<void>
  readonly remnants: readonly Remnant[]
}

export function keepingRemnants(known: readonly Remnant[]): Kept {
  const byPlace = new Map(known.map((remnant) => [remnant.place, remnant]))
  async function note(objects: ObjectStore, key: string): Promise<void> {
    const kept = await objects.keeps?.(key)
    if (kept === undefined) return
    const place = objects.name
    const { objects: count = 0, until } = byPlace.get(place) ?? {}
    const last = [until, kept.until]
      .filter((instant) => instant !== undefined)
      .sort()
      .at(-1)
    const ends = 'delete the older versions in the bucket, or let a lifecycle rule do it'
    const remnant = { where: 'older versions of objects', place, objects: count + 1, ends }
    byPlace.set(place, { ...remnant, ...(last !== undefined && { until: last }) })
  }
  return {
    note,
    async delete(objects, keys) {
      for (const key of keys) await note(objects, key)
      await deleteObjects(objects, keys)
    },
    get remnants() {
      return [...byPlace.values()]
    },
  }
}
