/** Batches: a stretch of the log, sorted by the views that its events belong to, so that each view is folded once. */
import { ForeignLog, InvalidArgument, PositionBeyondHead } from './errors.ts'
import type { AnyEvent, Recorded } from './event.ts'
import { formed } from './form.ts'
import { limits } from './limits.ts'
import { observe } from './observe.ts'
import type { Shape } from './projection.ts'
import { eventReader, type Reading, rereading } from './read.ts'
import type { LogPage, LogRecord } from './storage.ts'
import { withOldTypesOf } from './upcaster.ts'

export interface Batch {
  /** By key, in the log's order. */
  readonly entities: ReadonlyMap<string, readonly Recorded[]>
  readonly events: number
  /** Streams that were forgotten. */
  readonly forgotten: readonly string[]
  /** Everything up to here was looked at. */
  readonly position: number
  readonly more: boolean
}

export interface BatchRange {
  readonly logId: string
  readonly after: number
  /** At most so many events. */
  readonly most: number
}

/**
 * Up to the head of the log, or as much as is held in memory at once. Throws what the key's function throws: without a key,
 * nobody can say whose order it would break to go on.
 */
export async function readBatch(reading: Reading, shape: Shape, { logId, after, most }: BatchRange): Promise<Batch> {
  const { storage, upcasters, observer } = reading
  const filter = withOldTypesOf(upcasters, shape.filter)
  const types = new Set(shape.filter.types)
  const read = eventReader()
  const counting = (record: LogRecord) => {
    if (record.state === 'stored') characters += record.content.length
    return read(record)
  }
  const entities = new Map<string, Recorded[]>()
  const forgotten: string[] = []
  let [position, events, characters] = [after, 0, 0]
  while (true) {
    const limit = Math.min(limits.pageRecords, most - events)
    const query = { ...filter, after: position, direction: 'forwards', limit } as const
    const call = { layer: 'store', name: 'read log', size: ({ records }: LogPage) => records.length } as const
    const { page, live } = await rereading(async () => {
      const page = await observe(observer, call, () => storage.readLog(query))
      const kept = page.records.filter(({ state }) => state !== 'tombstone' && state !== 'forgotten')
      return { page, live: await formed<AnyEvent, Recorded>(reading, kept, counting) }
    })
    if (page.logId !== logId) throw new ForeignLog({ logId, actual: page.logId })
    if (position > page.head) throw new PositionBeyondHead({ position, head: page.head })
    for (const { state, stream } of page.records) if (state === 'tombstone') forgotten.push(stream)
    events += live.length
    for (const event of live) {
      // An upcaster may have made another type of it.
      const key = types.has(event.type) ? keyOf(shape, event) : undefined
      if (key === undefined) continue
      const list = entities.get(key)
      if (list) list.push(event)
      else entities.set(key, [event])
    }
    position = page.scannedTo
    const full = events >= most || characters >= limits.catchUpCharacters
    if (!page.more || full) return { entities, events, forgotten, position, more: page.more }
  }
}

export function keyOf(shape: Shape, event: Recorded): string | undefined {
  let key: unknown
  try {
    key = shape.keyOf(event)
  } catch (error) {
    throw keyError(shape, event, error instanceof Error ? error.message : String(error))
  }
  if (key === undefined || (typeof key === 'string' && key !== '')) return key
  throw keyError(shape, event, 'gave neither a text that is not empty nor undefined')
}

function keyError({ name, version }: Shape, { type, stream, revision }: Recorded, why: string): InvalidArgument {
  const place = `projection "${name}" version ${version}, key of "${type}"`
  return new InvalidArgument(place, `${why} (${stream}, ${revision})`)
}
