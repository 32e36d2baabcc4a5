/** Streams that were closed, as what erases copies of them goes by them: of one type, or of all. */
import { limits } from './limits.ts'
import { streamTypeOf } from './name.ts'
import type { Storage } from './storage.ts'

export interface ClosedStreams {
  readonly type: string
  readonly streams: ReadonlySet<string>
  /** Positions between which their events are. */
  readonly range: PositionRange
}

export interface PositionRange {
  readonly first: number
  readonly last: number
}

/** Together, in order of their types. */
export async function closedByType(
  storage: Pick<Storage, 'readStream' | 'positionOf'>,
  streams: readonly string[],
): Promise<readonly ClosedStreams[]> {
  const byType = new Map<string, { readonly streams: Set<string>; range: PositionRange }>()
  const left = streams.values()
  const look = async () => {
    for (const stream of left) {
      const range = await positionsOf(storage, stream)
      const type = streamTypeOf(stream)
      const known = byType.get(type)
      if (known === undefined) byType.set(type, { streams: new Set([stream]), range })
      else {
        known.streams.add(stream)
        known.range = across([known.range, range])
      }
    }
  }
  await Promise.all(Array.from({ length: limits.archiveParallel }, look))
  return [...byType].map(([type, of]) => ({ type, ...of })).sort((one, other) => (one.type < other.type ? -1 : 1))
}

export function across(ranges: readonly PositionRange[]): PositionRange {
  return {
    first: ranges.reduce((least, { first }) => Math.min(least, first), Number.MAX_SAFE_INTEGER),
    last: ranges.reduce((most, { last }) => Math.max(most, last), 0),
  }
}

/** All of the log where its events have none yet. */
async function positionsOf(
  storage: Pick<Storage, 'readStream' | 'positionOf'>,
  stream: string,
): Promise<PositionRange> {
  const first = (await storage.positionOf(stream, 1)) ?? 1
  const { head } = await storage.readStream(stream, { after: 0, direction: 'backwards', limit: 1 })
  return { first, last: head?.position ?? Number.MAX_SAFE_INTEGER }
}
